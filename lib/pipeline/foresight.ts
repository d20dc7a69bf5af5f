/** Foresees that a span would not be recorded, so that nothing need be computed for it and the SDK need not be asked. */
import { type Context, isSpanContextValid, type Span, trace, TraceFlags } from '@opentelemetry/api';
import { isSuppressed } from '../local/work.js';
import { RANDOM } from '../propagation/random-flag.js';
import { callersWish, isDeferred } from '../propagation/sampling-wish.js';
import type { PooledIdGenerator } from './id-generator.js';
import type { SamplingRule } from './sampler.js';

/**
 * The span for work in `parent` that `rule` refuses: it has ids, says "not sampled" to whoever is called, and records nothing.
 * `undefined` where the span may record, and where nothing is to be traced at all.
 * @internal
 */
export function foresee(rule: SamplingRule, ids: PooledIdGenerator): (parent: Context) => Span | undefined {
  return parent => {
    const caller = trace.getSpanContext(parent);
    if (caller !== undefined && rule.followsParent && (caller.traceFlags & TraceFlags.SAMPLED) !== 0) return undefined;
    if (caller !== undefined && isSpanContextValid(caller)) {
      if ((!rule.followsParent || isDeferred(caller)) && rule.samples(caller.traceId)) return undefined;
      if (isSuppressed(parent)) return undefined;
      const { traceId, traceState } = caller;
      return trace.wrapSpanContext({ traceId, spanId: ids.generateSpanId(), traceFlags: caller.traceFlags & RANDOM, traceState });
    }
    const isUnwished = rule.followsParent && callersWish(caller) === false;
    // The id stays the next one, so that the SDK comes to the same decision about it.
    if ((!isUnwished && rule.samples(ids.peekTraceId())) || isSuppressed(parent)) return undefined;
    return trace.wrapSpanContext({ traceId: ids.generateTraceId(), spanId: ids.generateSpanId(), traceFlags: RANDOM });
  };
}
