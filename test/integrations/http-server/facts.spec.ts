import { Controller, Get, Req, Res } from '@nestjs/common';
import { type Attributes, type Context, trace } from '@opentelemetry/api';
import { NodeTracerProvider, type ReadableSpan, type SpanProcessor } from '@opentelemetry/sdk-trace-node';
import { SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { FACTS } from '../../../lib/spans/facts.js';
import { adapters, startApplication } from './http-application.js';

interface Changeable {
  url: string;
  method: string;
  originalUrl: string;
  httpVersion: string;
  headers: Record<string, string>;
}

@Controller('shop')
class Shop {
  @Get('order/:id') order() {
    return 'order';
  }
  @Get('changed') changed(@Req() request: Partial<Changeable> & { raw?: Changeable }) {
    const raw = request.raw ?? (request as Changeable);
    raw.url = raw.originalUrl = '/elsewhere?x=1';
    raw.headers['host'] = 'elsewhere.example:99';
    raw.headers['user-agent'] = 'other';
    raw.headers['x-forwarded-for'] = '192.0.2.9';
    raw.httpVersion = '9.9';
    return 'changed';
  }
  @Get('written') written(@Res({ passthrough: true }) _response: unknown) {
    trace.getActiveSpan()?.setAttributes({ 'http.route': 'mine', 'http.response.status_code': 1, 'url.path': '/mine', own: 'yes' });
    return 'written';
  }
}

const controllers = [Shop];

describe.each(adapters)('the attributes of a request on %s', adapter => {
  const requested = async (path: string, setup: Partial<Parameters<typeof startApplication>[1]> = {}): Promise<Attributes> => {
    const test = await startApplication(adapter, { controllers, ...setup });
    try {
      await test.request(path, { headers: { 'user-agent': 'spec', host: 'shop.example:8080' } });
      const span = await test.recorder.waitForSpan(() => true);
      return span.attributes;
    } finally {
      await test.close();
    }
  };
  const order: Attributes = {
    'http.request.method': 'GET',
    'url.path': '/shop/order/7',
    'url.query': 'token=REDACTED&page=2',
    'url.scheme': 'http',
    'server.address': 'shop.example',
    'server.port': 8080,
    'client.address': '127.0.0.1',
    'network.peer.address': '127.0.0.1',
    'network.peer.port': expect.any(Number) as never,
    'network.protocol.version': '1.1',
    'user_agent.original': 'spec',
    'http.route': '/shop/order/:id',
    'code.function.name': 'Shop.order',
    'http.response.status_code': 200,
  };
  const redactQueryKeys = ['token'];

  it('are made when the span is exported', async () => {
    const kept: ReadableSpan[] = [];
    const keeping: SpanProcessor = {
      onStart: () => undefined,
      onEnd: span => void kept.push(span),
      forceFlush: () => Promise.resolve(),
      shutdown: () => Promise.resolve(),
    };
    const test = await startApplication(adapter, {
      controllers,
      tracing: { exporter: 'none', spanProcessors: [keeping], inbound: { redactQueryKeys } },
    });
    await test.request('/shop/order/7?token=secret&page=2', { headers: { 'user-agent': 'spec', host: 'shop.example:8080' } });
    await test.close();
    const [span] = kept as (ReadableSpan & { [FACTS]?: unknown })[];
    expect(span![FACTS]).toBeDefined();
    expect(span!.attributes).toEqual(order);
    expect(span![FACTS]).toBeUndefined();
    expect(span!.droppedAttributesCount).toBe(0);
  });

  it('are the same for a processor that reads them at the start', async () => {
    const seen: Attributes[] = [];
    const reading: SpanProcessor = {
      onStart: (span, _parent: Context) => void seen.push({ ...span.attributes }),
      onEnd: () => undefined,
      forceFlush: () => Promise.resolve(),
      shutdown: () => Promise.resolve(),
    };
    const path = '/shop/order/7?token=secret&page=2';
    const attributes = await requested(path, { inbound: { redactQueryKeys }, tracing: { spanProcessors: [reading] } });
    expect(attributes).toEqual(order);
    const { 'http.route': _route, 'code.function.name': _name, 'http.response.status_code': _status, ...known } = order;
    expect(seen).toEqual([known]);
  });

  it('are the same with a provider of the SDK', async () => {
    const recorder = new TraceRecorder();
    const tracerProvider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(recorder)] });
    const test = await startApplication(adapter, {
      controllers,
      tracing: { exporter: undefined, tracerProvider, inbound: { redactQueryKeys } },
    });
    await test.request('/shop/order/7?token=secret&page=2', { headers: { 'user-agent': 'spec', host: 'shop.example:8080' } });
    const span = await recorder.waitForSpan(() => true);
    await test.close();
    expect(span.attributes).toEqual(order);
  });

  it('are those of the moment when it came in, whatever the application changes later', async () => {
    expect(await requested('/shop/changed')).toMatchObject({
      'url.path': '/shop/changed',
      'server.address': 'shop.example',
      'server.port': 8080,
      'client.address': '127.0.0.1',
      'network.protocol.version': '1.1',
      'user_agent.original': 'spec',
      'http.route': '/shop/changed',
    });
  });

  it('take what a handler writes, and the status after that', async () => {
    expect(await requested('/shop/written')).toMatchObject({
      'http.route': 'mine',
      'url.path': '/mine',
      own: 'yes',
      'http.response.status_code': 200,
    });
  });

  it('take what a hook writes, and the route after that', async () => {
    const onRequest = (span: { setAttributes(attributes: Attributes): unknown }) =>
      void span.setAttributes({ 'http.route': 'mine', 'url.path': '/mine', own: 'yes' });
    expect(await requested('/shop/order/7', { inbound: { onRequest } })).toMatchObject({
      'http.route': '/shop/order/:id',
      'url.path': '/mine',
      own: 'yes',
      'http.response.status_code': 200,
    });
  });

  it('keep the limits of the SDK', async () => {
    process.env['OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT'] = '3';
    process.env['OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT'] = '5';
    try {
      expect(await requested('/shop/order/7')).toEqual({ 'http.request.method': 'GET', 'url.path': '/shop', 'url.scheme': 'http' });
    } finally {
      delete process.env['OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT'];
      delete process.env['OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT'];
    }
  });
});
