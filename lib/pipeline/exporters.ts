/** Makes exporters by name, each out of a package that is loaded when it is needed. */
import { ExportResultCode } from '@opentelemetry/core';
import { complain, readName, readText } from '../tracing.environment.js';
import { messages } from '../tracing.messages.js';
import type { ChosenExporter } from './exporter-choice.js';
import type { SpanExporter } from './sdk.js';

const PROTOCOLS = ['http/protobuf', 'http/json', 'grpc'] as const;
const ZIPKIN_ENDPOINT = 'OTEL_EXPORTER_ZIPKIN_ENDPOINT';
const ZIPKIN_DEFAULT = 'http://localhost:9411/api/v2/spans';

/** The exporter of that name; throws where its package is missing. @internal */
export async function createExporter(name: Extract<ChosenExporter, string>, env: NodeJS.ProcessEnv): Promise<SpanExporter> {
  switch (name) {
    case 'otlp':
      return createOtlpExporter(env);
    case 'zipkin': {
      const { ZipkinExporter } = await optional(name, '@opentelemetry/exporter-zipkin', () => import('@opentelemetry/exporter-zipkin'));
      const url = readText(env, ZIPKIN_ENDPOINT);
      if (url === undefined || URL.canParse(url)) return new ZipkinExporter();
      complain(ZIPKIN_ENDPOINT, url, 'a URL', ZIPKIN_DEFAULT);
      return new ZipkinExporter({ url: ZIPKIN_DEFAULT });
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

async function createOtlpExporter(env: NodeJS.ProcessEnv): Promise<SpanExporter> {
  const general = readName(env, 'OTEL_EXPORTER_OTLP_PROTOCOL', PROTOCOLS, 'http/protobuf');
  const protocol = readName(env, 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', PROTOCOLS, general);
  const chosenBy = `otlp" with the protocol "${protocol}`;
  switch (protocol) {
    case 'http/protobuf':
      // The dependency costs as much at start-up as all the rest, so it comes with the first spans.
      return new ExporterOnDemand(async () => new (await import('@opentelemetry/exporter-trace-otlp-proto')).OTLPTraceExporter());
    case 'http/json': {
      const load = () => import('@opentelemetry/exporter-trace-otlp-http');
      return new (await optional(chosenBy, '@opentelemetry/exporter-trace-otlp-http', load)).OTLPTraceExporter();
    }
    case 'grpc': {
      const load = () => import('@opentelemetry/exporter-trace-otlp-grpc');
      return new (await optional(chosenBy, '@opentelemetry/exporter-trace-otlp-grpc', load)).OTLPTraceExporter();
    }
  }
}

/** Loads an optional peer; the error for a missing one says what to install. */
async function optional<T>(exporter: string, packageName: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const isMissing = (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && message.includes(packageName);
    throw isMissing ? new Error(messages.exporterMissing(exporter, packageName), { cause: error }) : error;
  }
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
