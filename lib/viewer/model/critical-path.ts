/** The critical path: of each moment of a request, the span that its end waited for. */
import { childrenOf, type SpanForest } from './span-forest.js';

/** The stretches of span `i` on the path are those from `first[i]` to `first[i + 1]`, in order of time. @internal */
export interface CriticalPath {
  readonly first: Int32Array;
  readonly fromNs: Float64Array;
  readonly toNs: Float64Array;
}

/**
 * The path of each root, from its start to its end without a gap. Backwards from the end, it goes through the child that finished last, to
 * that child's start, and on through the child that finished last before. What children do after their parent's end is not on it.
 * @internal
 */
export function criticalPath(forest: SpanForest): CriticalPath {
  const { count, offsetNs, durationNs } = forest;
  const stretches: Stretch[] = [];
  const waiting: Stretch[] = [];
  const startOf = (index: number) => offsetNs[index] ?? 0;
  const endOf = (index: number) => startOf(index) + (durationNs[index] ?? 0);
  for (const span of childrenOf(forest)) waiting.push({ span, from: startOf(span), to: endOf(span) });
  for (let stretch = waiting.pop(); stretch; stretch = waiting.pop()) {
    const { span, from, to } = stretch;
    let cursor = to;
    for (const child of childrenOf(forest, span).sort((a, b) => endOf(b) - endOf(a))) {
      const childFrom = Math.max(startOf(child), from);
      let childTo = endOf(child);
      // A child still at work when a later one began did not hold that one up. Only the end of the parent cuts it off.
      if (childTo > cursor && (cursor === to || childTo - cursor <= clockError(durationNs[child] ?? 0))) childTo = cursor;
      if (childTo > cursor || childFrom >= childTo) continue;
      if (childTo < cursor) stretches.push({ span, from: childTo, to: cursor });
      waiting.push({ span: child, from: childFrom, to: childTo });
      cursor = childFrom;
    }
    if (from < cursor) stretches.push({ span, from, to: cursor });
  }
  return bySpan(stretches, count);
}

/** OpenTelemetry's JavaScript SDK takes the start of a span from a clock of milliseconds: one call may seem to begin before the last has ended. */
const CLOCK_NS = 1e6;

function clockError(durationNs: number): number {
  return Math.min(CLOCK_NS, durationNs / 2);
}

interface Stretch {
  readonly span: number;
  readonly from: number;
  readonly to: number;
}

function bySpan(stretches: readonly Stretch[], count: number): CriticalPath {
  const first = new Int32Array(count + 1);
  for (const { span } of stretches) first[span + 1] = (first[span + 1] ?? 0) + 1;
  for (let index = 1; index <= count; index += 1) first[index] = (first[index] ?? 0) + (first[index - 1] ?? 0);
  // They were found from late to early: filled from behind, those of a span are in order of time.
  const next = first.slice(1);
  const fromNs = new Float64Array(stretches.length);
  const toNs = new Float64Array(stretches.length);
  for (const { span, from, to } of stretches) {
    const place = (next[span] ?? 0) - 1;
    next[span] = place;
    fromNs[place] = from;
    toNs[place] = to;
  }
  return { first, fromNs, toNs };
}
