/** Builds the SDK provider from the options and the environment. */
import { type Context, type Span, trace, TraceFlags, type TracerProvider } from '@opentelemetry/api';
import { Logger } from '@nestjs/common';
import { type ReadableSpan, SamplingDecision, type SpanProcessor } from '@opentelemetry/sdk-trace-node';
import { classOf } from '../options/checks.js';
import { readNumber } from '../options/environment.js';
import { messages } from '../options/messages.js';
import type { ChosenExporter, ResolvedTracingOptions, ResolvedViewerOptions } from '../options/resolved-options.js';
import { SCOPE } from '../options/version.js';
import { isAsked } from '../propagation/context-values.js';
import type { SpanStarter } from '../spans/work.js';
import type { FinishedSpan } from '../viewer/model/trace-span.js';
import type { ViewerLink } from '../viewer/server/viewer-link.js';
import type { TraceViewer, WaterfallExporter } from '../viewer/waterfall.exporter.js';
import { type BatchLimits, Delivery, GuardedProcessor, isWatcher } from './delivery.js';
import { createExporter, type MadeExporter } from './exporters.js';
import { describeResource } from './resource.js';
import { Budget } from './retention/budget.js';
import { LocalRoots } from './retention/local-root.js';
import { retentionFor } from './retention/retention-for.js';
import { chooseSampler, knownDecision, PooledIdGenerator } from './sampler.js';
import { LightTracerProvider } from './span/light-provider.js';
import { SpanMetrics } from './span/span-metrics.js';

/** A provider as the pipeline uses it, built-in or not. @internal */
export interface ProviderInUse {
  /** The provider to register with the API. Undefined if another one is registered. */
  readonly provider: TracerProvider | undefined;
  /** It has the instrumentation scope of this package. */
  readonly tracer: SpanStarter;
  /** Resolves when all ended spans are delivered or dropped. */
  readonly forceFlush: () => Promise<unknown>;
  /** Each exports the ended spans of one exporter or processor. */
  readonly outlets: readonly (() => Promise<unknown>)[];
}

/** The built-in provider. @internal */
export interface OwnProvider extends ProviderInUse {
  /** Exports the ended spans for which it is decided that they are exported. */
  readonly flushDecided: () => Promise<unknown>;
  /** Keeps the trace of the active span in `ctx`. Returns false if it is too late for that. */
  readonly keepTrace: (ctx: Context) => boolean;
  readonly unsampledSpan: (parent: Context, isWork?: boolean) => Span | undefined;
  /** Returns the URL of a trace in the viewer, without the id. Undefined without viewer. */
  readonly traceUrlPrefix: (() => string | undefined) | undefined;
  readonly shutdown: () => Promise<unknown>;
  /** Stops waiting for {@link shutdown} and logs how many spans were dropped in total. */
  readonly reportLosses: () => void;
}

/** @internal */
export async function buildProvider(options: ResolvedTracingOptions): Promise<OwnProvider> {
  const { env } = process;
  const viewer = options.viewer === undefined ? undefined : await ViewerDelivery.to(options.viewer);
  const deliveries = await Promise.all(options.exporters.map(exporter => deliveryTo(exporter, env, viewer?.link)));
  const users = options.spanProcessors.map(processor => new GuardedProcessor(processor));
  const { budget: limit, keep, fold, inbound } = options;
  const { sampler, rule } = chooseSampler(options.sampler, env, inbound.keepHeader !== undefined);
  const outlets = viewer === undefined ? deliveries : [...deliveries, viewer];
  const retention = retentionFor(options, rule?.isComplete === true, outlets);
  const budget = limit === undefined ? undefined : new Budget(limit);
  const areNeeded = budget !== undefined || (keep ?? fold ?? inbound.keepHeader) !== undefined;
  const localRoots = areNeeded ? new LocalRoots(budget, retention !== undefined) : undefined;
  const processors: SpanProcessor[] = [...(localRoots ? [localRoots] : []), ...users, ...(retention ? [retention] : outlets)];
  const idGenerator = new PooledIdGenerator();
  const metrics = SpanMetrics.in(options.meterProvider);
  const provider = new LightTracerProvider({
    resource: describeResource(options, env),
    limits: spanLimits(env),
    processors,
    sampler,
    recordsRoots: rule?.isComplete === true,
    recordsChildren: rule?.followsParent === true || rule?.isComplete === true,
    standIn: budget && (parent => budget.standIn(parent)),
    idGenerator,
    metrics,
  });
  return {
    provider,
    tracer: provider.getTracer(...SCOPE),
    unsampledSpan: unsampled(budget, rule && counted(knownDecision(rule, idGenerator), metrics), inbound.keepHeader !== undefined),
    traceUrlPrefix: viewer && (() => viewer.link.traceUrlPrefix),
    keepTrace: ctx => localRoots?.keep(ctx) ?? true,
    flushDecided: () => Promise.allSettled([...users, ...outlets].map(processor => processor.forceFlush())),
    outlets: [...users.map(processor => () => processor.forceFlush()), ...deliveries.map(delivery => () => delivery.exportWaiting())],
    forceFlush: () => Promise.allSettled(processors.map(processor => processor.forceFlush())),
    shutdown: () => Promise.allSettled(processors.map(processor => processor.shutdown())),
    reportLosses: () => {
      if (retention !== undefined && retention.discardedEarly > 0)
        new Logger('Tracing').warn(messages.decidedEarly(retention.decidedEarly, retention.discardedEarly));
      for (const delivery of deliveries) {
        delivery.abandon();
        const { queueFull, exportFailed, deadlinePassed } = delivery.losses;
        if (queueFull + exportFailed + deadlinePassed === 0) continue;
        new Logger('Tracing').warn(messages.spansLost(delivery.name, queueFull, exportFailed, deadlinePassed, options.shutdownTimeoutMs));
      }
    },
  };
}

/**
 * Returns what creates the non-recording span of work that has none: the budget of its local root is used up, or the sampler is known to drop
 * it. With `canBeAsked`, a caller may have asked for the trace.
 */
function unsampled(
  budget: Budget | undefined,
  dropped: ((parent: Context) => Span | undefined) | undefined,
  canBeAsked: boolean,
): OwnProvider['unsampledSpan'] {
  const bySampler: OwnProvider['unsampledSpan'] = dropped ?? (() => undefined);
  const decided: OwnProvider['unsampledSpan'] = canBeAsked ? parent => (isAsked(parent) ? undefined : bySampler(parent)) : bySampler;
  return budget === undefined ? decided : (parent, isWork) => budget.standIn(parent, isWork) ?? decided(parent);
}

/** The SDK counts the spans that its sampler drops, so those that are dropped without it are counted, too. */
function counted(dropped: (parent: Context) => Span | undefined, metrics: SpanMetrics | undefined): typeof dropped {
  if (metrics === undefined) return dropped;
  return parent => {
    const span = dropped(parent);
    if (span !== undefined) metrics.started(trace.getSpanContext(parent), SamplingDecision.NOT_RECORD);
    return span;
  };
}

async function deliveryTo(chosen: ChosenExporter, env: NodeJS.ProcessEnv, viewer: TraceViewer | undefined): Promise<Delivery> {
  const limits = batchLimits(env);
  const isNamed = typeof chosen === 'string';
  const { exporter, place }: MadeExporter = isNamed ? await createExporter(chosen, env) : { exporter: chosen };
  // The terminal waterfall prints links to the viewer. It may come from another copy of this package, so `instanceof` would not work.
  const { showWith } = exporter as Partial<Pick<WaterfallExporter, 'showWith'>>;
  if (viewer !== undefined && typeof showWith === 'function') showWith.call(exporter, viewer);
  // In tests, spans must be visible as soon as they end. A TraceRecorder is always for tests.
  const isAtOnce = isNamed ? chosen === 'console' || chosen === 'waterfall' : env.NODE_ENV === 'test' || isWatcher(exporter);
  return new Delivery(isNamed ? chosen : classOf(chosen), exporter, limits, isAtOnce ? 'at once' : 'in batches', place);
}

/** Reads `OTEL_BSP_*`. */
function batchLimits(env: NodeJS.ProcessEnv): BatchLimits {
  const maxQueueSize = count(env, 'OTEL_BSP_MAX_QUEUE_SIZE', 2048, 1);
  return {
    maxQueueSize,
    maxExportBatchSize: Math.min(maxQueueSize, count(env, 'OTEL_BSP_MAX_EXPORT_BATCH_SIZE', 512, 1)),
    scheduledDelayMillis: millis(env, 'OTEL_BSP_SCHEDULE_DELAY', 5000),
    exportTimeoutMillis: millis(env, 'OTEL_BSP_EXPORT_TIMEOUT', 30_000),
  };
}

/** Reads `OTEL_SPAN_*_LIMIT` and the other limits, by the specification's names and by names that only the SDK uses. */
function spanLimits(env: NodeJS.ProcessEnv) {
  const attributes = count(env, 'OTEL_ATTRIBUTE_COUNT_LIMIT', 128);
  const valueLength = count(env, 'OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT', Infinity, 1);
  const perEvent = count(env, 'OTEL_SPAN_ATTRIBUTE_PER_EVENT_COUNT_LIMIT', 128);
  const perLink = count(env, 'OTEL_SPAN_ATTRIBUTE_PER_LINK_COUNT_LIMIT', 128);
  return {
    attributeCountLimit: count(env, 'OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT', attributes),
    attributeValueLengthLimit: count(env, 'OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT', valueLength, 1),
    eventCountLimit: count(env, 'OTEL_SPAN_EVENT_COUNT_LIMIT', 128),
    linkCountLimit: count(env, 'OTEL_SPAN_LINK_COUNT_LIMIT', 128),
    attributePerEventCountLimit: count(env, 'OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT', perEvent),
    attributePerLinkCountLimit: count(env, 'OTEL_LINK_ATTRIBUTE_COUNT_LIMIT', perLink),
  };
}

function count(env: NodeJS.ProcessEnv, name: string, fallback: number, min = 0): number {
  return readNumber(env, name, fallback, `a whole number from ${min}`, value => Number.isSafeInteger(value) && value >= min);
}

function millis(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  return readNumber(env, name, fallback, 'milliseconds', value => value >= 0 && value < 2 ** 31);
}

class ViewerDelivery implements SpanProcessor {
  private constructor(readonly link: ViewerLink) {}

  /** Loads the viewer. Most applications have none. */
  static async to(viewer: ResolvedViewerOptions): Promise<ViewerDelivery> {
    const { ViewerLink } = await import('../viewer/server/viewer-link.js');
    const link = new ViewerLink(viewer, { encode, say });
    link.start();
    return new ViewerDelivery(link);
  }

  onStart(): void {
    // The viewer shows only ended spans.
  }

  onEnd(span: ReadableSpan): void {
    if ((span.spanContext().traceFlags & TraceFlags.SAMPLED) !== 0) this.link.take(span);
  }

  forceFlush(): Promise<void> {
    return this.link.flush();
  }

  shutdown(): Promise<void> {
    return this.link.close();
  }
}

/** Encodes spans for another process. Most applications never do. */
async function encode(spans: readonly FinishedSpan[]): Promise<Uint8Array> {
  const { encodeProtobuf } = await import('./otlp/encode-protobuf.js');
  return encodeProtobuf(spans as ReadableSpan[]);
}

function say(message: string): void {
  try {
    new Logger('Tracing').log(message);
  } catch {
    // An error of the logger must not stop the application.
  }
}
