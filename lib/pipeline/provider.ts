/** The built-in provider: what the options and the environment say about spans, put together out of the SDK. */
import { type Context, type Span, type TracerProvider } from '@opentelemetry/api';
import { Logger } from '@nestjs/common';
import { NodeTracerProvider, type SpanProcessor } from '@opentelemetry/sdk-trace-node';
import { classOf } from '../tracing.checks.js';
import { messages } from '../tracing.messages.js';
import type { ResolvedTracingOptions } from '../tracing.resolution.js';
import { Delivery, isWatcher } from './delivery.js';
import type { ChosenExporter } from './exporter-choice.js';
import { createExporter } from './exporters.js';
import { foresee } from './foresight.js';
import { GuardedProcessor } from './guarded-processor.js';
import { PooledIdGenerator } from './id-generator.js';
import { batchLimits, spanLimits } from './limits.js';
import { describeResource } from './resource.js';
import { chooseSampler } from './sampler.js';
import type { TraceViewer, WaterfallExporter } from '../viewer/waterfall.exporter.js';
import type { SpanExporter } from './sdk.js';
import { ViewerDelivery } from './viewer-delivery.js';

/** @internal */
export interface OwnProvider {
  readonly provider: TracerProvider;
  unsampledSpan(parent: Context): Span | undefined;
  /** What a trace id is put behind to get a link; `undefined` without viewer. */
  readonly traceUrlPrefix: string | undefined;
  /** Resolves when everything that has ended is delivered or lost. */
  forceFlush(): Promise<unknown>;
  shutdown(): Promise<unknown>;
  /** Gives up what {@link shutdown} still waits for, and says how many spans were lost in all. */
  settleAccounts(): void;
}

/** @internal */
export async function buildProvider(options: ResolvedTracingOptions, env: NodeJS.ProcessEnv): Promise<OwnProvider> {
  const viewer = options.viewer === undefined ? undefined : await ViewerDelivery.to(options.viewer);
  const deliveries = await Promise.all(
    options.exporters.map(exporter => deliveryTo(exporter, env, options.shutdownTimeoutMs, viewer?.link)),
  );
  const processors: SpanProcessor[] = [...options.spanProcessors.map(processor => new GuardedProcessor(processor)), ...deliveries];
  if (viewer !== undefined) processors.push(viewer);
  const { sampler, rule } = chooseSampler(options.sampler, env);
  const idGenerator = new PooledIdGenerator();
  const provider = new NodeTracerProvider({
    resource: describeResource(options, env),
    spanLimits: spanLimits(env),
    spanProcessors: processors,
    sampler,
    idGenerator,
  });
  return {
    provider,
    unsampledSpan: rule === undefined ? () => undefined : foresee(rule, idGenerator),
    get traceUrlPrefix() {
      return viewer?.link.traceUrlPrefix;
    },
    forceFlush: () => Promise.allSettled(processors.map(processor => processor.forceFlush())),
    shutdown: () => Promise.allSettled(processors.map(processor => processor.shutdown())),
    settleAccounts: () => {
      for (const delivery of deliveries) {
        delivery.abandon();
        const { queueFull, exportFailed, deadlinePassed } = delivery.losses;
        if (queueFull + exportFailed + deadlinePassed === 0) continue;
        new Logger('Tracing').warn(messages.spansLost(delivery.name, queueFull, exportFailed, deadlinePassed, options.shutdownTimeoutMs));
      }
    },
  };
}

async function deliveryTo(
  exporter: ChosenExporter,
  env: NodeJS.ProcessEnv,
  shutdownTimeoutMs: number,
  viewer: TraceViewer | undefined,
): Promise<Delivery> {
  const limits = batchLimits(env);
  if (typeof exporter !== 'string') {
    if (viewer !== undefined) showWith(exporter, viewer);
    // A user's tests see a span as soon as it has ended; the recorder is for tests wherever it runs.
    const isForTests = env.NODE_ENV === 'test' || isWatcher(exporter);
    return new Delivery(classOf(exporter), exporter, limits, isForTests ? 'at once' : 'in batches');
  }
  const isForDevelopers = exporter === 'console' || exporter === 'waterfall';
  const made = await createExporter(exporter, env, shutdownTimeoutMs);
  if (viewer !== undefined) showWith(made, viewer);
  return new Delivery(exporter, made, limits, isForDevelopers ? 'at once' : 'in batches');
}

/** The waterfall in the terminal gives links into the viewer, whichever copy of this package it is of. */
function showWith(exporter: SpanExporter & { showWith?: unknown }, viewer: TraceViewer): void {
  if (typeof exporter.showWith === 'function') (exporter as Pick<WaterfallExporter, 'showWith'>).showWith(viewer);
}
