import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { propagation, SpanKind, SpanStatusCode, context, trace } from '@opentelemetry/api';
import { suppressTracing } from '@opentelemetry/core';
import { traceNodeHttp } from '../../../lib/integrations/http-client/node-http.js';
import { rootContextOf, refusedSpan } from '../../application.js';
import { type Downstream, startDownstream } from './downstream.js';
import { call } from './node-call.js';
import { OutboundApplication, type OutboundSetup, traceparentOf } from './outbound-application.js';

const FOREIGN = '00-11111111111111111111111111111111-2222222222222222-01';

describe('a call through node:http', () => {
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
    stop = traceNodeHttp();
  });
  afterEach(async () => {
    stop();
    await application.finish();
  });

  const read = (path: string, ...rest: Parameters<typeof call> extends [unknown, ...infer Rest] ? Rest : never) =>
    call(`${downstream.url}${path}`, ...rest);
  const carried = (path = '/ok') => downstream.headersOf(path).traceparent;

  it('is a CLIENT span below the request that makes it, described by the stable conventions', async () => {
    await application.serve(() => read('/ok?page=2', { method: 'POST' }, request => request.write('{}')));
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
    expect(carried()).toBe(traceparentOf(span));
  });

  it('through http.get takes the trace along', async () => {
    const { port } = downstream;
    await application.serve(
      () => new Promise(resolve => http.get({ port, path: '/ok' }, response => response.resume().once('end', resolve))),
    );
    expect(carried()).toBe(traceparentOf(application.clientSpan));
    expect(application.clientSpan.attributes['url.full']).toBe(`http://localhost:${port}/ok`);
  });

  describe.each<[string, http.RequestOptions]>([
    ['in an object', { headers: { TraceParent: FOREIGN, 'x-own': 'kept', 'x-many': ['a', 'b'] } }],
    ['in a list', { headers: ['TraceParent', FOREIGN, 'x-own', 'kept', 'host', 'virtual.test'] }],
    [
      'in a list of pairs',
      {
        headers: [
          ['TraceParent', FOREIGN],
          ['x-own', 'kept'],
          ['host', 'virtual.test'],
        ] as never,
      },
    ],
    ['with "expect"', { headers: { TraceParent: FOREIGN, 'x-own': 'kept', expect: '100-continue' }, method: 'POST' }],
  ])('with headers %s', (_how, options) => {
    it('replaces trace headers of the user and keeps the others', async () => {
      await application.serve(() => read('/ok', options));
      const [{ rawHeaders } = {}] = downstream.requests.slice(-1);
      expect(rawHeaders?.filter(name => name.toLowerCase() === 'traceparent')).toHaveLength(1);
      expect(downstream.headersOf('/ok')).toMatchObject({ traceparent: traceparentOf(application.clientSpan), 'x-own': 'kept' });
    });

    it('shows the headers of the allow-list', async () => {
      await restart({ outbound: { captureRequestHeaders: ['X-Own', 'x-missing'] } });
      await application.serve(() => read('/ok', options));
      expect(application.clientSpan.attributes['http.request.header.x-own']).toEqual(['kept']);
      expect(application.clientSpan.attributes).not.toHaveProperty(['http.request.header.x-missing']);
    });
  });

  it('shows headers that the caller sets before it sends the body', async () => {
    await restart({ outbound: { captureRequestHeaders: ['x-late'] } });
    await application.serve(() => read('/ok', {}, request => request.setHeader('x-late', 'yes')));
    expect(application.clientSpan.attributes['http.request.header.x-late']).toEqual(['yes']);
  });

  it('replaces all headers of a format that a proxy has copied', async () => {
    await restart({ propagators: ['tracecontext', 'b3'] });
    const headers = { traceparent: FOREIGN, tracestate: 'a=1', 'x-b3-traceid': '1'.repeat(32), 'x-b3-spanid': '2'.repeat(16) };
    await application.serve(() => read('/ok', { headers }));
    const { tracestate, b3, ...others } = downstream.headersOf('/ok');
    expect([tracestate, others['x-b3-traceid'], others['x-b3-spanid']]).toEqual([undefined, undefined, undefined]);
    expect(b3).toContain(application.clientSpan.spanContext().spanId);
  });

  it('redacts what must not be seen', async () => {
    await application.serve(() => read('/ok?sig=secret&a=1', { auth: 'user:password' }));
    expect(application.clientSpan.attributes['url.full']).toBe(`${downstream.url}/ok?sig=REDACTED&a=1`);
  });

  it('keeps a path that begins with two slashes', async () => {
    await application.serve(() => read('/', { path: '//evil.test/ok' }));
    expect(application.clientSpan.attributes['url.full']).toBe(`${downstream.url}//evil.test/ok`);
  });

  it('through a proxy shows the URL of the target', async () => {
    await application.serve(() => read('/', { path: 'http://users.test:81/users/7' }));
    expect(application.clientSpan.attributes).toMatchObject({ 'url.full': 'http://users.test:81/users/7', 'server.port': 81 });
  });

  it('captures the response headers of the allow-list and calls the hooks', async () => {
    const seen: unknown[] = [];
    await restart({
      outbound: {
        captureResponseHeaders: ['x-answer', 'content-type'],
        onRequest: (span, { method, url }) => {
          seen.push([method, url.pathname]);
          span.updateName('renamed');
        },
        onResponse: (span, { headers, statusCode }, { url }) =>
          seen.push([statusCode, headers['x-answer'], url.pathname, span.isRecording()]),
      },
    });
    await application.serve(() => read('/ok'));
    expect(seen).toEqual([
      ['GET', '/ok'],
      [200, 'yes', '/ok', true],
    ]);
    expect(application.clientSpan.name).toBe('renamed');
    expect(application.clientSpan.attributes).toMatchObject({
      'http.response.header.x-answer': ['yes'],
      'http.response.header.content-type': ['application/json'],
    });
  });

  it.each([404, 503])('answered by %d has failed', async status => {
    await application.serve(() => read(`/status/${status}`));
    expect(application.clientSpan.status).toEqual({ code: SpanStatusCode.ERROR });
    expect(application.clientSpan.attributes).toMatchObject({ 'http.response.status_code': status, 'error.type': String(status) });
  });

  it('carries a body that is streamed', async () => {
    await application.serve(
      () =>
        new Promise<void>((resolve, reject) => {
          const request = http.request(`${downstream.url}/ok`, { method: 'PUT' }, response => response.resume().once('end', resolve));
          pipeline(Readable.from(['a', 'b', 'c']), request).catch(reject);
        }),
    );
    expect(application.clientSpan.name).toBe('PUT');
    expect(carried()).toBe(traceparentOf(application.clientSpan));
  });

  it.each<[string, Partial<http.AgentOptions>]>([
    ['an agent that keeps connections', { keepAlive: true }],
    ['an agent with two connections', { keepAlive: true, maxSockets: 2 }],
    ['an agent without kept connections', { maxSockets: 3 }],
  ])('has the right parent among 100 at the same time, through %s', async (_name, options) => {
    const agent = new http.Agent(options);
    const paths = Array.from({ length: 100 }, (_, index) => `/ok/${index}`);
    await Promise.all(paths.map(path => application.serve(span => (span.updateName(path), read(path, { agent })))));
    agent.destroy();
    expect(application.clientSpans).toHaveLength(100);
    for (const path of paths) {
      const client = application.clientSpans.find(({ attributes }) => attributes['url.full'] === downstream.url + path)!;
      expect(client.parentSpanContext?.spanId).toBe(application.span(path).spanContext().spanId);
      expect(carried(path)).toBe(traceparentOf(client));
    }
  });

  it('leaves the context of the caller in everything that follows', async () => {
    await application.serve(async request => {
      const seen = new Set<unknown>();
      const look = () => void seen.add(trace.getSpan(context.active()));
      await read('/big', {}, outgoing =>
        outgoing.once('socket', look).once('response', response => response.once('data', look).once('end', look)),
      );
      look();
      expect([...seen]).toEqual([request]);
    });
  });

  it('gives trace headers only to hosts that may have them', async () => {
    await restart({ outbound: { propagateTo: 'users.test' } });
    await application.serve(() => read('/ok'));
    expect(application.clientSpans).toHaveLength(1);
    expect(carried()).toBeUndefined();
  });

  it('has neither span nor headers where it is ignored', async () => {
    await restart({ outbound: { ignore: `${downstream.url}/ok` } });
    await application.serve(() => read('/ok'));
    expect(application.clientSpans).toEqual([]);
    expect(carried()).toBeUndefined();
  });

  it('belongs to a trace of its own outside any request', async () => {
    await read('/ok');
    expect(application.clientSpan.parentSpanContext).toBeUndefined();
    expect(carried()).toBe(traceparentOf(application.clientSpan));
  });

  it('to a server of the application itself has no span outside any request, as in a test with supertest', async () => {
    const server = http.createServer((_request, response) => response.end()).listen(0);
    await new Promise(resolve => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    const release = traceNodeHttp(() => server);
    for (const host of ['localhost', '127.0.0.1', '[::1]']) await call(`http://${host}:${port}/`);
    expect(application.clientSpans).toEqual([]);
    await application.serve(() => call(`http://localhost:${port}/`));
    expect(application.clientSpans).toHaveLength(1);
    release();
    await call(`http://localhost:${port}/`);
    expect(application.clientSpans).toHaveLength(2);
    server.close();
  });

  it('is not traced where outbound.http is false', async () => {
    await restart({ outbound: { http: false } });
    await application.serve(() => read('/ok'));
    expect(application.clientSpans).toEqual([]);
    expect(carried()).toBeUndefined();
  });

  it('is traced as long as one application listens', async () => {
    const second = traceNodeHttp();
    second();
    second();
    await application.serve(() => read('/ok'));
    expect(application.clientSpans).toHaveLength(1);
    stop();
    await application.serve(() => read('/ok'));
    expect(application.clientSpans).toHaveLength(1);
    expect(carried()).toBeUndefined();
    expect(Object.hasOwn(http.ClientRequest.prototype, '_storeHeader')).toBe(false);
    expect(String(Reflect.get(http.Agent.prototype, 'addRequest'))).toContain('kRequestOptions');
  });

  it('of an exporter is left alone, and no rule is asked', async () => {
    let questions = 0;
    await restart({ outbound: { ignore: () => (questions += 1) < 0 } });
    await application.serve(() => context.with(suppressTracing(context.active()), () => read('/ok')));
    expect(application.clientSpans).toEqual([]);
    expect([carried(), questions]).toEqual([undefined, 0]);
  });

  it('from a request that is not traced passes on what its caller sent', async () => {
    const caller = propagation.setBaggage(
      trace.setSpanContext(rootContextOf(application), refusedSpan().spanContext()),
      propagation.createBaggage(),
    );
    await application.relay(caller, () => read('/ok'));
    expect(carried()).toBe(`00-${'1'.repeat(32)}-${'2'.repeat(16)}-00`);
    await application.relaySuppressed(caller, () => read('/status/200'));
    expect(carried('/status/200')).toBe(`00-${'1'.repeat(32)}-${'2'.repeat(16)}-00`);
    expect(application.spans).toEqual([]);
  });

  it('that is known not to be sampled says so to its receiver', async () => {
    await restart({ unsampledSpan: () => refusedSpan() });
    await context.with(rootContextOf(application), () => read('/ok'));
    expect(carried()).toBe(`00-${'1'.repeat(32)}-${'2'.repeat(16)}-00`);
    expect(application.spans).toEqual([]);
  });

  describe('shows the server that it goes to', () => {
    const servers: http.Server[] = [];
    const listening = async (where: string | { readonly port: number; readonly host?: string }) => {
      const server = http.createServer((request, response) => response.end(request.headers.traceparent));
      servers.push(server);
      await new Promise<void>(resolve => server.listen(where).once('listening', resolve));
      return server.address() as AddressInfo;
    };
    afterEach(() => servers.splice(0).forEach(server => server.close().closeAllConnections()));

    it('if it is a Unix domain socket', async () => {
      const socketPath = join(tmpdir(), `nestjs-tracing-${process.pid}.sock`);
      await listening(socketPath);
      const { body } = await application.serve(() => call('http://docker/info', { socketPath }));
      expect(body).toBe(traceparentOf(application.clientSpan));
      expect(application.clientSpan.attributes).toMatchObject({ 'server.address': socketPath, 'url.full': 'http://localhost/info' });
      expect(application.clientSpan.attributes).not.toHaveProperty('server.port');
    });

    it.each<[string, http.RequestOptions]>([
      ['a URL', {}],
      ['options', { hostname: '::1' }],
    ])('over IPv6, given in %s', async (_how, options) => {
      const { port } = await listening({ port: 0, host: '::1' });
      await application.serve(() => call('hostname' in options ? `http://localhost:${port}/` : `http://[::1]:${port}/`, options));
      expect(application.clientSpan.attributes).toMatchObject({
        'server.address': '::1',
        'server.port': port,
        'url.full': `http://[::1]:${port}/`,
      });
    });

    it.each<[string, (name: string) => http.RequestOptions['headers']]>([
      ['an object', host => ({ host })],
      ['a list', host => ['host', host]],
    ])('where the "host" header in %s names another one', async (how, headers) => {
      const { port } = await listening({ port: 0 });
      for (const name of ['virtual.test', 'localhost:1']) {
        application.reset();
        await application.serve(() => call(`http://localhost:${port}/`, { headers: headers(name), agent: false }));
        // Before Node 22, the headers in a list are final before there is an agent.
        if (how === 'a list' && Number.parseInt(process.versions.node) < 22) continue;
        expect(application.clientSpan.attributes).toMatchObject({ 'server.address': 'localhost', 'server.port': port });
      }
    });

    it('among others that an agent is connected to', async () => {
      const ports = [(await listening({ port: 0 })).port, (await listening({ port: 0 })).port];
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      for (const port of [...ports, ...ports]) {
        application.reset();
        await application.serve(() => call(`http://localhost:${port}/`, { headers: { host: 'virtual.test' }, agent }));
        expect(application.clientSpan.attributes['server.port']).toBe(port);
      }
      agent.destroy();
    });
  });
});
