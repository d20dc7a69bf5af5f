import axios, { type AxiosInstance } from 'axios';
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { traceAxios } from '../../../lib/integrations/http-client/axios.js';
import { type Downstream, startDownstream } from './downstream.js';
import { OutboundApplication, traceparentOf } from './outbound-application.js';

describe('a call through axios', () => {
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

  it('is a CLIENT span below the request that makes it', async () => {
    await application.serve(() => client.get('/ok'));
    const span = application.clientSpan;
    expect(span).toMatchObject({ name: 'GET', kind: SpanKind.CLIENT, status: { code: SpanStatusCode.UNSET }, events: [] });
    expect(application.childrenOf(application.span('request'))).toEqual(['GET']);
  });

  it('carries exactly the attributes of the stable conventions', async () => {
    await application.serve(() => client.post('/ok?page=2', { name: 'x' }));
    expect(application.clientSpan.attributes).toEqual({
      'http.request.method': 'POST',
      'server.address': '127.0.0.1',
      'server.port': downstream.port,
      'url.full': `${downstream.url}/ok?page=2`,
      'http.response.status_code': 200,
      'network.peer.address': '127.0.0.1',
      'network.peer.port': downstream.port,
      'network.protocol.version': '1.1',
    });
  });

  it('tells samplers method, server and URL before the request is sent', async () => {
    await application.close();
    const seen: unknown[] = [];
    const sampler = {
      shouldSample: (_ctx: unknown, _trace: string, name: string, kind: SpanKind, attributes: object) => {
        if (kind === SpanKind.CLIENT) seen.push([name, Object.keys(attributes).sort()]);
        return { decision: 2 };
      },
    };
    application = new OutboundApplication({ sampler });
    await application.serve(() => client.get('/ok'));
    expect(seen).toEqual([['GET', ['http.request.method', 'server.address', 'server.port', 'url.full']]]);
  });

  it('takes the trace along: the receiver is told the span of the call', async () => {
    await application.serve(() => client.get('/ok'));
    expect(downstream.headersOf('/ok').traceparent).toBe(traceparentOf(application.clientSpan));
  });

  it('writes every format that is configured, and baggage', async () => {
    await application.close();
    application = new OutboundApplication({ propagators: ['tracecontext', 'b3', 'b3multi'] });
    await application.serve(() => client.get('/ok'));
    const { traceId, spanId } = application.clientSpan.spanContext();
    expect(downstream.headersOf('/ok')).toMatchObject({ b3: `${traceId}-${spanId}-1`, 'x-b3-traceid': traceId, 'x-b3-spanid': spanId });
  });

  it('replaces trace headers that the user copied from elsewhere', async () => {
    const headers = { TraceParent: '00-11111111111111111111111111111111-2222222222222222-01', 'x-own': 'kept' };
    await application.serve(() => client.get('/ok', { headers }));
    expect(downstream.headersOf('/ok')).toMatchObject({ traceparent: traceparentOf(application.clientSpan), 'x-own': 'kept' });
  });

  it('writes headers after every interceptor of the user, whenever it was added', async () => {
    const own = axios.create({ baseURL: downstream.url });
    const meddle = (config: { headers: { set(name: string, value: string): void } }) => {
      config.headers.set('traceparent', 'meddled');
      return config as never;
    };
    own.interceptors.request.use(meddle);
    traceAxios(own);
    own.interceptors.request.use(async config => meddle(config));
    await application.serve(() => own.get('/ok'));
    expect(downstream.headersOf('/ok').traceparent).toBe(traceparentOf(application.clientSpan));
  });

  it('shows the URL that is called: base, parameters, what interceptors change, without credentials and secrets', async () => {
    client.interceptors.request.use(config => {
      config.params = { ...config.params, sig: 'secret', tenant: 'a b' };
      return config;
    });
    const baseURL = downstream.url.replace('//', '//user:password@');
    await application.serve(() => client.get('ok', { baseURL: `${baseURL}/v1/`, params: { list: [1, 2] } }));
    expect(application.clientSpan.attributes['url.full']).toBe(
      `${downstream.url.replace('//', '//REDACTED:REDACTED@')}/v1/ok?list%5B%5D=1&list%5B%5D=2&sig=REDACTED&tenant=a+b`,
    );
    expect(downstream.requests.at(-1)?.url).toBe('/v1/ok?list%5B%5D=1&list%5B%5D=2&sig=secret&tenant=a+b');
    expect(downstream.requests.at(-1)?.headers.authorization).toMatch(/^Basic /);
  });

  it('shows no parameter that an interceptor has taken away', async () => {
    const own = traceAxios(axios.create({ baseURL: downstream.url, params: { a: 1, b: 2 } }));
    own.interceptors.request.use(config => {
      config.params = { b: 3 };
      return config;
    });
    await application.serve(() => own.get('/ok'));
    expect(application.clientSpan.attributes['url.full']).toBe(`${downstream.url}/ok?b=3`);
    expect(downstream.requests.at(-1)?.url).toBe('/ok?b=3');
  });

  it('names unknown methods HTTP', async () => {
    await application.serve(() => client.request({ method: 'propfind', url: '/ok' }));
    expect(application.clientSpan.name).toBe('HTTP');
    expect(application.clientSpan.attributes).toMatchObject({
      'http.request.method': '_OTHER',
      'http.request.method_original': 'PROPFIND',
    });
  });

  it('knows the port of a URL that names none', async () => {
    const adapter = (config: unknown) => Promise.resolve({ status: 204, data: '', headers: {}, config });
    for (const url of ['http://users.test/a', 'https://users.test/b', 'https://[2001:db8::1]:8443/c']) {
      await application.serve(() => axios.create().get(url, { adapter: adapter as never }));
      await application.serve(() => client.get(url, { adapter: adapter as never }));
    }
    expect(application.clientSpans.map(({ attributes }) => [attributes['server.address'], attributes['server.port']])).toEqual([
      ['users.test', 80],
      ['users.test', 443],
      ['2001:db8::1', 8443],
    ]);
  });

  it('leaves the context of the caller in everything that follows', async () => {
    await application.serve(async request => {
      const before = trace.getSpan(context.active());
      const response = await client.get('/ok', { responseType: 'stream' });
      expect(trace.getSpan(context.active())).toBe(before);
      const seen = new Set<unknown>();
      await new Promise<void>(resolve => {
        response.data.on('data', () => seen.add(trace.getSpan(context.active())));
        response.data.on('end', () => resolve());
      });
      await client.get('/ok').then(() => seen.add(trace.getSpan(context.active())));
      expect([...seen]).toEqual([request]);
    });
  });

  it('ends its span when the headers of a stream have arrived', async () => {
    await application.serve(async () => {
      const { data } = await client.get('/drip', { responseType: 'stream' });
      expect(application.clientSpan.attributes).toMatchObject({ 'http.response.status_code': 200 });
      data.destroy();
    });
  });

  it('belongs to a trace of its own outside any request', async () => {
    await client.get('/ok');
    expect(application.clientSpan.parentSpanContext).toBeUndefined();
    expect(downstream.headersOf('/ok').traceparent).toBe(traceparentOf(application.clientSpan));
  });

  it('is traced for axios itself too', async () => {
    traceAxios(axios);
    await application.serve(() => axios.get(`${downstream.url}/ok`));
    expect(application.clientSpans).toHaveLength(1);
  });

  it('goes untouched when no application is running', async () => {
    await application.close();
    await client.get('/status/204');
    expect(downstream.headersOf('/status/204').traceparent).toBeUndefined();
    expect(application.openSpans).toBe(0);
  });

  it('makes one span, however often the instance is given to traceAxios', async () => {
    expect(traceAxios(traceAxios(client))).toBe(client);
    await application.serve(() => client.get('/ok'));
    expect(application.clientSpans).toHaveLength(1);
  });

  it('goes through instances of the Axios class too', async () => {
    const instance = traceAxios(new axios.Axios({ ...(axios.defaults as object), baseURL: downstream.url } as never));
    await application.serve(() => instance.get('/ok', { params: { a: 1 } }));
    expect(application.clientSpan.attributes['url.full']).toBe(`${downstream.url}/ok?a=1`);
  });

  it('refuses what is no axios, saying what it got', () => {
    expect(() => traceAxios({ interceptors: {} })).toThrow('traceAxios() got an object of Object; expected axios itself');
    expect(() => traceAxios(undefined as never)).toThrow('traceAxios() got "undefined"');
  });
});
