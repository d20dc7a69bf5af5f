/** The critical path: of each moment of a request, the span that its end waited for. */
import { childrenOf, type SpanForest } from './span-forest.js';

/** Only of spans that are on the path: their stretches of it, in order of time. @internal */
export type CriticalPath = Readonly<Record<number, readonly Stretch[]>>;

/** Offsets in nanoseconds. @internal */
export type Stretch = readonly [from: number, to: number];

/**
 * The path of each root, from its start to its end without a gap. Backwards from the end, it goes through the child that finished last, to
 * that child's start, and on through the child that finished last before. What children do after their parent's end is not on it.
 * @internal
 */
export function criticalPath(forest: SpanForest): CriticalPath {
  const { offsetNs, durationNs } = forest;
  const path: Record<number, Stretch[]> = {};
  const waiting: { readonly span: number; readonly from: number; readonly to: number }[] = [];
  const add = (span: number, from: number, to: number) => void (path[span] ??= []).push([from, to]);
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
      if (childTo < cursor) add(span, childTo, cursor);
      waiting.push({ span: child, from: childFrom, to: childTo });
      cursor = childFrom;
    }
    if (from < cursor) add(span, from, cursor);
  }
  // They were found from late to early.
  for (const stretches of Object.values(path)) stretches.reverse();
  return path;
}

/** OpenTelemetry's JavaScript SDK takes the start of a span from a clock of milliseconds: one call may seem to begin before the last has ended. */
const CLOCK_NS = 1e6;

function clockError(durationNs: number): number {
  return Math.min(CLOCK_NS, durationNs / 2);
}
