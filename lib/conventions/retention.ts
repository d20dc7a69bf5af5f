/** Attributes of what was kept, folded and left out of a trace. */
import type { Attributes, Span } from '@opentelemetry/api';

/**
 * Why a local root was kept: it failed, it was slow, its trace id is in the ratio, the application or a caller asked for it, or another
 * local root of the same trace was kept.
 */
export type KeepReason = 'error' | 'slow' | 'ratio' | 'asked' | 'trace';

/** Says on the span of the local root why it was kept. `discarded`: how many of its spans were dropped before that was known. */
export function recordKept(span: Span, reason: KeepReason, discarded: number): void {
  span.setAttribute('nestjs.keep.reason', reason);
  if (discarded > 0) span.setAttribute('nestjs.keep.discarded', discarded);
}

/** What a folded span says of the spans that it stands for. Times are in milliseconds. */
export interface Folded {
  readonly count: number;
  readonly sum: number;
  readonly slowest: number;
  /** The number of spans below them, which are left out. */
  readonly descendants: number;
}

export function foldedAttributes({ count, sum, slowest, descendants }: Folded): Attributes {
  const attributes: Attributes = {
    'nestjs.folded.count': count,
    'nestjs.folded.sum_ms': sum,
    'nestjs.folded.slowest_ms': slowest,
  };
  if (descendants > 0) attributes['nestjs.folded.descendants'] = descendants;
  return attributes;
}

/** As many as one span has at most. */
const MAX_SUMS = 62;

/** Adds up what the spans have counted: short calls, and calls beyond the budget. */
export function summedAttributes(all: readonly Attributes[]): Attributes {
  const sums = new Map<string, number>();
  for (const attributes of all) {
    for (const key in attributes) {
      const value = attributes[key];
      if (typeof value !== 'number' || !/^nestjs\.(calls\.|omitted\.count$)/.test(key)) continue;
      if (sums.size < MAX_SUMS || sums.has(key)) sums.set(key, (sums.get(key) ?? 0) + value);
    }
  }
  return Object.fromEntries(sums);
}

/** Says on a span how many calls directly below it have no span, because the budget of the local root was used up. */
export function recordOmitted(span: Span, count: number): void {
  span.setAttribute('nestjs.omitted.count', count);
}

/** Says on the span of the local root how many calls in all have no span, and what the budget was. */
export function recordOmittedTotal(span: Span, total: number, budget: number): void {
  span.setAttribute('nestjs.omitted.total', total);
  span.setAttribute('nestjs.omitted.budget', budget);
}
