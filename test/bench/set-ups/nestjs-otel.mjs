/** nestjs-otel as its README says: its SDK file first, then its module, and `@Span()` on the service's method. */
import { droppingExporter } from '../app/dropping.exporter.mjs';
import { requirePeer } from './require-peer.mjs';

export function setUp() {
  const { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } = requirePeer('@opentelemetry/core');
  const { BatchSpanProcessor } = requirePeer('@opentelemetry/sdk-trace-base');
  const { getNodeAutoInstrumentations } = requirePeer('@opentelemetry/auto-instrumentations-node');
  const { JaegerPropagator } = requirePeer('@opentelemetry/propagator-jaeger');
  const { B3Propagator } = requirePeer('@opentelemetry/propagator-b3');
  const { PrometheusExporter } = requirePeer('@opentelemetry/exporter-prometheus');
  const { NodeSDK } = requirePeer('@opentelemetry/sdk-node');
  const { AsyncLocalStorageContextManager } = requirePeer('@opentelemetry/context-async-hooks');
  new NodeSDK({
    // The README's port is fixed; several servers run here.
    metricReaders: [new PrometheusExporter({ preventServerStart: true })],
    spanProcessors: [new BatchSpanProcessor(droppingExporter)],
    contextManager: new AsyncLocalStorageContextManager(),
    textMapPropagator: new CompositePropagator({
      propagators: [new JaegerPropagator(), new W3CTraceContextPropagator(), new W3CBaggagePropagator(), new B3Propagator()],
    }),
    instrumentations: [getNodeAutoInstrumentations()],
  }).start();
  const { OpenTelemetryModule, Span } = requirePeer('nestjs-otel');
  return { imports: [OpenTelemetryModule.forRoot({ metrics: { hostMetrics: true } })], Span };
}
