/** Builds trees of objects from finished spans, one for each trace, for the terminal and `nestjs-tracing/testing`. */
import { peer } from '../../conventions/reading.js';
import { criticalPath } from './critical-path.js';
import { columnsOfSpans } from './span-columns.js';
import { buildForest } from './span-forest.js';
import type { TraceSpan } from './trace-span.js';

/** A span with its children. @internal */
export interface TraceNode {
  readonly span: TraceSpan;
  /** Nanoseconds from the start of the trace to that of the span, corrected for clocks that differ. */
  readonly offsetNs: number;
  readonly durationNs: number;
  /** In order of start. */
  readonly children: readonly TraceNode[];
  /** Whether the span has a parent that is not in the tree: it is in another process, not received yet, or lost. */
  readonly isParentMissing: boolean;
  /** The segments of the critical path in this span itself, not in its children, as offsets in order of time. */
  readonly critical: readonly { readonly fromNs: number; readonly toNs: number }[];
}

/** All given spans of one trace. @internal */
export interface TraceTree {
  readonly traceId: string;
  /** In order of start. There is more than one if a parent is missing. */
  readonly roots: readonly TraceNode[];
  readonly spanCount: number;
  /** The earliest start of all spans. */
  readonly startNs: bigint;
  /** From the earliest start to the latest end of all spans. */
  readonly durationNs: number;
}

/**
 * Returns the trees of all traces in `spans`, in the order in which the traces first appear. If several spans have the same id, only the
 * first is used. In a cycle of parents, the earliest span becomes a root. Siblings with the same start keep their order.
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

/** Siblings with the same key are similar: service, kind, name, peer and outcome are equal. @internal */
export function similarityKeyOf({ span }: TraceNode): string {
  return JSON.stringify([span.service, span.kind, span.status === 'error', span.name, peer(span.attributes)]);
}

function buildTree(spans: ReadonlyMap<string, TraceSpan>): TraceTree {
  const forest = buildForest(columnsOfSpans([...spans.values()]));
  const path = criticalPath(forest);
  const roots: TraceNode[] = [];
  const childrenByIndex: TraceNode[][] = [];
  forest.spanId.forEach((id, index) => {
    const span = spans.get(id);
    if (!span) return;
    const children: TraceNode[] = [];
    childrenByIndex.push(children);
    // The forest has each parent before its children, so the parent's list exists already.
    (childrenByIndex[forest.parent[index] ?? -1] ?? roots).push({
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
