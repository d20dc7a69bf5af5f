/** Finds the spans of other services below a finished local root, among all spans that a viewer has of the trace. */
import { type FinishedSpan, kindName, type TraceSpan } from './model/trace-span.js';

/** Whether other services may have spans below a span of `tree`. @internal */
export function callsOut(tree: readonly FinishedSpan[]): boolean {
  return tree.some(({ kind }) => ['client', 'producer'].includes(kindName(kind)));
}

/** Spans by the id of their parent span. @internal */
export type SpansByParent = ReadonlyMap<string, readonly TraceSpan[]>;

/** Call it once for all local roots of a trace: it visits every span. @internal */
export function groupByParent(all: readonly TraceSpan[]): SpansByParent {
  const byParent = new Map<string, TraceSpan[]>();
  for (const span of all) {
    const { parentSpanId = '' } = span;
    const siblings = byParent.get(parentSpanId);
    if (siblings) siblings.push(span);
    else byParent.set(parentSpanId, [span]);
  }
  return byParent;
}

/** Returns all spans below those in `own`, without `own` itself. @internal */
export function descendants(own: readonly TraceSpan[], byParent: SpansByParent): TraceSpan[] {
  const reached = new Set(own.map(({ spanId }) => spanId));
  const found: TraceSpan[] = [];
  // The loop also visits the ids that it adds to the set.
  for (const parentId of reached) {
    for (const span of byParent.get(parentId) ?? []) {
      if (reached.has(span.spanId)) continue;
      reached.add(span.spanId);
      found.push(span);
    }
  }
  return found;
}
