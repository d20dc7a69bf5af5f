import assert from 'node:assert';
import axios, { AxiosError, type AxiosInstance, type AxiosRequestConfig } from 'axios';
import { SpanStatusCode } from '@opentelemetry/api';
import { traceAxios } from '../../../lib/integrations/http-client/axios.js';
import { type Downstream, startDownstream } from './downstream.js';
import { OutboundApplication } from './outbound-application.js';

describe('a call through axios that fails', () => {
  let downstream: Downstream;
  let application: OutboundApplication;
  let client: AxiosInstance;
  let bare: AxiosInstance;

  beforeAll(async () => void (downstream = await startDownstream()));
  afterAll(() => downstream.close());
  beforeEach(() => {
    application = new OutboundApplication();
    client = traceAxios(axios.create({ baseURL: downstream.url }));
    bare = axios.create({ baseURL: downstream.url });
  });
  afterEach(() => application.finish());

  const failing = (config: AxiosRequestConfig, instance = client): Promise<AxiosError> =>
    application.serve(() =>
      instance.request(config).then(
        () => Promise.reject(new Error('it did not fail')),
        (error: unknown) => error as AxiosError,
      ),
    );

  /** Returns the status, the attributes and the number of exceptions of the span. */
  const outcome = () => {
    const { attributes, events, status } = application.clientSpan;
    return {
      code: status.code,
      message: status.message,
      errorType: attributes['error.type'],
      statusCode: attributes['http.response.status_code'],
      exceptions: events.filter(({ name }) => name === 'exception').length,
    };
  };
  const asStatus = (statusCode: number) => ({
    code: SpanStatusCode.ERROR,
    message: undefined,
    errorType: String(statusCode),
    statusCode,
    exceptions: 0,
  });
  const untouched = { code: SpanStatusCode.UNSET, message: undefined, errorType: undefined, statusCode: undefined, exceptions: 0 };

  it.each([400, 404, 500, 503])('by a status of %d says so, without an exception', async status => {
    const error = await failing({ url: `/status/${status}` });
    expect(error).toBeInstanceOf(AxiosError);
    expect(error.response?.data).toEqual({ message: 'as you wished' });
    expect(outcome()).toEqual(asStatus(status));
  });

  it('by a status its validateStatus accepts says so all the same', async () => {
    const response = await application.serve(() => client.get('/status/503', { validateStatus: () => true }));
    expect(response.status).toBe(503);
    expect(outcome()).toEqual(asStatus(503));
  });

  it('only because its validateStatus refuses a good answer has not failed', async () => {
    await failing({ url: '/status/202', validateStatus: status => status === 200 });
    expect(outcome()).toEqual({ ...untouched, statusCode: 202 });
  });

  it('by a refused connection carries the code and the exception', async () => {
    await failing({ url: 'http://127.0.0.1:1/' });
    expect(outcome()).toMatchObject({ code: SpanStatusCode.ERROR, errorType: 'ECONNREFUSED', statusCode: undefined, exceptions: 1 });
  });

  it('by a host that does not exist carries the code', async () => {
    const lookup = (_host: string, _options: object, done: (error: Error) => void) =>
      done(Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' }));
    await failing({ url: 'http://nowhere.test/', lookup: lookup as never });
    expect(outcome()).toMatchObject({ errorType: 'ENOTFOUND', exceptions: 1 });
    expect(application.clientSpan.attributes['server.address']).toBe('nowhere.test');
  });

  it('by a connection closed before the answer carries the code', async () => {
    await failing({ url: '/reset' });
    expect(outcome()).toMatchObject({ code: SpanStatusCode.ERROR, errorType: 'ECONNRESET', statusCode: undefined, exceptions: 1 });
  });

  it('in the middle of the body carries the status that had come and what broke', async () => {
    await failing({ url: '/cut' });
    expect(outcome()).toMatchObject({ code: SpanStatusCode.ERROR, statusCode: 200, exceptions: 1 });
    expect(outcome().errorType).toMatch(/^(ECONNRESET|ERR_BAD_RESPONSE)$/);
  });

  it.each([
    ['ECONNABORTED', false],
    ['ETIMEDOUT', true],
  ])('by its timeout carries %s', async (errorType, clarifyTimeoutError) => {
    await failing({ url: '/hang', timeout: 30, transitional: { clarifyTimeoutError } });
    expect(outcome()).toMatchObject({ code: SpanStatusCode.ERROR, errorType, exceptions: 1, message: 'timeout of 30ms exceeded' });
  });

  it('by AbortSignal.timeout() is a timeout, no cancellation', async () => {
    const error = await failing({ url: '/hang', signal: AbortSignal.timeout(30) });
    expect(error.code).toBe('ERR_CANCELED');
    expect(outcome()).toMatchObject({ code: SpanStatusCode.ERROR, errorType: 'TimeoutError', exceptions: 1 });
  });

  it('by too many redirects carries the code', async () => {
    await failing({ url: '/redirect/5', maxRedirects: 2 });
    expect(outcome()).toMatchObject({ code: SpanStatusCode.ERROR, errorType: 'ERR_FR_TOO_MANY_REDIRECTS', exceptions: 1 });
  });

  it('by an answer that is larger than allowed carries the code', async () => {
    await failing({ url: '/big', maxContentLength: 1000 });
    expect(outcome()).toMatchObject({ code: SpanStatusCode.ERROR, errorType: 'ERR_BAD_RESPONSE', exceptions: 1 });
  });

  it.each(['http://', '/no-base', 'nonsense'])('because "%s" is no URL fails as without tracing, and makes no span', async url => {
    const config = { url, baseURL: '' };
    const [traced, plain] = [await failing(config), await failing(config, bare)];
    expect([traced.code, traced.message, traced.name]).toEqual([plain.code, plain.message, plain.name]);
    expect(application.clientSpans).toEqual([]);
  });

  it('because a transformation throws fails as without tracing', async () => {
    const transformRequest = () => {
      throw new RangeError('not to be sent');
    };
    expect(await failing({ url: '/ok', transformRequest })).toBeInstanceOf(RangeError);
    expect(application.clientSpans).toEqual([]);
    const transformResponse = () => {
      throw new RangeError('not to be read');
    };
    expect(await failing({ url: '/ok', transformResponse })).toBeInstanceOf(RangeError);
    expect(outcome()).toEqual({ ...untouched, statusCode: 200 });
  });

  it('throws the very error that the adapter threw', async () => {
    const thrown = new Error('mine');
    expect(await failing({ url: '/ok', adapter: () => Promise.reject(thrown) })).toBe(thrown);
    expect(
      await failing({
        url: '/ok',
        adapter: () => {
          throw thrown;
        },
      }),
    ).toBe(thrown);
    expect(application.clientSpans.map(({ status }) => status.message)).toEqual(['mine', 'mine']);
  });

  it.each([null, undefined, 'text', 42])('may be rejected with %p', async thrown => {
    expect(await failing({ url: '/ok', adapter: () => Promise.reject(thrown) })).toBe(thrown);
    expect(outcome()).toMatchObject({ code: SpanStatusCode.ERROR, exceptions: 1 });
  });

  it('may be rejected with an object that throws when touched', async () => {
    const hostile = new Proxy({}, { get: () => assert.fail('touched') });
    // axios itself reads its properties.
    expect(await failing({ url: '/ok', adapter: () => Promise.reject(hostile) })).toMatchObject({ message: 'touched' });
    expect(outcome()).toMatchObject({ code: SpanStatusCode.ERROR, errorType: '_OTHER', exceptions: 1 });
  });

  it('has a stack that shows the caller and nothing that was not there without tracing', async () => {
    const frames = ({ stack = '' }: Error) =>
      stack
        .split('\n')
        .filter(line => line.includes('/axios/') || line.includes('/lib/integrations/http-client/'))
        .map(line => line.replace(/:\d+:\d+\)?$/, ''));
    const [traced, plain] = [await failing({ url: '/status/500' }), await failing({ url: '/status/500' }, bare)];
    expect(frames(traced)).toEqual(frames(plain));
    expect(traced.stack).toContain('axios-failures.spec');
  });

  describe('because the caller gave it up', () => {
    it('before it was sent makes no span', async () => {
      const error = await failing({ url: '/ok', signal: AbortSignal.abort() });
      expect(axios.isCancel(error)).toBe(true);
      expect(application.clientSpans).toEqual([]);
    });

    it.each(['AbortSignal', 'cancel token', 'a reason of its own'])('in flight, by %s, has not failed', async how => {
      const abort = new AbortController();
      const token = axios.CancelToken.source();
      const arrival = downstream.arrival('/hang');
      const pending = failing({ url: '/hang', signal: abort.signal, cancelToken: token.token });
      await arrival;
      if (how === 'cancel token') token.cancel('enough');
      else abort.abort(how === 'AbortSignal' ? undefined : new Error('changed my mind'));
      expect(axios.isCancel(await pending)).toBe(true);
      expect(outcome()).toEqual(untouched);
    });

    it('while the body arrives has not failed', async () => {
      const abort = new AbortController();
      const arrival = downstream.arrival('/drip');
      const pending = failing({ url: '/drip', signal: abort.signal });
      await arrival;
      abort.abort();
      await pending;
      expect(outcome()).toMatchObject({ code: SpanStatusCode.UNSET, errorType: undefined, exceptions: 0 });
    });
  });
});
