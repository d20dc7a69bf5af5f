/** Exporters that users install where they need them, as far as this library knows them. */
declare module '@opentelemetry/exporter-trace-otlp-grpc' {
  import type { SpanExporter } from '@opentelemetry/sdk-trace-node';
  export const OTLPTraceExporter: new (config?: { timeoutMillis?: number }) => SpanExporter;
}
