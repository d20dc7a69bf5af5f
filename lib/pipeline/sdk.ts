/** The names of the OpenTelemetry SDK that options may hold; the rest of the library knows them as types only. */
export type { Sampler, SpanExporter, SpanProcessor, ReadableSpan } from '@opentelemetry/sdk-trace-node';
