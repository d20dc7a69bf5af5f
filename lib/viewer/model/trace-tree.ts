/** Finished spans as trees of objects, one per trace: what the terminal and the testing kit walk through. */
import { peer } from '../../conventions/reading.js';
import { criticalPath } from './critical-path.js';
import { columnsOfSpans } from './span-columns.js';
import { growForest } from './span-forest.js';
import type { TraceSpan } from './trace-span.js';

/** A span at its place in the tree. @internal */
export interface TraceNode {
  readonly span: TraceSpan;
  /** Whole nanoseconds from the start of the trace, corrected for clocks that differ. */
  readonly offsetNs: number;
  readonly durationNs: number;
  /** In order of start. */
  readonly children: readonly TraceNode[];
  /** The span has a parent that is not there: in another process, not received yet, or lost. */
  readonly isParentMissing: boolean;
  /** When the end of the root waited for this span and for no child of it: offsets, in order of time. */
  readonly critical: readonly { readonly fromNs: number; readonly toNs: number }[];
}

/** All spans of one trace that are there. @internal */
export interface TraceTree {
  readonly traceId: string;
  /** In order of start; more than one where parents are missing. */
  readonly roots: readonly TraceNode[];
  readonly spanCount: number;
  /** From the first start to the last end, whichever spans these are of. */
  readonly startNs: bigint;
  readonly durationNs: number;
}

/**
 * The trees of all traces in `spans`, in order of first appearance. Of spans with one id the first counts. Spans that are each other's
 * ancestors are taken apart at the earliest one, so every span appears exactly once. Siblings that start at once keep their order.
 * @internal
 */
export function buildTraceTrees(spans: Iterable<TraceSpan>): TraceTree[] {
  const traces = new Map<string, Map<string, TraceSpan>>();
  for (const span of spans) {
    let trace = traces.get(span.traceId);
    if (!trace) traces.set(span.traceId, (trace = new Map<string, TraceSpan>()));
    if (!trace.has(span.spanId)) trace.set(span.spanId, span);
  }
  return [...traces.values()].map(buildTree);
}

/** Siblings with one likeness do the same: service, kind, name, peer and outcome. @internal */
export function likenessOf({ span }: TraceNode): string {
  return JSON.stringify([span.service, span.kind, span.status === 'error', span.name, peer(span.attributes)]);
}

function buildTree(spans: ReadonlyMap<string, TraceSpan>): TraceTree {
  const forest = growForest(columnsOfSpans([...spans.values()]));
  const path = criticalPath(forest);
  const roots: TraceNode[] = [];
  const childrenOf: TraceNode[][] = [];
  forest.spanId.forEach((id, index) => {
    const span = spans.get(id);
    if (!span) return;
    const children: TraceNode[] = [];
    childrenOf.push(children);
    // Parents come before their children.
    (childrenOf[forest.parent[index] ?? -1] ?? roots).push({
      span,
      offsetNs: forest.offsetNs[index] ?? 0,
      durationNs: forest.durationNs[index] ?? 0,
      children,
      isParentMissing: index in forest.missingParent,
      critical: (path[index] ?? []).map(([fromNs, toNs]) => ({ fromNs, toNs })),
    });
  });
  return { traceId: forest.traceId, roots, spanCount: forest.count, startNs: forest.startNs, durationNs: forest.totalNs };
}
