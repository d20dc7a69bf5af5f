/** Keeps the random flag of W3C Trace Context level 2 beside the span, because spans of the SDK keep the sampled bit only. */
import { type Context, createContextKey, type SpanContext } from '@opentelemetry/api';

/** The trace id's last seven bytes are random: https://www.w3.org/TR/trace-context-2/#random-trace-id-flag @internal */
export const RANDOM = 0x02;

interface CallersWord {
  readonly traceId: string;
  readonly isRandom: boolean;
}

const CALLERS_WORD = createContextKey('nestjs-tracing/random-flag');

/** `ctx` remembering what the caller said about `traceId`. @internal */
export function withRandomFlag(ctx: Context, traceId: string, isRandom: boolean): Context {
  return ctx.setValue(CALLERS_WORD, { traceId, isRandom } satisfies CallersWord);
}

/** Whether the trace of `span` is known to have a random id: the span says so, its caller did, or else it is a trace of our own. @internal */
export function isRandomTrace(ctx: Context, span: SpanContext, isOurs: boolean): boolean {
  if ((span.traceFlags & RANDOM) !== 0) return true;
  if (span.isRemote === true) return false;
  const word = ctx.getValue(CALLERS_WORD) as CallersWord | undefined;
  return word?.traceId === span.traceId ? word.isRandom : isOurs;
}
