/** Stores values in a context besides its span: suppressed tracing, the random flag, decisions of the caller. */
import {
  type Context,
  createContextKey,
  INVALID_SPANID,
  INVALID_TRACEID,
  type SpanContext,
  trace,
  TraceFlags,
  type TraceState,
} from '@opentelemetry/api';

/** OpenTelemetry's context key for suppressed tracing. It forbids spans and headers, for example while an exporter runs. @internal */
export const SUPPRESSED = createContextKey('OpenTelemetry SDK Context Key SUPPRESS_TRACING');

/** True if `ctx` forbids spans. @internal */
export function isSuppressed(ctx: Context): boolean {
  return ctx.getValue(SUPPRESSED) === true;
}

/** Returns a copy of `ctx` in which nothing creates spans, not even OpenTelemetry's own instrumentations. @internal */
export function suppressed(ctx: Context): Context {
  return ctx.setValue(SUPPRESSED, true);
}

/** The context key of an operation whose trace must be recorded and kept, because its caller proved to be entitled to that. */
const ASKED = createContextKey('nestjs-tracing/asked');

/** Returns a copy of `ctx` in which each trace is recorded and kept. @internal */
export function asked(ctx: Context): Context {
  return ctx.setValue(ASKED, true);
}

/** True if each trace in `ctx` is recorded and kept. @internal */
export function isAsked(ctx: Context): boolean {
  return ctx.getValue(ASKED) === true;
}

/**
 * The trace flag that says that the last seven bytes of the trace id are random:
 * https://www.w3.org/TR/trace-context-2/#random-trace-id-flag @internal
 */
export const RANDOM = 0x02;

/** The context of a caller's span, whose ids were checked when it was read from `traceparent`. @internal */
export class ReceivedSpanContext implements SpanContext {
  readonly isRemote = true;
  traceState?: TraceState;

  constructor(
    readonly traceId: string,
    readonly spanId: string,
    readonly traceFlags: number,
  ) {}
}

interface CallersFlag {
  readonly traceId: string;
  readonly isRandom: boolean;
}

/** The context key for the caller's random flag, because spans of the SDK keep only the sampled flag. @internal */
export const RANDOM_FLAG = createContextKey('nestjs-tracing/random-flag');

/** Returns a copy of `ctx` that stores the caller's random flag of `traceId`. @internal */
export function withRandomFlag(ctx: Context, traceId: string, isRandom: boolean): Context {
  return ctx.setValue(RANDOM_FLAG, { traceId, isRandom } satisfies CallersFlag);
}

/**
 * True if the trace of `span` has a random id. The flag of the span decides, then the caller's flag, then `isOurs`: the trace began here.
 * @internal
 */
export function isRandomTrace(ctx: Context, span: SpanContext, isOurs: boolean): boolean {
  if ((span.traceFlags & RANDOM) !== 0) return true;
  if (span.isRemote === true) return false;
  const flag = ctx.getValue(RANDOM_FLAG) as CallersFlag | undefined;
  return flag?.traceId === span.traceId ? flag.isRandom : isOurs;
}

/** Remote span contexts without a sampling decision. B3 allows that, W3C does not. */
const deferred = new WeakSet<SpanContext>();

/** Marks the remote span in `ctx` as a span without a sampling decision, and returns `ctx`. @internal */
export function defer(ctx: Context): Context {
  const span = trace.getSpanContext(ctx);
  if (span !== undefined) deferred.add(span);
  return ctx;
}

/** True if `span` came without a sampling decision. Our sampler then decides as for a root span. @internal */
export function isDeferred(span: SpanContext): boolean {
  return deferred.has(span);
}

const WITHOUT_TRACE = { traceId: INVALID_TRACEID, spanId: INVALID_SPANID, isRemote: true };
const FORCED_SAMPLED: SpanContext = { ...WITHOUT_TRACE, traceFlags: TraceFlags.SAMPLED };
const FORCED_NOT_SAMPLED: SpanContext = { ...WITHOUT_TRACE, traceFlags: TraceFlags.NONE };

/**
 * Returns a copy of `ctx` with a caller's sampling decision that came without a trace, which only B3 allows. It is stored in the place of
 * the span, so setting or deleting the span removes it. It has no ids, so it cannot become a parent. @internal
 */
export function withForcedDecision(ctx: Context, isSampled: boolean): Context {
  return trace.setSpanContext(ctx, isSampled ? FORCED_SAMPLED : FORCED_NOT_SAMPLED);
}

/** Returns the caller's sampling decision that came without a trace. Returns undefined if there is a trace or no decision. @internal */
export function forcedDecision(span: SpanContext | undefined): boolean | undefined {
  if (span === FORCED_SAMPLED) return true;
  return span === FORCED_NOT_SAMPLED ? false : undefined;
}
