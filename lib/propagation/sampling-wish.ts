/** What B3 can say and W3C cannot: a parent that leaves the sampling decision to the receiver, and a decision about a trace yet to begin. */
import { type Context, INVALID_SPANID, INVALID_TRACEID, type SpanContext, trace, TraceFlags } from '@opentelemetry/api';

/** By identity: what is started below such a span has a decision. */
const deferred = new WeakSet<SpanContext>();

/** `ctx`, whose remote span says nothing about sampling. @internal */
export function defer(ctx: Context): Context {
  const span = trace.getSpanContext(ctx);
  if (span !== undefined) deferred.add(span);
  return ctx;
}

/** Whether the caller leaves the decision to who continues `span`: its sampler decides as for a root. @internal */
export function isDeferred(span: SpanContext | undefined): boolean {
  return span !== undefined && deferred.has(span);
}

/**
 * `ctx` in which the next root is to be sampled or not. It stands where a span would, so that whatever replaces or deletes the span ends
 * it; having no ids it is nobody's parent. @internal
 */
export function wish(ctx: Context, isSampled: boolean): Context {
  return trace.setSpanContext(ctx, isSampled ? TO_BE_SAMPLED : TO_BE_LEFT_OUT);
}

/** The decision that the caller sent without a trace; `undefined` where there is a trace, or none was sent. @internal */
export function callersWish(span: SpanContext | undefined): boolean | undefined {
  if (span === TO_BE_SAMPLED) return true;
  return span === TO_BE_LEFT_OUT ? false : undefined;
}

const NOBODY = { traceId: INVALID_TRACEID, spanId: INVALID_SPANID, isRemote: true };
const TO_BE_SAMPLED: SpanContext = { ...NOBODY, traceFlags: TraceFlags.SAMPLED };
const TO_BE_LEFT_OUT: SpanContext = { ...NOBODY, traceFlags: TraceFlags.NONE };
