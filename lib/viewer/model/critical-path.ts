/** The critical path: for each moment of a request, the span that the end of the request waited for. */
import { childrenOf, type SpanForest } from './span-forest.js';

/** For each span on the path, its segments of the path in order of time. @internal */
export type CriticalPath = Readonly<Record<number, readonly Segment[]>>;

/** A part of the time of a span, as offsets in nanoseconds. @internal */
export type Segment = readonly [from: number, to: number];

/**
 * Returns the critical path of each root. It covers the whole time of the root. The search goes back from the end of a span: it takes the
 * child that ended last, goes to the start of that child, takes the child that ended last before that, and so on. The time of a child after
 * the end of its parent is not on the path.
 * @internal
 */
export function criticalPath(forest: SpanForest): CriticalPath {
  const { offsetNs, durationNs } = forest;
  const path: Record<number, Segment[]> = {};
  const waiting: { readonly span: number; readonly from: number; readonly to: number }[] = [];
  const add = (span: number, from: number, to: number) => void (path[span] ??= []).push([from, to]);
  const startOf = (index: number) => offsetNs[index] ?? 0;
  const endOf = (index: number) => startOf(index) + (durationNs[index] ?? 0);
  for (const span of childrenOf(forest)) waiting.push({ span, from: startOf(span), to: endOf(span) });
  for (let segment = waiting.pop(); segment; segment = waiting.pop()) {
    const { span, from, to } = segment;
    let cursor = to;
    for (const child of childrenOf(forest, span).sort((a, b) => endOf(b) - endOf(a))) {
      const childFrom = Math.max(startOf(child), from);
      let childTo = endOf(child);
      // A child that was in flight when a later child began did not delay that one, so it is not on the path. At the end of the parent, a
      // child in flight is cut.
      if (childTo > cursor && (cursor === to || childTo - cursor <= clockError(durationNs[child] ?? 0))) childTo = cursor;
      if (childTo > cursor || childFrom >= childTo) continue;
      if (childTo < cursor) add(span, childTo, cursor);
      waiting.push({ span: child, from: childFrom, to: childTo });
      cursor = childFrom;
    }
    if (from < cursor) add(span, from, cursor);
  }
  // The segments were found from late to early.
  for (const segments of Object.values(path)) segments.reverse();
  return path;
}

/** OpenTelemetry's JavaScript SDK measures the start of a span in milliseconds, so a call may seem to start before the last one ended. */
const CLOCK_NS = 1e6;

function clockError(durationNs: number): number {
  return Math.min(CLOCK_NS, durationNs / 2);
}
