/** Sends a trace by one of the official exporters of OpenTelemetry's SDK 3, and prints the spans that it was given. */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { ZipkinExporter } from '@opentelemetry/exporter-zipkin';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';

const EXPORTERS = {
  json: url => new JsonExporter({ url: `${url}/v1/traces` }),
  'json, gzip': url => new JsonExporter({ url: `${url}/v1/traces`, compression: 'gzip' }),
  protobuf: url => new ProtobufExporter({ url: `${url}/v1/traces` }),
  'protobuf, gzip': url => new ProtobufExporter({ url: `${url}/v1/traces`, compression: 'gzip' }),
  zipkin: url => new ZipkinExporter({ url: `${url}/api/v2/spans` }),
};

const [format, url] = process.argv.slice(2);
const ended = [];
const watching = {
  onStart() {},
  onEnd: span => void ended.push(span),
  forceFlush: async () => {},
  shutdown: async () => {},
};
const provider = new TracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'payments', 'process.pid': 7 }),
  spanProcessors: [watching, new BatchSpanProcessor({ exporter: EXPORTERS[format](url) })],
});
const tracer = provider.getTracer('official', '3');
const root = tracer.startSpan('POST /pay', { kind: SpanKind.SERVER, startTime: [1_790_000_000, 123_456_789] });
const child = tracer.startSpan(
  'charge',
  {
    kind: SpanKind.CLIENT,
    startTime: [1_790_000_000, 200_000_001],
    links: [{ context: { traceId: 'f'.repeat(32), spanId: 'e'.repeat(16), traceFlags: 1 }, attributes: { why: 'batch' } }],
    attributes: {
      text: 'Grüße 😀',
      whole: -42,
      big: 2 ** 52,
      part: 0.25,
      yes: true,
      list: ['a', 'b'],
      empty: '',
      // What only this line records.
      nothing: null,
      nested: { a: 1, b: ['c', { d: true }] },
      mixed: ['a', 1, false],
    },
  },
  trace.setSpan(ROOT_CONTEXT, root),
);
child.addEvent('retry', { attempt: 2 }, [1_790_000_000, 300_000_003]);
child.recordException(new TypeError('no card'), [1_790_000_000, 400_000_004]);
child.setStatus({ code: SpanStatusCode.ERROR, message: 'card refused' });
child.end([1_790_000_000, 500_000_005]);
root.setStatus({ code: SpanStatusCode.OK });
root.end([1_790_000_001, 1]);
await provider.shutdown();

process.stdout.write(
  JSON.stringify(
    ended.map(span => ({
      traceId: span.spanContext().traceId,
      spanId: span.spanContext().spanId,
      parentSpanId: span.parentSpanContext?.spanId,
      name: span.name,
      kind: span.kind,
      status: span.status,
      startTime: span.startTime,
      endTime: span.endTime,
      attributes: span.attributes,
      events: span.events.map(({ name, time, attributes }) => ({ name, time, attributes })),
      links: span.links.map(({ context: { traceId, spanId }, attributes }) => ({ traceId, spanId, attributes })),
      resource: span.resource.attributes,
      scope: span.instrumentationScope,
    })),
  ),
);
