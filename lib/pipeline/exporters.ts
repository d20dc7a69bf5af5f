/**
 * Makes exporters by name, each out of a package that is loaded when it is needed. Those of optional packages stand inside a `try`: that
 * tells webpack and esbuild that the package may be missing.
 */
import { ExportResultCode } from '@opentelemetry/core';
import { complain, readName, readText } from '../tracing.environment.js';
import { messages } from '../tracing.messages.js';
import type { ChosenExporter } from './exporter-choice.js';
import type { SpanExporter } from './sdk.js';

const PROTOCOLS = ['http/protobuf', 'http/json', 'grpc'] as const;
const ZIPKIN_ENDPOINT = 'OTEL_EXPORTER_ZIPKIN_ENDPOINT';
const ZIPKIN_DEFAULT = 'http://localhost:9411/api/v2/spans';

/**
 * The exporter of that name; throws where its package is missing.
 * @param shutdownTimeoutMs how long the application waits for the last spans
 * @internal
 */
export async function createExporter(
  name: Extract<ChosenExporter, string>,
  env: NodeJS.ProcessEnv,
  shutdownTimeoutMs: number,
): Promise<SpanExporter> {
  switch (name) {
    case 'otlp':
      return createOtlpExporter(env, otlpTimeout(env, shutdownTimeoutMs));
    case 'zipkin':
      try {
        const { ZipkinExporter } = await import('@opentelemetry/exporter-zipkin');
        return new ZipkinExporter(zipkinConfig(env));
      } catch (error) {
        throw explained(error, name, '@opentelemetry/exporter-zipkin');
      }
    case 'console': {
      const { ConsoleSpanExporter } = await import('@opentelemetry/sdk-trace-node');
      return new ConsoleSpanExporter();
    }
    case 'waterfall': {
      const { WaterfallExporter } = await import('../viewer/waterfall.exporter.js');
      return new WaterfallExporter();
    }
  }
}

async function createOtlpExporter(env: NodeJS.ProcessEnv, config: { timeoutMillis?: number }): Promise<SpanExporter> {
  const general = readName(env, 'OTEL_EXPORTER_OTLP_PROTOCOL', PROTOCOLS, 'http/protobuf');
  const protocol = readName(env, 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', PROTOCOLS, general);
  const chosenBy = `otlp" with the protocol "${protocol}`;
  switch (protocol) {
    case 'http/protobuf':
      // The dependency costs as much at start-up as all the rest, so it comes with the first spans.
      return new ExporterOnDemand(async () => new (await import('@opentelemetry/exporter-trace-otlp-proto')).OTLPTraceExporter(config));
    case 'http/json':
      try {
        return new (await import('@opentelemetry/exporter-trace-otlp-http')).OTLPTraceExporter(config);
      } catch (error) {
        throw explained(error, chosenBy, '@opentelemetry/exporter-trace-otlp-http');
      }
    case 'grpc':
      try {
        return new (await import('@opentelemetry/exporter-trace-otlp-grpc')).OTLPTraceExporter(config);
      } catch (error) {
        throw explained(error, chosenBy, '@opentelemetry/exporter-trace-otlp-grpc');
      }
  }
}

/**
 * The exporter goes on trying for ten seconds, with timers that nobody can stop: without a word from the environment it shall not
 * outlast the shutdown, and never have less than five.
 */
function otlpTimeout(env: NodeJS.ProcessEnv, shutdownTimeoutMs: number): { timeoutMillis?: number } {
  const inEnvironment = readText(env, 'OTEL_EXPORTER_OTLP_TRACES_TIMEOUT') ?? readText(env, 'OTEL_EXPORTER_OTLP_TIMEOUT');
  return inEnvironment === undefined ? { timeoutMillis: Math.min(Math.max(shutdownTimeoutMs, 5_000), 10_000) } : {};
}

function zipkinConfig(env: NodeJS.ProcessEnv): { url?: string } {
  const url = readText(env, ZIPKIN_ENDPOINT);
  if (url === undefined || URL.canParse(url)) return {};
  complain(ZIPKIN_ENDPOINT, url, 'a URL', ZIPKIN_DEFAULT);
  return { url: ZIPKIN_DEFAULT };
}

/** What to throw instead: where an optional peer is missing, an error that says what to install. */
function explained(error: unknown, exporter: string, packageName: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  const isMissing = (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && message.includes(`'${packageName}'`);
  return isMissing
    ? new Error(messages.exporterMissing(exporter, packageName, packageName.endsWith('zipkin') ? '2' : '0.223'), { cause: error })
    : error;
}

class ExporterOnDemand implements SpanExporter {
  private loading: Promise<SpanExporter> | undefined;

  constructor(private readonly load: () => Promise<SpanExporter>) {}

  export(...[spans, done]: Parameters<SpanExporter['export']>): void {
    this.loading ??= this.load();
    this.loading
      .then(exporter => exporter.export(spans, done))
      .catch((error: unknown) => done({ code: ExportResultCode.FAILED, error: error as Error }));
  }

  async forceFlush(): Promise<void> {
    await (await this.loading)?.forceFlush?.();
  }

  async shutdown(): Promise<void> {
    await (await this.loading)?.shutdown();
  }
}
