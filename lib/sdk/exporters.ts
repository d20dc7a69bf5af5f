/**
 * Creates exporters by name. Each package is loaded when it is needed. Optional packages are imported inside `try`, so that webpack and
 * esbuild know that they may be missing.
 */
import { withRemoteEndpoint } from '../conventions/zipkin.js';
import { replaceMethod } from '../wrapping/replace-method.js';
import { readName } from '../options/environment.js';
import { messages } from '../options/messages.js';
import { httpUrl, otlpGrpcEndpoint, shown } from './otlp/endpoint.js';
import type { ChosenExporter } from '../options/resolved-options.js';
import type { Place } from './otlp/export-failure.js';
import type { SpanExporter } from '@opentelemetry/sdk-trace-node';

const PROTOCOLS = ['http/protobuf', 'http/json', 'grpc'] as const;
const ZIPKIN_PATH = '/api/v2/spans';

/** An exporter, and its address if its errors do not contain it. @internal */
export interface MadeExporter {
  readonly exporter: SpanExporter;
  readonly place?: Place;
}

/** Creates the exporter of that name. Throws if its package is missing or if the environment contains an invalid address. @internal */
export async function createExporter(name: Extract<ChosenExporter, string>, env: NodeJS.ProcessEnv): Promise<MadeExporter> {
  switch (name) {
    case 'otlp':
      return createOtlpExporter(env);
    case 'zipkin': {
      const url = httpUrl(env, 'OTEL_EXPORTER_ZIPKIN_ENDPOINT', 9411, ZIPKIN_PATH) ?? new URL(`http://localhost:9411${ZIPKIN_PATH}`);
      try {
        const { ZipkinExporter } = await import('@opentelemetry/exporter-zipkin');
        const exporter = new ZipkinExporter({ url: url.href });
        // The exporter calls `_send` last, with spans in Zipkin's format.
        replaceMethod(exporter, '_send', send => {
          return function (spans, ...rest) {
            return send.call(this, Array.isArray(spans) ? spans.map(withRemoteEndpoint) : spans, ...rest);
          };
        });
        return { exporter, place: { address: shown(url) } };
      } catch (error) {
        throw explained(error, name, '@opentelemetry/exporter-zipkin');
      }
    }
    case 'console': {
      const { ConsoleSpanExporter } = await import('@opentelemetry/sdk-trace-node');
      return { exporter: new ConsoleSpanExporter() };
    }
    case 'waterfall': {
      const { WaterfallExporter } = await import('../viewer/waterfall.exporter.js');
      return { exporter: new WaterfallExporter() };
    }
  }
}

async function createOtlpExporter(env: NodeJS.ProcessEnv): Promise<MadeExporter> {
  const general = readName(env, 'OTEL_EXPORTER_OTLP_PROTOCOL', PROTOCOLS, 'http/protobuf');
  const protocol = readName(env, 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', PROTOCOLS, general);
  if (protocol !== 'grpc') {
    const { OtlpHttpExporter } = await import('./otlp/otlp-http.exporter.js');
    const { otlpSettings } = await import('./otlp/settings.js');
    return { exporter: new OtlpHttpExporter(protocol, otlpSettings(env)) };
  }
  const place = { address: otlpGrpcEndpoint(env) };
  try {
    const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-grpc');
    return { exporter: new OTLPTraceExporter(), place };
  } catch (error) {
    throw explained(error, 'otlp" with the protocol "grpc', '@opentelemetry/exporter-trace-otlp-grpc');
  }
}

/** Returns the error to throw. If an optional peer is missing, its message says what to install. */
function explained(error: unknown, exporter: string, packageName: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  const isMissing = (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && message.includes(`'${packageName}'`);
  return isMissing
    ? new Error(messages.exporterMissing(exporter, packageName, packageName.endsWith('zipkin') ? '2' : '0.223'), { cause: error })
    : error;
}
