/** The list of traces behind a filter. */
import { type Filter, matchesTrace } from '../model/filter.js';
import type { TraceList } from '../model/wire.js';
import type { StoredTrace } from './stored-trace.js';
import type { TraceStore } from './trace-store.js';

/** Nobody reads further, and a page should not have to. */
const MAX_LISTED = 1000;

/** The newest traces that match, newest first. @internal */
export function listTraces(store: TraceStore, filter: Filter): TraceList {
  const matching = [...store.all()].filter(trace => isListed(trace, filter)).sort(byNewest);
  return { traces: matching.slice(0, MAX_LISTED).map(trace => trace.summary()), stored: store.traceCount };
}

/** @internal */
export function isListed({ spans, durationNs }: StoredTrace, filter: Filter): boolean {
  return matchesTrace(filter, spans.values(), durationNs);
}

/** @internal */
export function byNewest(a: StoredTrace, b: StoredTrace): number {
  return a.startNs < b.startNs ? 1 : a.startNs > b.startNs ? -1 : 0;
}
