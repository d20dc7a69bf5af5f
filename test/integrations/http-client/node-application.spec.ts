import { Controller, Get, type INestApplication, Module } from '@nestjs/common';
import { SpanKind } from '@opentelemetry/api';
import got from 'got';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { Test } from '@nestjs/testing';
import { NoSpan, TracingModule, type TracingOptions } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { adapters, send, startApplication, type TestApplication } from '../http-server/http-application.js';
import { type Downstream, startDownstream } from './downstream.js';

let target = '';

@Controller()
class Gateway {
  @Get('got') got() {
    return got(`${target}/ok`).text();
  }
  @NoSpan() @Get('quiet') quiet() {
    return got(`${target}/ok`).text();
  }
}

const CALLER = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe.each(adapters)('calls by node:http of a Nest application on %s', adapter => {
  let downstream: Downstream;
  let app: TestApplication;

  beforeAll(async () => {
    downstream = await startDownstream();
    target = downstream.url;
  });
  afterAll(() => downstream.close());
  afterEach(() => app.close());
  const start = async (tracing: TracingOptions = {}) => (app = await startApplication(adapter, { controllers: [Gateway], tracing }));
  const carried = () => downstream.headersOf('/ok').traceparent;

  it('are in one trace with the request that makes them', async () => {
    await start();
    await app.request('/got');
    await app.recorder.waitForSpans(2);
    expect(app.recorder.tree()).toBe(['GET /got (server)', '  GET (client)'].join('\n'));
    expect(carried()).toContain(app.recorder.find('GET')!.spanContext().spanId);
  });

  it.each<[string, string, TracingOptions]>([
    ['from a handler marked @NoSpan()', '/quiet', {}],
    ['from an ignored request', '/got', { inbound: { ignore: '*' } }],
    ['where tracing is disabled', '/got', { enabled: false }],
  ])('%s pass the caller on', async (_what, path, tracing) => {
    await start(tracing);
    await app.request(path, { headers: { traceparent: CALLER } });
    expect(carried()).toBe(CALLER);
    expect(app.recorder.spans).toEqual([]);
  });

  it('are left alone where outbound.http is false', async () => {
    await start({ outbound: { http: false } });
    await app.request('/got');
    await app.recorder.waitForSpans(1);
    expect(carried()).toBeUndefined();
    expect(app.recorder.tree()).toBe('GET /got (server)');
  });

  it('are no longer traced after the application was closed', async () => {
    await start();
    await app.close();
    await got(`${target}/ok`);
    expect(carried()).toBeUndefined();
    expect(app.recorder.spans).toEqual([]);
  });
});

describe('a proxy of http-proxy-middleware', () => {
  let downstream: Downstream;
  let app: INestApplication;
  let recorder: TraceRecorder;
  let port = 0;

  beforeAll(async () => void (downstream = await startDownstream()));
  afterAll(() => downstream.close());
  afterEach(() => app.close());

  const start = async (changeOrigin: boolean, tracing: TracingOptions = {}) => {
    recorder = new TraceRecorder();
    @Module({ imports: [TracingModule.forRoot({ exporter: recorder, ...tracing })] })
    class AppModule {}
    const module = await Test.createTestingModule({ imports: [AppModule] }).compile();
    app = module.createNestApplication({ logger: false, bodyParser: false });
    app.use(createProxyMiddleware({ target: downstream.url, changeOrigin }));
    await app.listen(0, '127.0.0.1');
    port = (app.getHttpServer().address() as { port: number }).port;
  };

  describe.each([false, true])('(changeOrigin: %s)', changeOrigin => {
    it.each<[string, string | undefined]>([
      ['GET', undefined],
      ['POST', 'a body'],
    ])('makes what it calls by %s a child of its own call, not of its caller', async (method, body) => {
      await start(changeOrigin);
      const headers = { traceparent: CALLER, b3: '0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1', 'x-own': 'kept' };
      const answer = await send(port, '/ok?page=2', { method, headers }, body);
      expect(answer.status).toBe(200);
      const client = await recorder.waitForSpan(span => span.name === method && span.kind === SpanKind.CLIENT);
      const server = await recorder.waitForSpan(span => span.kind === SpanKind.SERVER);
      expect(client.parentSpanContext?.spanId).toBe(server.spanContext().spanId);
      expect(server.parentSpanContext?.spanId).toBe('b7ad6b7169203331');
      const received = downstream.headersOf('/ok');
      expect(received).toMatchObject({ 'x-own': 'kept', traceparent: expect.stringContaining(client.spanContext().spanId) });
      expect(received.b3).toContain(client.spanContext().spanId);
      expect(client.attributes).toMatchObject({
        'url.full': `${downstream.url}/ok?page=2`,
        'server.address': '127.0.0.1',
        'server.port': downstream.port,
      });
    });
  });

  it('passes on what its caller sent where the request is not traced', async () => {
    await start(true, { inbound: { ignore: '*' } });
    await send(port, '/ok', { headers: { traceparent: CALLER } });
    expect(downstream.headersOf('/ok').traceparent).toBe(CALLER);
    expect(recorder.spans).toEqual([]);
  });

  it('has the right parents among 100 requests at the same time', async () => {
    await start(true);
    await Promise.all(Array.from({ length: 100 }, (_, index) => send(port, `/ok/${index}`, { method: 'POST' }, `body ${index}`)));
    await recorder.waitForSpans(200);
    for (let index = 0; index < 100; index++) {
      const client = recorder.spans.find(({ attributes }) => attributes['url.full'] === `${downstream.url}/ok/${index}`)!;
      const server = recorder.spans.find(({ attributes }) => attributes['url.path'] === `/ok/${index}`)!;
      expect(client.parentSpanContext?.spanId).toBe(server.spanContext().spanId);
      expect(downstream.headersOf(`/ok/${index}`).traceparent).toContain(client.spanContext().spanId);
    }
  });
});
