/** Puts finished spans together to trees, one per trace, whatever order they came in and whatever is missing. */
import type { TraceSpan } from './trace-span.js';

/** A span at its place in the tree. @internal */
export interface TraceNode {
  readonly span: TraceSpan;
  /** Whole nanoseconds from the start of the trace. */
  readonly offsetNs: number;
  readonly durationNs: number;
  /** In order of start. */
  readonly children: readonly TraceNode[];
  /** The span has a parent that is not there: in another process, not received yet, or lost. */
  readonly isParentMissing: boolean;
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
  return [...traces].map(([traceId, trace]) => buildTree(traceId, trace));
}

interface MutableNode extends TraceNode {
  readonly children: MutableNode[];
  isParentMissing: boolean;
}

function buildTree(traceId: string, spans: ReadonlyMap<string, TraceSpan>): TraceTree {
  // Array.sort is stable: where the clock cannot tell, the order of arrival stands.
  const inOrder = [...spans.values()].sort((a, b) => (a.startNs < b.startNs ? -1 : a.startNs > b.startNs ? 1 : 0));
  const startNs = inOrder[0]?.startNs ?? 0n;
  const nodes = new Map<string, MutableNode>();
  let endNs = startNs;
  for (const span of inOrder) {
    if (span.endNs > endNs) endNs = span.endNs;
    nodes.set(span.spanId, {
      span,
      offsetNs: Number(span.startNs - startNs),
      durationNs: Number(span.endNs - span.startNs),
      children: [],
      isParentMissing: false,
    });
  }
  const roots: MutableNode[] = [];
  for (const node of nodes.values()) {
    const { parentSpanId, spanId } = node.span;
    const parent = parentSpanId === undefined || parentSpanId === spanId ? undefined : nodes.get(parentSpanId);
    if (parent) parent.children.push(node);
    else {
      node.isParentMissing = parentSpanId !== undefined;
      roots.push(node);
    }
  }
  openCycles(nodes, roots);
  return { traceId, roots, spanCount: nodes.size, startNs, durationNs: Number(endNs - startNs) };
}

/** Makes roots of spans that no root leads to: each circle of parents is cut above its earliest span. */
function openCycles(nodes: ReadonlyMap<string, MutableNode>, roots: MutableNode[]): void {
  const reached = new Set<MutableNode>();
  for (const root of roots) reach(root, reached);
  if (reached.size === nodes.size) return;
  for (const node of nodes.values()) {
    if (reached.has(node)) continue;
    const parent = nodes.get(node.span.parentSpanId ?? '');
    parent?.children.splice(parent.children.indexOf(node), 1);
    node.isParentMissing = true;
    roots.push(node);
    reach(node, reached);
  }
}

function reach(root: MutableNode, reached: Set<MutableNode>): void {
  const waiting = [root];
  for (let node = waiting.pop(); node; node = waiting.pop()) {
    if (reached.has(node)) continue;
    reached.add(node);
    for (const child of node.children) waiting.push(child);
  }
}
