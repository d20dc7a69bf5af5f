/** What a finished local root has set going in other services, out of all that a viewer knows of the trace. */
import { type FinishedSpan, kindName, type TraceSpan } from './model/trace-span.js';

/** Whether others may have spans below one of these. @internal */
export function callsOut(tree: readonly FinishedSpan[]): boolean {
  return tree.some(({ kind }) => ['client', 'producer'].includes(kindName(kind)));
}

/** Those of `all` that hang below one of `own` and are not among them. @internal */
export function descendants(own: readonly TraceSpan[], all: readonly TraceSpan[]): TraceSpan[] {
  const reached = new Set(own.map(({ spanId }) => spanId));
  const childrenOf = new Map<string, TraceSpan[]>();
  for (const span of all) {
    const { parentSpanId = '', spanId } = span;
    if (reached.has(spanId)) continue;
    const siblings = childrenOf.get(parentSpanId);
    if (siblings) siblings.push(span);
    else childrenOf.set(parentSpanId, [span]);
  }
  const found: TraceSpan[] = [];
  // A set that grows is walked to its end.
  for (const parentId of reached) {
    for (const span of childrenOf.get(parentId) ?? []) {
      if (reached.has(span.spanId)) continue;
      reached.add(span.spanId);
      found.push(span);
    }
  }
  return found;
}
