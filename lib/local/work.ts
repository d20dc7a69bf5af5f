/** What is being worked on: the unit of work in the active context, the application it belongs to, and whether it is traced at all. */
import { type Context, context, createContextKey, propagation, type Span, type TextMapPropagator, type Tracer } from '@opentelemetry/api';
import type { ResolvedGraphqlOptions, ResolvedInboundOptions, ResolvedOutboundOptions } from '../tracing.resolution.js';

/** One running application as the rest of the library sees it. @internal */
export interface TracingApplication {
  /** False: no span is ever made; a caller's context still reaches outgoing calls. */
  readonly isEnabled: boolean;
  /** Of the provider in force. */
  readonly tracer: Tracer;
  /** Reads and writes the headers of every carrier. */
  readonly propagator: TextMapPropagator;
  readonly inbound: ResolvedInboundOptions;
  readonly outbound: ResolvedOutboundOptions;
  readonly graphql: ResolvedGraphqlOptions;
  readonly logs: boolean;
  /** What a trace id is put behind to get a link to the trace; `undefined` where nothing shows it. */
  readonly traceUrlPrefix: string | undefined;
  /**
   * The span to use where the sampler is known to refuse whatever is started next in `parent`: it has ids, propagates "not sampled" and
   * records nothing, so nothing need be computed for it. `undefined` where the span may record: start it on the tracer.
   */
  unsampledSpan(parent: Context): Span | undefined;
}

/** A unit of work: a request, a message, a root span; it travels in the context. @internal */
export interface Work {
  readonly application: TracingApplication;
  /** Set where the work is not traced: the context (the caller's, as far as it is trusted) that outgoing calls pass on instead. */
  relay?: Context | undefined;
}

const WORK = createContextKey('nestjs-tracing/work');

/** The unit of work in `ctx`. @internal */
export function workIn(ctx: Context = context.active()): Work | undefined {
  return ctx.getValue(WORK) as Work | undefined;
}

/** `ctx` carrying `work`. @internal */
export function withWork(ctx: Context, work: Work): Context {
  return ctx.setValue(WORK, work);
}

/**
 * What leaves with calls made in `ctx` where its work is not traced: the caller's context, with the baggage of `ctx`. `undefined` where it is
 * traced: then `ctx` itself leaves. @internal
 */
export function relayIn(ctx: Context): Context | undefined {
  const relay = workIn(ctx)?.relay;
  if (relay === undefined) return undefined;
  const baggage = propagation.getBaggage(ctx);
  if (baggage === propagation.getBaggage(relay)) return relay;
  return baggage === undefined ? propagation.deleteBaggage(relay) : propagation.setBaggage(relay, baggage);
}

const SUPPRESSED = createContextKey('OpenTelemetry SDK Context Key SUPPRESS_TRACING');

/** Whether `ctx` forbids any span, as OpenTelemetry's `suppressTracing` does around exporters' own calls. @internal */
export function isSuppressed(ctx: Context): boolean {
  return ctx.getValue(SUPPRESSED) === true;
}

/** `ctx` in which nobody, OpenTelemetry's own instrumentations included, makes a span. @internal */
export function suppressed(ctx: Context): Context {
  return ctx.setValue(SUPPRESSED, true);
}

const LIVE = Symbol.for('nestjs-tracing/applications');
const live: TracingApplication[] = ((globalThis as { [LIVE]?: TracingApplication[] })[LIVE] ??= []);

/** The application that spans opened in `ctx` belong to: that of the work in `ctx`, else the oldest one alive. @internal */
export function applicationIn(ctx: Context = context.active()): TracingApplication | undefined {
  return workIn(ctx)?.application ?? live[0];
}

/** From now on work outside any request may belong to `application`. @internal */
export function enlist(application: TracingApplication): void {
  live.push(application);
}

/** Whether there is an application that work outside any request may belong to. @internal */
export function isAnyoneEnlisted(): boolean {
  return live.length > 0;
}

/** Ends what {@link enlist} began. @internal */
export function discharge(application: TracingApplication): void {
  const index = live.indexOf(application);
  if (index >= 0) live.splice(index, 1);
}
