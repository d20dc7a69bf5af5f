import { fetch as undiciFetch } from 'undici';
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { traceFetch } from '../../../lib/integrations/http-client/fetch.js';
import { type Downstream, startDownstream } from './downstream.js';
import { OutboundApplication, type OutboundSetup, traceparentOf } from './outbound-application.js';

type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

describe.each<[string, Fetch]>([
  ['global fetch', fetch],
  ['fetch of the undici package', undiciFetch as unknown as Fetch],
])('a call through %s', (_name, send) => {
  let downstream: Downstream;
  let application: OutboundApplication;
  let stop: () => void;

  const restart = async (setup: OutboundSetup) => {
    await application.close();
    application = new OutboundApplication(setup);
  };

  beforeAll(async () => void (downstream = await startDownstream()));
  afterAll(() => downstream.close());
  beforeEach(() => {
    application = new OutboundApplication();
    stop = traceFetch();
  });
  afterEach(async () => {
    stop();
    await application.finish();
  });

  const read = async (path: string, init?: RequestInit) => {
    const response = await send(`${downstream.url}${path}`, init);
    return { status: response.status, text: await response.text() };
  };
  const failing = (url: string, init?: RequestInit) =>
    application.serve(() =>
      send(url, init).then(
        () => Promise.reject(new Error('it did not fail')),
        (error: unknown) => error,
      ),
    );

  it('is a CLIENT span below the request that makes it, described by the stable conventions', async () => {
    await application.serve(() => read('/ok?page=2', { method: 'POST', body: '{}' }));
    const span = application.clientSpan;
    expect(span).toMatchObject({ name: 'POST', kind: SpanKind.CLIENT, status: { code: SpanStatusCode.UNSET }, events: [] });
    expect(application.childrenOf(application.span('request'))).toEqual(['POST']);
    expect(span.attributes).toEqual({
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

  it('takes the trace along', async () => {
    await application.serve(() => read('/ok'));
    expect(downstream.headersOf('/ok').traceparent).toBe(traceparentOf(application.clientSpan));
  });

  it('replaces trace headers that the user set, instead of sending two', async () => {
    const headers = { traceparent: '00-11111111111111111111111111111111-2222222222222222-01', 'x-own': 'kept' };
    await application.serve(() => read('/ok', { headers }));
    expect(downstream.headersOf('/ok')).toMatchObject({ traceparent: traceparentOf(application.clientSpan), 'x-own': 'kept' });
  });

  it('replaces trace headers that the user passes on from its own caller, and those of a call outside any request', async () => {
    await application.serve(request => {
      const { traceId } = request.spanContext();
      return read('/ok', { headers: { traceparent: `00-${traceId}-2222222222222222-01` } });
    });
    expect(downstream.headersOf('/ok').traceparent).toBe(traceparentOf(application.clientSpan));
    application.reset();
    await read('/ok', { headers: { traceparent: '00-11111111111111111111111111111111-2222222222222222-01' } });
    expect(downstream.headersOf('/ok').traceparent).toBe(traceparentOf(application.clientSpan));
  });

  it('redacts what must not be seen', async () => {
    await application.serve(() => read('/ok?sig=secret&a=1'));
    expect(application.clientSpan.attributes['url.full']).toBe(`${downstream.url}/ok?sig=REDACTED&a=1`);
  });

  it('keeps a path that begins with two slashes', async () => {
    await application.serve(() => read('//evil.test/ok'));
    expect(application.clientSpan.attributes).toMatchObject({
      'server.address': '127.0.0.1',
      'url.full': `${downstream.url}//evil.test/ok`,
    });
  });

  it('captures the headers of the allow-list and calls the hooks', async () => {
    const seen: unknown[] = [];
    await restart({
      outbound: {
        captureRequestHeaders: ['X-Tenant', 'traceparent'],
        captureResponseHeaders: ['x-answer', 'content-type'],
        onRequest: (span, { method, url }) => {
          seen.push([method, url.pathname]);
          span.setAttribute('own', 1);
          span.updateName('renamed');
        },
        onResponse: (span, { headers, statusCode }, { url }) =>
          seen.push([statusCode, headers['x-answer'], url.pathname, span.isRecording()]),
      },
    });
    await application.serve(() => read('/ok', { headers: { 'x-tenant': 'a' } }));
    expect(seen).toEqual([
      ['GET', '/ok'],
      [200, 'yes', '/ok', true],
    ]);
    expect(application.clientSpan.name).toBe('renamed');
    expect(application.clientSpan.attributes).toMatchObject({
      own: 1,
      'http.request.header.x-tenant': ['a'],
      'http.response.header.x-answer': ['yes'],
      'http.response.header.content-type': ['application/json'],
    });
  });

  it.each([404, 503])('answered by %d has failed', async status => {
    await application.serve(() => read(`/status/${status}`));
    expect(application.clientSpan.status).toEqual({ code: SpanStatusCode.ERROR });
    expect(application.clientSpan.attributes).toMatchObject({ 'http.response.status_code': status, 'error.type': String(status) });
  });

  it('that finds nobody has failed', async () => {
    await failing('http://127.0.0.1:1/').catch(() => undefined);
    // fetch itself refuses port 1, so nothing was sent.
    expect(application.clientSpans).toEqual([]);
    const closed = await startDownstream();
    await closed.close();
    await failing(`${closed.url}/ok`);
    expect(application.clientSpan.status.code).toBe(SpanStatusCode.ERROR);
    expect(application.clientSpan.attributes['error.type']).toBe('ECONNREFUSED');
    expect(application.clientSpan.events).toHaveLength(1);
  });

  it('whose connection is closed before the answer has failed', async () => {
    await failing(`${downstream.url}/reset`);
    expect(application.clientSpan.status.code).toBe(SpanStatusCode.ERROR);
    expect(application.clientSpan.attributes['error.type']).toBe('UND_ERR_SOCKET');
  });

  it.each([
    ['without a reason', undefined],
    ['for a reason of its own', new Error('changed my mind')],
    ['saying why', 'enough'],
  ])('that the caller aborts %s has not failed', async (_how, reason) => {
    const abort = new AbortController();
    const arrival = downstream.arrival('/hang');
    const pending = failing(`${downstream.url}/hang`, { signal: abort.signal });
    await arrival;
    abort.abort(reason);
    await pending;
    expect(application.clientSpan.status).toEqual({ code: SpanStatusCode.UNSET });
    expect(application.clientSpan.attributes).not.toHaveProperty('error.type');
  });

  it('that misses its deadline has failed', async () => {
    await failing(`${downstream.url}/hang`, { signal: AbortSignal.timeout(30) });
    expect(application.clientSpan.status.code).toBe(SpanStatusCode.ERROR);
    expect(application.clientSpan.attributes['error.type']).toBe('TimeoutError');
  });

  it('ends when the headers have arrived, whether or not anybody reads the body', async () => {
    await application.serve(async () => {
      const response = await send(`${downstream.url}/drip`);
      expect(application.clientSpan.attributes).toMatchObject({ 'http.response.status_code': 200 });
      await response.body?.cancel();
    });
  });

  it('has a span per redirect, counted', async () => {
    await application.serve(() => read('/redirect/2'));
    expect(
      application.clientSpans.map(({ attributes }) => [
        attributes['url.full'],
        attributes['http.response.status_code'],
        attributes['http.request.resend_count'],
      ]),
    ).toEqual([
      [`${downstream.url}/redirect/2`, 302, undefined],
      [`${downstream.url}/redirect/1`, 302, 1],
      [`${downstream.url}/redirect/0`, 200, 2],
    ]);
    expect(application.childrenOf(application.span('request'))).toEqual(['GET', 'GET', 'GET']);
    expect(downstream.headersOf('/redirect/0').traceparent).toBe(traceparentOf(application.clientSpans[2]!));
  });

  it('counts nothing for a call of its own to where an earlier one was redirected', async () => {
    await application.serve(async () => {
      await read('/redirect/1');
      await read('/redirect/0');
    });
    expect(application.clientSpans.map(({ attributes }) => attributes['http.request.resend_count'])).toEqual([undefined, 1, undefined]);
  });

  it('gives trace headers only to hosts that may have them, redirects included', async () => {
    const elsewhere = await startDownstream();
    await restart({ outbound: { propagateTo: `127.0.0.1:${downstream.port}` } });
    await application.serve(() => read(`/redirect/1?to=${elsewhere.url}/ok`));
    await elsewhere.close();
    expect(application.clientSpans).toHaveLength(2);
    expect(downstream.requests.at(-1)?.headers.traceparent).toBe(traceparentOf(application.clientSpans[0]!));
    expect(elsewhere.headersOf('/ok').traceparent).toBeUndefined();
  });

  it('leaves the context of the caller in everything that follows', async () => {
    await application.serve(async request => {
      const response = await send(`${downstream.url}/big`);
      const seen = new Set([trace.getSpan(context.active())]);
      for await (const _chunk of response.body as unknown as AsyncIterable<unknown>) seen.add(trace.getSpan(context.active()));
      await send(`${downstream.url}/ok`).then(() => seen.add(trace.getSpan(context.active())));
      expect([...seen]).toEqual([request]);
    });
  });

  it('belongs to a trace of its own outside any request', async () => {
    await read('/ok');
    expect(application.clientSpan.parentSpanContext).toBeUndefined();
  });

  it('is not traced where outbound.fetch is false', async () => {
    await restart({ outbound: { fetch: false } });
    await application.serve(() => read('/status/200'));
    expect(application.clientSpans).toEqual([]);
    expect(downstream.requests.at(-1)?.headers.traceparent).toBeUndefined();
  });

  it('is traced as long as one application listens', async () => {
    const second = traceFetch();
    second();
    second();
    await application.serve(() => read('/ok'));
    expect(application.clientSpans).toHaveLength(1);
    stop();
    await application.serve(() => read('/status/200'));
    expect(application.clientSpans).toHaveLength(1);
    expect(downstream.requests.at(-1)?.headers.traceparent).toBeUndefined();
  });
});
