/** Makes traces for specs of what is kept: through a pipeline as the module builds it, to an exporter that remembers all spans. */
import { type Context, ROOT_CONTEXT, type Span, SpanStatusCode, trace } from '@opentelemetry/api';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace-node';
import type { TracingOptions } from '../../../lib/options/tracing-options.js';
import type { Pipeline } from '../../../lib/sdk/pipeline.js';
import { startPipeline } from '../pipelines.js';

export interface TestPipeline extends Pipeline {
  readonly exported: () => readonly ReadableSpan[];
  readonly names: () => string[];
  readonly open: (name: string, parent?: Span | Context, startTime?: number) => Span;
  /** Opens and ends a local root of that duration. */
  readonly request: (name: string, durationMs: number, parent?: Context) => void;
}

export async function pipelineOf(options: TracingOptions): Promise<TestPipeline> {
  const finished: ReadableSpan[] = [];
  const exporter: SpanExporter = {
    export: (spans, done) => {
      finished.push(...spans);
      done({ code: 0 });
    },
    shutdown: () => Promise.resolve(),
  };
  const pipeline = await startPipeline({ exporter, ...options });
  const open = (name: string, parent: Span | Context = ROOT_CONTEXT, startTime?: number): Span => {
    const ctx = 'spanContext' in parent ? trace.setSpan(ROOT_CONTEXT, parent) : parent;
    return pipeline.unsampledSpan(ctx) ?? pipeline.tracer.startSpan(name, { startTime }, ctx);
  };
  const request = (name: string, durationMs: number, parent?: Context): void => {
    open(name, parent, 1_000_000_000_000).end(1_000_000_000_000 + durationMs);
  };
  return { ...pipeline, exported: () => finished, names: () => finished.map(({ name }) => name), open, request };
}

export function fail(span: Span): Span {
  return span.setStatus({ code: SpanStatusCode.ERROR });
}

/** A caller in another process. */
export function caller(traceId: string, traceFlags = 1, traceState?: NonNullable<ReturnType<Span['spanContext']>['traceState']>): Context {
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId: 'b7ad6b7169203331', traceFlags, isRemote: true, traceState });
}

/** Returns a trace id with these 56 random bits. */
export function traceIdOf(random: string): string {
  return `0af7651916cd43dd84${random}`;
}
