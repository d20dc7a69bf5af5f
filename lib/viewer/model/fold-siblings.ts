/** Folds siblings that are alike (a query in a loop) into one row, so that a trace stays readable. */
import { peer } from '../../conventions/reading.js';
import type { TraceNode } from './trace-tree.js';

/** One row of a view: a span alone, or several alike of which `node` is the slowest. @internal */
export interface FoldedRow {
  readonly node: TraceNode;
  /** All spans of the row in order of start; just `node` where nothing was folded. */
  readonly members: readonly TraceNode[];
}

/** Fewer than this are shown one by one. */
const FOLD_FROM = 3;

/** The rows for `siblings`: of three or more with the same service, kind, name, peer and outcome one remains, where the first one was. @internal */
export function foldSiblings(siblings: readonly TraceNode[]): FoldedRow[] {
  if (siblings.length < FOLD_FROM) return siblings.map(alone);
  const groups = new Map<string, TraceNode[]>();
  for (const node of siblings) {
    const key = likeness(node);
    const group = groups.get(key);
    if (group) group.push(node);
    else groups.set(key, [node]);
  }
  const rows: FoldedRow[] = [];
  for (const node of siblings) {
    const members = groups.get(likeness(node)) ?? [];
    if (members.length < FOLD_FROM) rows.push(alone(node));
    else if (members[0] === node) rows.push({ node: slowest(members), members });
  }
  return rows;
}

function alone(node: TraceNode): FoldedRow {
  return { node, members: [node] };
}

function likeness({ span }: TraceNode): string {
  return JSON.stringify([span.service, span.kind, span.status === 'error', span.name, peer(span.attributes)]);
}

function slowest(members: readonly TraceNode[]): TraceNode {
  return members.reduce((longest, node) => (node.durationNs > longest.durationNs ? node : longest));
}
