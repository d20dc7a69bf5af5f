/** OpenTelemetry's own instrumentations, loaded before the application and with the loader hook that ES modules need. */
import { register } from 'node:module';
import { pathToFileURL } from 'node:url';
import { droppingExporter } from '../app/dropping.exporter.mjs';
import { requirePeer } from './require-peer.mjs';

/** `exporter: 'configured'`: what the environment says. `is12Admitted`: lifts nestjs-core's refusal of Nest 12. */
export function setUp({ exporter, is12Admitted = false }) {
  register(pathToFileURL(requirePeer.resolve('@opentelemetry/instrumentation/hook.mjs')));
  const { NodeSDK } = requirePeer('@opentelemetry/sdk-node');
  const { BatchSpanProcessor } = requirePeer('@opentelemetry/sdk-trace-base');
  const { HttpInstrumentation } = requirePeer('@opentelemetry/instrumentation-http');
  const { ExpressInstrumentation } = requirePeer('@opentelemetry/instrumentation-express');
  const { NestInstrumentation } = requirePeer('@opentelemetry/instrumentation-nestjs-core');
  const { FastifyOtelInstrumentation } = requirePeer('@fastify/otel');
  new NodeSDK({
    ...(exporter === 'configured' ? {} : { spanProcessors: [new BatchSpanProcessor(droppingExporter)] }),
    instrumentations: [
      new HttpInstrumentation(),
      new ExpressInstrumentation(),
      new FastifyOtelInstrumentation({ registerOnInitialization: true }),
      is12Admitted ? admitting12(NestInstrumentation) : new NestInstrumentation(),
    ],
  }).start();
  return {};
}

function admitting12(NestInstrumentation) {
  class AnyNestInstrumentation extends NestInstrumentation {
    init() {
      const definition = super.init();
      definition.supportedVersions = ['>=4'];
      for (const file of definition.files) file.supportedVersions = ['>=4'];
      return definition;
    }
  }
  return new AnyNestInstrumentation();
}
