/** What a finished local root has set going in other services, out of all that a viewer knows of the trace. */
import { type FinishedSpan, kindName, type TraceSpan } from './model/trace-span.js';

/** Whether others may have spans below one of these. @internal */
export function callsOut(tree: readonly FinishedSpan[]): boolean {
  return tree.some(({ kind }) => ['client', 'producer'].includes(kindName(kind)));
}

/** Spans by the id of their parent. @internal */
export type ChildrenOf = ReadonlyMap<string, readonly TraceSpan[]>;

/** Made once for all roots of a trace: each would otherwise walk through all of it. @internal */
export function childrenOf(all: readonly TraceSpan[]): ChildrenOf {
  const children = new Map<string, TraceSpan[]>();
  for (const span of all) {
    const { parentSpanId = '' } = span;
    const siblings = children.get(parentSpanId);
    if (siblings) siblings.push(span);
    else children.set(parentSpanId, [span]);
  }
  return children;
}

/** Those of `children` that hang below one of `own` and are not among them. @internal */
export function descendants(own: readonly TraceSpan[], children: ChildrenOf): TraceSpan[] {
  const reached = new Set(own.map(({ spanId }) => spanId));
  const found: TraceSpan[] = [];
  // A set that grows is walked to its end.
  for (const parentId of reached) {
    for (const span of children.get(parentId) ?? []) {
      if (reached.has(span.spanId)) continue;
      reached.add(span.spanId);
      found.push(span);
    }
  }
  return found;
}
