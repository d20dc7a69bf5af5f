import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type Attributes, context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Pipeline } from '../../lib/sdk/pipeline.js';
import { Collector } from './collector.js';
import { said, setEnvironment, startPipeline } from './pipelines.js';

let collector: Collector;
beforeEach(async () => {
  collector = await Collector.start();
});
afterEach(() => collector.stop());

function makeTrace({ tracer }: Pipeline): void {
  const parent = tracer.startSpan('parent', {
    kind: SpanKind.SERVER,
    attributes: { 'http.route': '/users/:id', port: 80, ratio: 0.5, ok: true },
  });
  context.with(trace.setSpan(context.active(), parent), () => {
    tracer
      .startSpan('child', { attributes: { keys: ['a', 'b'] } })
      .setStatus({ code: SpanStatusCode.ERROR })
      .end();
  });
  parent.end();
}

describe('the exporter "otlp"', () => {
  it('delivers spans as protobuf over HTTP, with the resource and the scope of this package', async () => {
    setEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_HEADERS: 'x-api-key=secret' });
    const pipeline = await startPipeline({ exporter: 'otlp', serviceName: 'orders', serviceVersion: '7' });
    makeTrace(pipeline);
    await pipeline.forceFlush();

    expect(collector.requests).toHaveLength(1);
    expect(collector.requests[0]).toMatchObject({
      url: '/v1/traces',
      headers: { 'content-type': 'application/x-protobuf', 'x-api-key': 'secret' },
    });
    const [child, parent] = collector.spans;
    expect(parent).toMatchObject({
      name: 'parent',
      kind: 2,
      parentSpanId: '',
      attributes: { 'http.route': '/users/:id', port: 80, ratio: 0.5, ok: true },
    });
    expect(child).toMatchObject({
      name: 'child',
      parentSpanId: parent?.spanId,
      traceId: parent?.traceId,
      status: 2,
      attributes: { keys: ['a', 'b'] },
    });
    expect(Math.abs(parent!.endNanos / 1e6 - Date.now())).toBeLessThan(60_000);
    expect(parent!.startNanos).toBeLessThan(parent!.endNanos);
    expect(collector.resourceAttributes).toEqual([
      expect.objectContaining({
        'service.name': 'orders',
        'service.version': '7',
        'telemetry.sdk.language': 'nodejs',
        'process.pid': process.pid,
      }),
    ]);
    expect(collector.scopes).toEqual([
      {
        name: 'nestjs-tracing',
        version: JSON.parse(readFileSync('package.json', 'utf8')).version,
        schemaUrl: 'https://opentelemetry.io/schemas/1.45.0',
      },
    ]);
  });

  it('delivers what is waiting when the application shuts down, compressed if asked to', async () => {
    setEnvironment({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/custom`, OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip' });
    const pipeline = await startPipeline({ exporter: 'otlp' });
    for (let i = 0; i < 1300; i++) pipeline.tracer.startSpan(`span ${i}`).end();
    await pipeline.shutdown();
    expect(collector.spans).toHaveLength(1300);
    expect(collector.requests.map(request => request.url)).toEqual(['/custom', '/custom', '/custom']);
    expect(said).toEqual([]);
  });

  it('delivers on its own after the delay of OTEL_BSP_SCHEDULE_DELAY', async () => {
    setEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '1' });
    makeTrace(await startPipeline({ exporter: 'otlp' }));
    await collector.received(1);
    expect(collector.spans).toHaveLength(2);
  });

  it('speaks JSON where the environment asks for it', async () => {
    setEnvironment({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
      OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json',
    });
    const pipeline = await startPipeline({ exporter: 'otlp' });
    makeTrace(pipeline);
    await pipeline.forceFlush();
    expect(collector.requests[0]?.headers['content-type']).toBe('application/json');
    const body = JSON.parse(String(collector.requests[0]?.body));
    expect(body.resourceSpans[0].scopeSpans[0].spans.map((span: { name: string }) => span.name)).toEqual(['child', 'parent']);
  });

  it('goes on with protobuf where the protocol is unknown, and says so', async () => {
    setEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/xml' });
    const pipeline = await startPipeline({ exporter: 'otlp' });
    makeTrace(pipeline);
    await pipeline.forceFlush();
    expect(collector.spans).toHaveLength(2);
    expect(said).toEqual([expect.stringContaining('OTEL_EXPORTER_OTLP_PROTOCOL is "http/xml"')]);
  });
});

describe('the exporter "zipkin"', () => {
  it('delivers to OTEL_EXPORTER_ZIPKIN_ENDPOINT', async () => {
    setEnvironment({ OTEL_EXPORTER_ZIPKIN_ENDPOINT: `${collector.url}/api/v2/spans` });
    const pipeline = await startPipeline({ exporter: 'zipkin', serviceName: 'orders' });
    makeTrace(pipeline);
    await pipeline.forceFlush();
    expect(collector.requests[0]?.url).toBe('/api/v2/spans');
    const [child, parent] = JSON.parse(String(collector.requests[0]?.body));
    expect(parent).toMatchObject({ name: 'parent', kind: 'SERVER', localEndpoint: { serviceName: 'orders' } });
    expect(child).toMatchObject({ name: 'child', parentId: parent.id, traceId: parent.traceId });
  });

  it('says who is at the other end, in whichever direction: the server of a call, the client of a request', async () => {
    setEnvironment({ OTEL_EXPORTER_ZIPKIN_ENDPOINT: `${collector.url}/api/v2/spans` });
    const { tracer, forceFlush } = await startPipeline({ exporter: 'zipkin', serviceName: 'orders' });
    const made = (kind: SpanKind, attributes: Attributes) => tracer.startSpan('one', { kind, attributes }).end();
    made(SpanKind.SERVER, {
      'client.address': '10.1.2.3',
      'network.peer.address': '10.0.0.1',
      'network.peer.port': 4711,
      'server.address': 'me',
    });
    made(SpanKind.SERVER, { 'network.peer.address': '::1', 'network.peer.port': 4711 });
    made(SpanKind.CLIENT, { 'server.address': 'users', 'server.port': 3002 });
    made(SpanKind.PRODUCER, { 'server.address': '127.0.0.1', 'server.port': 9092, 'server.service.name': 'bus' });
    made(SpanKind.CONSUMER, {});
    made(SpanKind.INTERNAL, { 'server.address': 'users' });
    await forceFlush();
    const sent = JSON.parse(String(collector.requests[0]?.body)) as { remoteEndpoint?: unknown }[];
    expect(sent.map(({ remoteEndpoint }) => remoteEndpoint)).toEqual([
      { ipv4: '10.1.2.3' },
      { ipv6: '::1', port: 4711 },
      { serviceName: 'users', port: 3002 },
      { serviceName: 'bus', ipv4: '127.0.0.1', port: 9092 },
      undefined,
      undefined,
    ]);
  });

  it('stops the start-up where the endpoint is not a URL', async () => {
    setEnvironment({ OTEL_EXPORTER_ZIPKIN_ENDPOINT: 'localhost:9411/api/v2/spans' });
    await expect(startPipeline({ exporter: 'zipkin' })).rejects.toThrow(
      'OTEL_EXPORTER_ZIPKIN_ENDPOINT is "localhost:9411/api/v2/spans"; expected a URL with "http://" or "https://" (did you mean "http://localhost:9411/api/v2/spans"?)',
    );
  });
});

describe('the exporters for development', () => {
  it('"console" prints each span when it has ended', async () => {
    const dir = jest.spyOn(console, 'dir').mockImplementation(() => undefined);
    makeTrace(await startPipeline({ exporter: 'console' }));
    expect(dir.mock.calls.map(([span]) => (span as { name: string }).name)).toEqual(['child', 'parent']);
  });

  it('"waterfall" draws the trace when its root has ended', async () => {
    const write = jest.spyOn(process.stdout, 'write').mockImplementation(() => true);
    makeTrace(await startPipeline({ exporter: 'waterfall' }));
    const printed = write.mock.calls.map(([text]) => String(text)).join('');
    expect(printed).toContain('parent');
    expect(printed).toContain('child');
  });
});

describe('an exporter whose package is not installed', () => {
  it.each([
    ['zipkin', '@opentelemetry/exporter-zipkin', undefined],
    ['otlp', '@opentelemetry/exporter-trace-otlp-grpc', 'grpc'],
  ] as const)('stops the start-up and says what to install: %s, %s', async (exporter, packageName, protocol) => {
    jest.unstable_mockModule(
      packageName,
      () => {
        throw Object.assign(new Error(`Cannot find package '${packageName}' imported from exporters.js`), { code: 'ERR_MODULE_NOT_FOUND' });
      },
      { virtual: true },
    );
    jest.resetModules();
    const { createExporter } = await import('../../lib/sdk/exporters.js');
    const made = createExporter(exporter, { OTEL_EXPORTER_OTLP_PROTOCOL: protocol });
    await expect(made).rejects.toThrow(`npm i ${packageName}`);
    await expect(made).rejects.toThrow(`The exporter "${exporter}"`);
  });
});
