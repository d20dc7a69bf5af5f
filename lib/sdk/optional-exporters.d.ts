/** Declares the optional exporters that users install themselves, with the members that this library uses. */
declare module '@opentelemetry/exporter-trace-otlp-grpc' {
  import type { SpanExporter } from '@opentelemetry/sdk-trace-node';
  export const OTLPTraceExporter: new () => SpanExporter;
}
