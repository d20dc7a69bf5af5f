/** How spans leave the process: through a provider that is already there, or through one built from the options. */
import { type Context, type Span, type TextMapPropagator, trace, type Tracer, type TracerProvider } from '@opentelemetry/api';
import { Logger } from '@nestjs/common';
import { reportTrouble } from '../local/trouble.js';
import { messages } from '../tracing.messages.js';
import type { ResolvedTracingOptions } from '../tracing.resolution.js';
import { VERSION } from '../tracing.version.js';
import { listenToDiagnostics } from './diagnostics.js';
import { foreignPropagator, foreignProvider, register, type Registration } from './global-registration.js';

/** @internal */
export interface Pipeline {
  /** Of the provider in force, in the scope of this package. */
  readonly tracer: Tracer;
  readonly propagator: TextMapPropagator;
  /** Whether the provider is somebody else's. */
  readonly adopted: boolean;
  /** The span for work in `parent` where it is known before asking that it will not be recorded; see TracingApplication. */
  unsampledSpan(parent: Context): Span | undefined;
  /** What a trace id is put behind to get a link; `undefined` without viewer. */
  readonly traceUrlPrefix: string | undefined;
  /** Delivers all spans that have ended, at the latest within the deadline of the options. Never rejects. */
  forceFlush(): Promise<void>;
  /** Gives back what was registered and delivers what has ended; spans can still be made, and {@link comeBack} registers it again. */
  withdraw(): void;
  comeBack(): void;
  /** As {@link forceFlush}, and gives back what was registered. Never rejects; a second call waits for the first. */
  shutdown(): Promise<void>;
}

const SCOPE = 'nestjs-tracing';

/** @internal */
export async function createPipeline(options: ResolvedTracingOptions, env: NodeJS.ProcessEnv = process.env): Promise<Pipeline> {
  if (options.tracerProvider !== undefined) return adopt(options, options.tracerProvider, messages.providerGiven(), env);
  if (foreignProvider() !== undefined) return adopt(options, undefined, messages.providerRegistered(), env);
  // Loaded only here: without tracing, or next to a provider of somebody else, the SDK is not needed.
  const { buildProvider } = await import('./provider.js');
  const own = await buildProvider(options, env);
  const propagator = await propagatorOf(options.propagators, true);
  const tracer = own.provider.getTracer(SCOPE, VERSION);
  const presence = new Presence(own.provider, propagator, env);
  const flush = () => withinDeadline('The built-in provider', options.shutdownTimeoutMs, () => own.forceFlush());
  let closing: Promise<void> | undefined;
  const close = async () => {
    presence.handOver();
    await withinDeadline('The built-in provider', options.shutdownTimeoutMs, () => own.shutdown());
    own.settleAccounts();
    presence.leave();
  };
  return {
    tracer,
    propagator,
    adopted: false,
    unsampledSpan: parent => own.unsampledSpan(parent),
    get traceUrlPrefix() {
      return own.traceUrlPrefix;
    },
    forceFlush: flush,
    withdraw: () => withdraw(presence, flush),
    comeBack: () => presence.comeBack(),
    shutdown: () => (closing ??= close()),
  };
}

/** Works with the `given` provider, or else with the registered one, and leaves its life to who made it. */
async function adopt(
  options: ResolvedTracingOptions,
  given: TracerProvider | undefined,
  because: string,
  env: NodeJS.ProcessEnv,
): Promise<Pipeline> {
  const { pipelineOptionsInCode, propagators, propagatorsInCode, shutdownTimeoutMs } = options;
  if (pipelineOptionsInCode.length > 0) new Logger('Tracing').warn(messages.optionsWithoutEffect(pipelineOptionsInCode, because));
  const foreign = propagatorsInCode ? undefined : foreignPropagator();
  const propagator = await propagatorOf(foreign === undefined ? propagators : [foreign], false);
  const tracer = given === undefined ? trace.getTracer(SCOPE, VERSION) : given.getTracer(SCOPE, VERSION);
  const presence = new Presence(given, propagator, env);
  const flush = () => withinDeadline('The provider in use', shutdownTimeoutMs, () => flushOf(given ?? trace.getTracerProvider()));
  let closing: Promise<void> | undefined;
  const close = async () => {
    await flush();
    presence.handOver();
    presence.leave();
  };
  return {
    tracer,
    propagator,
    adopted: true,
    unsampledSpan: () => undefined,
    traceUrlPrefix: undefined,
    forceFlush: flush,
    withdraw: () => withdraw(presence, flush),
    comeBack: () => presence.comeBack(),
    shutdown: () => (closing ??= close()),
  };
}

/** What the process sees of a pipeline: the API's slots, and who hears OpenTelemetry's own log. */
class Presence {
  private registration: Registration;
  private stopListening: () => void;

  constructor(
    private readonly provider: TracerProvider | undefined,
    private readonly propagator: TextMapPropagator,
    private readonly env: NodeJS.ProcessEnv,
  ) {
    this.registration = register(provider, propagator);
    this.stopListening = listenToDiagnostics(env);
  }

  handOver(): void {
    this.registration.handOver();
  }

  leave(): void {
    this.registration.leave();
    this.stopListening();
  }

  comeBack(): void {
    this.registration = register(this.provider, this.propagator);
    this.stopListening = listenToDiagnostics(this.env);
  }
}

function withdraw(presence: Presence, flush: () => Promise<void>): void {
  presence.handOver();
  presence.leave();
  void flush();
}

async function propagatorOf(formats: ResolvedTracingOptions['propagators'], ownTracesAreRandom: boolean): Promise<TextMapPropagator> {
  const { createPropagator } = await import('../propagation/composite.propagator.js');
  return createPropagator(formats, ownTracesAreRandom);
}

/** `forceFlush` is the SDK's, and behind the API's proxy. */
function flushOf(provider: TracerProvider): unknown {
  const { getDelegate } = provider as { getDelegate?: () => TracerProvider };
  const { forceFlush } = (getDelegate?.call(provider) ?? provider) as { forceFlush?: () => unknown };
  return forceFlush?.call(getDelegate?.call(provider) ?? provider);
}

/** Waits for `act`, but not longer; neither a failure nor a late end of it goes further. */
async function withinDeadline(what: string, deadlineMs: number, act: () => unknown): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<void>(resolve => (timer = setTimeout(resolve, deadlineMs)));
  const end = (async () => {
    try {
      await act();
    } catch (error) {
      reportTrouble('shutdown', messages.shutdownFailed(what), error);
    }
  })();
  await Promise.race([end, deadline]);
  clearTimeout(timer);
}
