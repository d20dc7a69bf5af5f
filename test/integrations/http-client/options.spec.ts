import axios, { type AxiosInstance } from 'axios';
import { SpanKind } from '@opentelemetry/api';
import type { OutboundOptions } from '../../../lib/options/tracing-options.js';
import { traceAxios } from '../../../lib/integrations/http-client/axios.js';
import { traceFetch } from '../../../lib/integrations/http-client/fetch.js';
import { type Downstream, startDownstream } from './downstream.js';
import { OutboundApplication, traceparentOf } from './outbound-application.js';

describe.each(['axios', 'fetch'] as const)('the outbound options, for a call through %s:', way => {
  let downstream: Downstream;
  let application: OutboundApplication;
  let client: AxiosInstance;
  let stop: () => void;

  beforeAll(async () => {
    downstream = await startDownstream();
    client = traceAxios(axios.create());
    stop = traceFetch();
  });
  afterAll(async () => {
    stop();
    await downstream.close();
  });
  afterEach(() => application.finish());

  const send = async (url: string, headers: Record<string, string> = {}) => {
    if (way === 'axios') await client.get(url, { headers });
    else await (await fetch(url, { headers })).text();
  };

  /** Makes one call. Returns whether it had a span and whether the receiver got its context. */
  const call = async (outbound: OutboundOptions, path = '/ok', headers: Record<string, string> = {}) => {
    application = new OutboundApplication({ outbound });
    const url = downstream.url + path;
    await application.serve(() => send(url, headers));
    const { traceparent } = downstream.requests.at(-1)?.headers ?? {};
    return { spans: application.clientSpans.length, isCarried: traceparent !== undefined };
  };
  const traced = { spans: 1, isCarried: true };
  const untold = { spans: 1, isCarried: false };
  const ignored = { spans: 0, isCarried: false };

  it.each<[string, () => OutboundOptions['ignore'], object]>([
    ['an exact URL', () => `${downstream.url}/ok`, ignored],
    ['another URL', () => `${downstream.url}/other`, traced],
    ['a path alone', () => 'http://127.0.0.1/ok', traced],
    ['the beginning of a URL', () => `${downstream.url}/o*`, ignored],
    ['a pattern', () => /\/ok$/, ignored],
    ['a pattern that remembers', () => [/\/ok$/g, /\/never/y], ignored],
    [
      'a function',
      () =>
        ({ method, url }) =>
          method === 'GET' && url.searchParams.get('a') === '1',
      ignored,
    ],
    ['a function that is not asked to', () => () => false, traced],
    ['one of several', () => ['http://nowhere.test/', /ok/], ignored],
  ])('ignore by %s', async (_what, rule, expected) => {
    expect(await call({ ignore: rule() ?? [] }, '/ok?a=1')).toEqual(expected);
    expect(await call({ ignore: rule() ?? [] }, '/ok?a=1')).toEqual(expected);
  });

  it('a function of ignore that throws ignores nothing', async () => {
    const ignore = () => {
      throw new Error('broken rule');
    };
    expect(await call({ ignore })).toEqual(traced);
  });

  it.each<[string, () => OutboundOptions['propagateTo'], object]>([
    ['a host', () => '127.0.0.1', traced],
    ['a host and its port', () => `127.0.0.1:${downstream.port}`, traced],
    ['a host and another port', () => '127.0.0.1:1', untold],
    ['another host', () => 'users.test', untold],
    ['a domain', () => '*.0.1', traced],
    ['a domain and its port', () => `*.0.1:${downstream.port}`, traced],
    ['another domain', () => '*.test', untold],
    ['everything', () => '*', traced],
    ['nothing', () => [], untold],
    ['a pattern', () => /^127\.0\.0\.1:\d+$/g, traced],
    [
      'a function',
      () =>
        ({ url }) =>
          url.pathname === '/ok',
      traced,
    ],
    [
      'a function that throws',
      () => () => {
        throw new Error('broken rule');
      },
      untold,
    ],
  ])('propagateTo %s', async (_what, rule, expected) => {
    expect(await call({ propagateTo: rule() ?? [] })).toEqual(expected);
    expect(await call({ propagateTo: rule() ?? [] })).toEqual(expected);
  });

  it('captured headers are recorded, and no others', async () => {
    await call({ captureRequestHeaders: ['X-Tenant', 'x-absent'], captureResponseHeaders: ['X-Answer'] }, '/ok', { 'x-tenant': 'a' });
    const { attributes } = application.clientSpan;
    expect(Object.entries(attributes).filter(([key]) => key.includes('.header.'))).toEqual([
      ['http.request.header.x-tenant', ['a']],
      ['http.response.header.x-answer', ['yes']],
    ]);
  });

  it('redactQueryKeys replaces the default list', async () => {
    await call({ redactQueryKeys: ['token'] }, '/ok?token=secret&sig=shown');
    expect(application.clientSpan.attributes['url.full']).toBe(`${downstream.url}/ok?token=REDACTED&sig=shown`);
  });

  it('hooks see span, request and response, and cannot change what travels', async () => {
    const seen: unknown[] = [];
    await call({
      onRequest: (span, { method, url }) => {
        span.setAttribute('own.request', 1);
        seen.push([method, url.href]);
      },
      onResponse: (span, { headers, statusCode }, { url }) => {
        span.setAttribute('own.response', 2);
        seen.push([statusCode, headers['x-answer'], url.href]);
      },
    });
    expect(seen).toEqual([
      ['GET', `${downstream.url}/ok`],
      [200, 'yes', `${downstream.url}/ok`],
    ]);
    expect(application.clientSpan.attributes).toMatchObject({ 'own.request': 1, 'own.response': 2 });
    expect(downstream.requests.at(-1)?.headers.traceparent).toBe(traceparentOf(application.clientSpan));
  });

  it('hooks that throw change nothing', async () => {
    const fail = () => {
      throw new Error('broken hook');
    };
    expect(await call({ onRequest: fail, onResponse: fail })).toEqual(traced);
    expect(application.clientSpan.attributes['http.response.status_code']).toBe(200);
  });

  it('a propagator that throws costs the headers, not the call', async () => {
    const broken = {
      inject: () => {
        throw new Error('broken propagator');
      },
      extract: (ctx: never) => ctx,
      fields: () => [],
    };
    application = new OutboundApplication({ propagator: broken });
    await application.serve(() => send(`${downstream.url}/ok`));
    expect(application.clientSpan.attributes['http.response.status_code']).toBe(200);
  });

  it.each(['onStart', 'onEnd'])('a span processor that throws in %s does not cost the call', async method => {
    let calls = 0;
    const fail = (span: { kind: SpanKind }) => {
      if (span.kind !== SpanKind.CLIENT) return;
      calls += 1;
      throw new Error('broken processor');
    };
    const processor = { onStart: () => {}, onEnd: () => {}, forceFlush: async () => {}, shutdown: async () => {}, [method]: fail };
    application = new OutboundApplication({ spanProcessors: [processor] });
    await application.serve(() => send(`${downstream.url}/ok`));
    expect(calls).toBe(1);
    application.reset();
  });

  it('a tracer that throws costs the span, not the call', async () => {
    application = new OutboundApplication();
    const { tracer } = application;
    Object.defineProperty(application, 'tracer', {
      value: {
        startSpan: (name: string, ...rest: never[]) => {
          if (name === 'GET') throw new Error('broken tracer');
          return tracer.startSpan(name, ...rest);
        },
      },
    });
    await application.serve(() => send(`${downstream.url}/ok`));
    expect(application.clientSpans).toEqual([]);
    expect(downstream.requests.at(-1)?.url).toBe('/ok');
  });
});
