import axios, { type AxiosInstance, type InternalAxiosRequestConfig } from 'axios';
import axiosRetryModule, { type AxiosRetry } from 'axios-retry';
import { SpanStatusCode } from '@opentelemetry/api';
import { traceAxios } from '../../../lib/integrations/http-client/axios.js';
import { type Downstream, startDownstream } from './downstream.js';
import { OutboundApplication, traceparentOf } from './outbound-application.js';

// For a CommonJS build with a default export, the result of `import` depends on the loader.
const axiosRetry = ((axiosRetryModule as { default?: unknown }).default ?? axiosRetryModule) as AxiosRetry;

describe('a call through axios that is sent more than once', () => {
  let downstream: Downstream;
  let elsewhere: Downstream;
  let application: OutboundApplication;
  let client: AxiosInstance;
  let names = 0;
  /** Returns a path that answers 503 `failures` times, then 200. */
  const flaky = (failures: number) => `/flaky/call${(names += 1)}/${failures}`;

  beforeAll(async () => {
    downstream = await startDownstream();
    elsewhere = await startDownstream();
  });
  afterAll(async () => {
    await downstream.close();
    await elsewhere.close();
  });
  beforeEach(() => {
    application = new OutboundApplication();
    client = traceAxios(axios.create({ baseURL: downstream.url }));
  });
  afterEach(() => application.finish());

  const attempts = () =>
    application.clientSpans.map(({ attributes, status }) => [
      attributes['http.response.status_code'],
      attributes['http.request.resend_count'],
      status.code,
    ]);
  const retried = [
    [503, undefined, SpanStatusCode.ERROR],
    [503, 1, SpanStatusCode.ERROR],
    [200, 2, SpanStatusCode.UNSET],
  ];

  it('has a span per attempt, counted, all below the same request', async () => {
    axiosRetry(client, { retries: 3, retryDelay: () => 1 });
    const url = flaky(2);
    await application.serve(() => client.get(url));
    expect(attempts()).toEqual(retried);
    expect(application.childrenOf(application.span('request'))).toEqual(['GET', 'GET', 'GET']);
    const received = downstream.requests.filter(request => request.url === url).map(({ headers }) => headers.traceparent);
    expect(received).toEqual(application.clientSpans.map(traceparentOf));
  });

  it('is counted whether the retry was installed before tracing or after it', async () => {
    const early = axios.create({ baseURL: downstream.url });
    axiosRetry(early, { retries: 3, retryDelay: () => 1 });
    traceAxios(early);
    await application.serve(() => early.get(flaky(2)));
    expect(attempts()).toEqual(retried);
  });

  it('is counted when an interceptor of the user sends the config of an error again, through whatever instance', async () => {
    for (const instance of [client, axios.create()]) {
      const call = axios.create({ baseURL: downstream.url });
      traceAxios(call).interceptors.response.use(undefined, (error: { config: InternalAxiosRequestConfig }) => instance(error.config));
      await application.serve(() => call.get(flaky(1)));
      expect(attempts()).toEqual([
        [503, undefined, SpanStatusCode.ERROR],
        [200, 1, SpanStatusCode.UNSET],
      ]);
      application.reset();
    }
  });

  it('is not counted when a response is asked for once more', async () => {
    await application.serve(async () => {
      const { config } = await client.get('/ok');
      await client(config);
    });
    expect(attempts()).toEqual([
      [200, undefined, SpanStatusCode.UNSET],
      [200, undefined, SpanStatusCode.UNSET],
    ]);
  });

  it('is one span with the last status where axios follows redirects, and counts them', async () => {
    await application.serve(() => client.get('/redirect/2'));
    expect(attempts()).toEqual([[200, 2, SpanStatusCode.UNSET]]);
    expect(application.clientSpan.attributes['url.full']).toBe(`${downstream.url}/redirect/2`);
    expect(downstream.headersOf('/redirect/0').traceparent).toBe(traceparentOf(application.clientSpan));
  });

  it('is a redirect by itself where axios follows none', async () => {
    await application.serve(() => client.get('/redirect/2', { maxRedirects: 0, validateStatus: null }));
    expect(attempts()).toEqual([[302, undefined, SpanStatusCode.UNSET]]);
  });

  it('loses its trace headers on the way to a host that may not have them', async () => {
    await application.close();
    application = new OutboundApplication({ outbound: { propagateTo: `127.0.0.1:${downstream.port}` } });
    const seen: unknown[] = [];
    const beforeRedirect = ({ headers }: Record<string, unknown>) => void seen.push(Object.keys(headers as object).includes('traceparent'));
    const { config } = await application.serve(() =>
      client.get(`/redirect/1?to=${elsewhere.url}/ok`, { beforeRedirect, headers: { 'x-own': '1' } }),
    );
    expect(downstream.requests.at(-1)?.headers.traceparent).toBe(traceparentOf(application.clientSpan));
    expect(elsewhere.headersOf('/ok')).toMatchObject({ 'x-own': '1' });
    expect(elsewhere.headersOf('/ok').traceparent).toBeUndefined();
    expect(seen).toEqual([false]);
    expect(config.beforeRedirect).toBe(beforeRedirect);
    await application.serve(() => client.get('/redirect/1'));
    expect(downstream.headersOf('/redirect/0').traceparent).toMatch(/^00-/);
  });
});
