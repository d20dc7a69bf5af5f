import http2 from 'node:http2';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import http from 'node:http';
import axios, { type AxiosAdapter, type AxiosInstance, type AxiosRequestConfig, type InternalAxiosRequestConfig } from 'axios';
import AxiosMockAdapter from 'axios-mock-adapter';
import { context, SpanStatusCode, trace } from '@opentelemetry/api';
import { installOn, traceAxios } from '../../../lib/integrations/http-client/axios.js';
import { traceFetch } from '../../../lib/integrations/http-client/fetch.js';
import { selfSigned } from '../http-server/self-signed.js';
import { type Downstream, startDownstream } from './downstream.js';
import { OutboundApplication, traceparentOf } from './outbound-application.js';

const httpAdapter = axios.getAdapter('http');

describe('the adapter of an axios call', () => {
  let downstream: Downstream;
  let application: OutboundApplication;
  let client: AxiosInstance;

  beforeAll(async () => void (downstream = await startDownstream()));
  afterAll(() => downstream.close());
  beforeEach(() => {
    application = new OutboundApplication();
    client = traceAxios(axios.create({ baseURL: downstream.url }));
  });
  afterEach(() => application.finish());

  const call = (config: AxiosRequestConfig) => application.serve(() => client.request({ url: '/ok', ...config }));

  describe.each([
    ['looked up by axios itself, where none is known that could be asked', false],
    ['looked up by the copy of axios that made the instance', true],
  ])('%s,', (_how, isKnown) => {
    let undo: (() => void) | undefined;
    beforeAll(() => {
      if (isKnown) undo = installOn(axios as never);
    });
    afterAll(() => undo?.());

    it.each<[string, AxiosRequestConfig['adapter']]>([
      ['the default', undefined],
      ['a name', 'http'],
      ['a list of names', ['xhr', 'http', 'fetch']],
      ['the fetch adapter', 'fetch'],
      ['a function', httpAdapter],
      ['a list with a function', ['xhr', httpAdapter] as never],
    ])('may be %s', async (_what, adapter) => {
      const { data } = await call({ adapter });
      expect(data).toEqual({ ok: true });
      expect(application.clientSpan.attributes).toMatchObject({ 'http.response.status_code': 200 });
      expect(downstream.headersOf('/ok').traceparent).toBe(traceparentOf(application.clientSpan));
    });

    it('that does not exist fails as without tracing', async () => {
      const failure = (instance: AxiosInstance) =>
        instance.get('/ok', { adapter: 'pigeon' as never }).catch((error: unknown) => [(error as Error).name, (error as Error).message]);
      const [traced, plain] = [await failure(client), await failure(axios.create())];
      expect(traced).toEqual(plain);
      expect(application.clientSpans.map(({ status }) => status.code)).toEqual(isKnown ? [] : [SpanStatusCode.ERROR]);
    });

    it('transforms each request and response once', async () => {
      const counts = { request: 0, response: 0 };
      const transformRequest = (data: unknown) => {
        counts.request += 1;
        return JSON.stringify(data);
      };
      const transformResponse = (data: string) => {
        counts.response += 1;
        return `${data}!`;
      };
      const { config, data } = await call({ method: 'post', data: { a: 1 }, transformRequest, transformResponse });
      expect(data).toBe('{"ok":true}!');
      expect(counts).toEqual({ request: 1, response: 1 });
      expect(config).toMatchObject({ transformRequest, transformResponse, data: '{"a":1}' });
    });

    it('leaves the config as users know it, in responses and in errors', async () => {
      const plain = axios.create({ baseURL: downstream.url });
      const shown = (config: object) => {
        const { adapter, headers, ...rest } = config as InternalAxiosRequestConfig;
        return { json: JSON.stringify({ adapter, ...rest }), keys: Object.keys(rest).sort(), headers: Object.keys(headers).sort() };
      };
      const without = shown((await plain.request({ url: '/ok', method: 'get' })).config);
      const { config } = await call({ method: 'get' });
      expect(config.adapter).toEqual(['xhr', 'http', 'fetch']);
      expect(shown(config)).toEqual({ ...without, headers: [...without.headers, 'traceparent'].sort() });
      const error = await call({ method: 'get', url: '/status/500' }).catch((thrown: unknown) => thrown as { config: object });
      const plainError = await plain
        .request({ url: '/status/500', method: 'get' })
        .catch((thrown: unknown) => thrown as { config: object });
      expect(shown(error.config as object)).toEqual({
        ...shown(plainError.config as object),
        headers: [...without.headers, 'traceparent'].sort(),
      });
    });
  });

  it('that a mock library puts in place is called, and its answer described', async () => {
    const mock = new AxiosMockAdapter(client as never);
    mock.onGet('/mocked').replyOnce(200, { mocked: true }).onGet('/mocked').reply(404).onAny().passThrough();
    expect((await call({ url: '/mocked' })).data).toEqual({ mocked: true });
    await expect(call({ url: '/mocked' })).rejects.toThrow('status code 404');
    expect((await call({})).data).toEqual({ ok: true });
    expect(application.clientSpans.map(({ attributes, events, status }) => [attributes['error.type'], status.code, events.length])).toEqual(
      [
        [undefined, SpanStatusCode.UNSET, 0],
        ['404', SpanStatusCode.ERROR, 0],
        [undefined, SpanStatusCode.UNSET, 0],
      ],
    );
    mock.restore();
    expect((await call({})).data).toEqual({ ok: true });
  });

  it('may answer with anything', async () => {
    const answers = [undefined, null, 'text', {}, { status: 'odd', request: null }];
    for (const answer of answers) {
      // axios itself fails for some of these.
      await call({ adapter: (() => Promise.resolve(answer)) as unknown as AxiosAdapter, transformResponse: [] }).catch(() => undefined);
    }
    expect(application.clientSpans).toHaveLength(answers.length);
    for (const { attributes } of application.clientSpans) expect(attributes).not.toHaveProperty('http.response.status_code');
  });

  it('may return a promise of its own kind', async () => {
    let count = 0;
    const thenable = {
      then(done: (response: object) => void) {
        count += 1;
        done({ status: 200, data: 'lazy', headers: {} });
      },
    };
    expect((await call({ adapter: (() => thenable) as never })).data).toBe('lazy');
    expect(count).toBe(1);
  });

  it('hears about progress and may upload', async () => {
    const loaded: number[] = [];
    await call({ method: 'post', data: 'x'.repeat(1000), onUploadProgress: progress => loaded.push(progress.loaded) });
    expect(loaded.at(-1)).toBe(1000);
  });

  it('leaves data: URLs alone', async () => {
    const { data } = await call({ url: 'data:text/plain,hello', baseURL: '', responseType: 'text' });
    expect(data).toBe('hello');
    expect(application.clientSpans).toEqual([]);
  });

  it('may go through a Unix socket, which then is the server', async () => {
    const socketPath = join(tmpdir(), `outbound-${process.pid}.sock`);
    const server = http.createServer((request, response) => response.end(String(request.headers.traceparent)));
    await new Promise<void>(resolve => server.listen(socketPath, resolve));
    const { data } = await call({ baseURL: '', url: '/containers?all=1', socketPath });
    server.close();
    expect(data).toBe(traceparentOf(application.clientSpan));
    expect(application.clientSpan.attributes).toMatchObject({
      'server.address': socketPath,
      'url.full': 'http://localhost/containers?all=1',
    });
    expect(application.clientSpan.attributes).not.toHaveProperty('server.port');
  });

  it('may go through a proxy: the span names the server, not the proxy', async () => {
    const { data } = await call({
      baseURL: '',
      url: 'http://users.test/ok',
      proxy: { protocol: 'http', host: '127.0.0.1', port: downstream.port },
    });
    expect(data).toEqual({ ok: true });
    expect(application.clientSpan.attributes).toMatchObject({ 'server.address': 'users.test', 'server.port': 80 });
    expect(downstream.requests.at(-1)?.headers.traceparent).toBe(traceparentOf(application.clientSpan));
  });

  it('speaks https and HTTP/2', async () => {
    const answer = (request: { headers: http.IncomingHttpHeaders }, response: { end(text: string): unknown }) =>
      void response.end(String(request.headers.traceparent));
    const secure = https.createServer(selfSigned, answer);
    const two = http2.createServer(answer);
    await new Promise<void>(resolve => secure.listen(0, '127.0.0.1', resolve));
    await new Promise<void>(resolve => two.listen(0, '127.0.0.1', resolve));
    const first = await call({
      baseURL: `https://127.0.0.1:${(secure.address() as AddressInfo).port}`,
      httpsAgent: new https.Agent({ rejectUnauthorized: false }),
    });
    expect(first.data).toBe(traceparentOf(application.clientSpan));
    application.reset();
    const second = await call({
      baseURL: `http://127.0.0.1:${(two.address() as AddressInfo).port}`,
      httpVersion: 2,
      http2Options: { sessionTimeout: 1 },
    } as never);
    expect(second.data).toBe(traceparentOf(application.clientSpan));
    secure.close();
    secure.closeAllConnections();
    two.close();
  });

  describe('that calls through fetch', () => {
    let stop: () => void;
    beforeEach(() => (stop = traceFetch()));
    afterEach(() => stop());

    const viaFetch: AxiosAdapter = async config => {
      const headers = config.headers.toJSON() as Record<string, string>;
      const response = await fetch(`${downstream.url}${config.url ?? ''}`, { headers });
      return { status: response.status, statusText: '', headers: {}, config, data: await response.text() };
    };

    it('makes one span, not two', async () => {
      for (const adapter of ['fetch', viaFetch] as const) {
        await call({ adapter });
        expect(downstream.headersOf('/ok').traceparent).toBe(traceparentOf(application.clientSpan));
        application.reset();
      }
    });

    it('makes one span where the host may not have headers either', async () => {
      await application.close();
      application = new OutboundApplication({ outbound: { propagateTo: 'elsewhere.test' } });
      for (const adapter of ['fetch', viaFetch] as const) {
        await call({ adapter });
        expect(application.clientSpans).toHaveLength(1);
        expect(downstream.headersOf('/ok').traceparent).toBeUndefined();
        application.reset();
      }
    });

    it('and makes calls of its own besides has a span for each of those', async () => {
      const withToken: AxiosAdapter = async config => {
        await (await fetch(`${downstream.url}/status/201`)).text();
        return viaFetch(config);
      };
      await call({ adapter: withToken });
      expect(application.clientSpans.map(({ attributes }) => attributes['url.full'])).toEqual([
        `${downstream.url}/status/201`,
        `${downstream.url}/ok`,
      ]);
    });
  });

  it('is called in the same turn as without tracing', async () => {
    let isCalled = false;
    const adapter: AxiosAdapter = config => {
      isCalled = true;
      return httpAdapter(config);
    };
    const pending = client.get('/ok', { adapter });
    expect(isCalled).toBe(true);
    await pending;
  });

  it('runs in the context of the caller', async () => {
    let active: unknown;
    await application.serve(async request => {
      await client.get('/ok', {
        adapter: config => {
          active = trace.getSpan(context.active());
          return httpAdapter(config);
        },
      });
      expect(active).toBe(request);
    });
  });

  it('is left alone once all who asked for tracing have taken it back', async () => {
    const own = axios.create({ baseURL: downstream.url });
    const users = own.interceptors.request.use(config => config);
    const [first, second] = [installOn(own as never), installOn(own as never)];
    first();
    first();
    await application.serve(() => own.get('/ok'));
    expect(application.clientSpans).toHaveLength(1);
    second();
    await application.serve(() => own.get('/ok'));
    expect(application.clientSpans).toHaveLength(1);
    expect(Reflect.ownKeys(own).filter(key => typeof key === 'symbol')).toEqual([]);
    own.interceptors.request.eject(users);
  });

  it('takes back nothing of the user, who may have cleared the interceptors', async () => {
    const own = axios.create({ baseURL: downstream.url });
    const undo = installOn(own as never);
    own.interceptors.request.clear();
    own.interceptors.request.use(config => {
      config.headers.set('x-own', 'kept');
      return config;
    });
    // In axios before about 1.20, the id of an interceptor is its index in the list, even if another one is there now.
    const manager = own.interceptors.request as unknown as { handlers: unknown[]; eject(id: number): void };
    manager.eject = id => void (manager.handlers[id] = null);
    undo();
    await own.get('/ok');
    expect(downstream.headersOf('/ok')['x-own']).toBe('kept');
  });
});
