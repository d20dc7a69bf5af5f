/** Connects the application with a provider: one that is already registered, or one built from the options. */
import { type Context, type Span, type TextMapPropagator, trace, type TracerProvider } from '@opentelemetry/api';
import { Logger } from '@nestjs/common';
import { reportTrouble } from '../options/trouble.js';
import { messages } from '../options/messages.js';
import { readText } from '../options/environment.js';
import type { ResolvedTracingOptions } from '../options/resolved-options.js';
import { SCOPE } from '../options/version.js';
import type { SpanStarter } from '../spans/work.js';
import { foreignPropagator, foreignProvider, GlobalRegistration } from './global-registration.js';
import type { OwnProvider, ProviderInUse } from './provider.js';

/** @internal */
export interface Pipeline {
  /** The tracer of the provider in use, in the scope of this package. */
  readonly tracer: SpanStarter;
  /** The provider in use. */
  readonly provider: TracerProvider;
  readonly propagator: TextMapPropagator;
  /** True if the user or another library made the provider. */
  readonly adopted: boolean;
  /** Returns a non-recording span for work in `parent` if the sampler would drop it; see TracingApplication. */
  unsampledSpan(parent: Context, isWork?: boolean): Span | undefined;
  /** Keeps the trace of the recorded span in `ctx`. Returns false if it is too late for that. */
  keepTrace(ctx: Context): boolean;
  /** Returns the URL of a trace in the viewer, without the id. Undefined without viewer. */
  readonly traceUrlPrefix: (() => string | undefined) | undefined;
  /** Delivers all ended spans, within the timeout of the options. Never rejects. */
  forceFlush(): Promise<void>;
  /** Exports ended spans. Until {@link shutdown}, spans that end later are exported within 100 ms. */
  exportAtOnce(): void;
  /** Unregisters from the API and exports ended spans. Spans can still be created. {@link comeBack} registers again. */
  withdraw(): void;
  comeBack(): void;
  /**
   * Exports like {@link forceFlush}, within `timeoutMs`, and unregisters from the API. Never rejects. A second call returns the same
   * promise.
   */
  shutdown(timeoutMs?: number): Promise<void>;
}

const CONFIG_FILE = 'OTEL_CONFIG_FILE';

/** @internal */
export async function createPipeline(options: ResolvedTracingOptions): Promise<Pipeline> {
  if (options.tracerProvider !== undefined) return adopt(options, options.tracerProvider, messages.providerGiven());
  if (foreignProvider() !== undefined) return adopt(options, undefined, messages.providerRegistered());
  // The SDK is loaded only here. It is not needed if tracing is disabled or another provider is used.
  const { buildProvider } = await import('./provider.js');
  const own = await buildProvider(options);
  if (readText(process.env, CONFIG_FILE) !== undefined)
    reportTrouble(`environment:${CONFIG_FILE}`, messages.variableWithoutEffect(CONFIG_FILE));
  return pipelineOf(own, await propagatorOf(options.propagators, true), options.shutdownTimeoutMs);
}

/** Uses the provider `given`, or the registered provider if `given` is undefined. */
async function adopt(options: ResolvedTracingOptions, given: TracerProvider | undefined, because: string): Promise<Pipeline> {
  const { pipelineOptionsInCode, propagators, propagatorsInCode, shutdownTimeoutMs } = options;
  if (pipelineOptionsInCode.length > 0) new Logger('Tracing').warn(messages.optionsWithoutEffect(pipelineOptionsInCode, because));
  const foreign = propagatorsInCode ? undefined : foreignPropagator();
  const propagator = await propagatorOf(foreign === undefined ? propagators : [foreign], false);
  const forceFlush = () => flushOf(given ?? trace.getTracerProvider());
  const tracer = (given ?? trace.getTracerProvider()).getTracer(...SCOPE);
  return pipelineOf({ provider: given, tracer, forceFlush, outlets: [forceFlush] }, propagator, shutdownTimeoutMs);
}

function pipelineOf(source: ProviderInUse | OwnProvider, propagator: TextMapPropagator, timeoutMs: number): Pipeline {
  const own = 'shutdown' in source ? source : undefined;
  const what = own === undefined ? 'The provider in use' : 'The built-in provider';
  const registration = new GlobalRegistration(source.provider, propagator);
  const closingFlush = new ClosingFlush(own?.flushDecided ?? source.forceFlush, source.outlets);
  const flush = (deadlineMs = timeoutMs) => withinDeadline(what, deadlineMs, source.forceFlush);
  const close = async (deadlineMs: number) => {
    closingFlush.end();
    if (own === undefined) await flush(deadlineMs);
    registration.handOver();
    if (own !== undefined) await withinDeadline(what, deadlineMs, own.shutdown);
    own?.reportLosses();
    registration.leave();
  };
  let closing: Promise<void> | undefined;
  return {
    tracer: source.tracer,
    provider: source.provider ?? trace.getTracerProvider(),
    propagator,
    adopted: own === undefined,
    traceUrlPrefix: own?.traceUrlPrefix,
    unsampledSpan: (parent, isWork) => own?.unsampledSpan(parent, isWork),
    // Another provider decides by itself, when a span starts.
    keepTrace: ctx => own?.keepTrace(ctx) ?? true,
    forceFlush: () => flush(),
    exportAtOnce: () => closingFlush.begin(),
    withdraw: () => {
      registration.handOver();
      registration.leave();
      void flush();
    },
    comeBack: () => registration.enter(),
    shutdown: (deadlineMs = timeoutMs) => (closing ??= close(deadlineMs)),
  };
}

/** Runs `act` and waits for it until the deadline. A failure is logged. */
async function withinDeadline(what: string, deadlineMs: number, act: () => Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<void>(resolve => (timer = setTimeout(resolve, deadlineMs)));
  const end = (async () => act())().catch((error: unknown) => reportTrouble('shutdown', messages.shutdownFailed(what), error));
  await Promise.race([end, deadline]);
  clearTimeout(timer);
}

/** While the application closes, ended spans are exported at this interval. */
const CLOSING_FLUSH_MS = 100;

/** Flushes repeatedly while an application closes, because a process manager may kill the process at any time. */
class ClosingFlush {
  private timer: NodeJS.Timeout | undefined;

  /** An outlet is flushed again only after its last flush has ended. */
  constructor(
    private readonly first: () => Promise<unknown>,
    private readonly outlets: readonly (() => Promise<unknown>)[],
  ) {}

  begin(): void {
    if (this.timer !== undefined) return;
    const busy = new Set<unknown>();
    this.first().catch(() => undefined);
    this.timer = setInterval(() => {
      for (const outlet of this.outlets) {
        if (busy.has(outlet)) continue;
        busy.add(outlet);
        const done = () => busy.delete(outlet);
        outlet().then(done, done);
      }
    }, CLOSING_FLUSH_MS).unref();
  }

  end(): void {
    clearInterval(this.timer);
  }
}

async function propagatorOf(formats: ResolvedTracingOptions['propagators'], ownTracesAreRandom: boolean): Promise<TextMapPropagator> {
  const { createPropagator } = await import('../propagation/composite.propagator.js');
  return createPropagator(formats, ownTracesAreRandom);
}

/** Calls `forceFlush()` of the SDK's provider. The API's proxy may wrap that provider. */
async function flushOf(provider: TracerProvider & { getDelegate?(): TracerProvider }): Promise<void> {
  const real: TracerProvider & { forceFlush?(): unknown } = provider.getDelegate?.() ?? provider;
  await real.forceFlush?.();
}
