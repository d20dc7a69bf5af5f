/** Sums up traces by path, the names from the root down: what a flame graph shows of one trace, and a comparison of two. */
import { ERROR } from './span-columns.js';
import type { SpanForest } from './span-forest.js';

/** All spans that are reached by the same names. @internal */
export interface CallPath {
  readonly service: string;
  readonly name: string;
  readonly depth: number;
  /** Index among all paths; -1 at the top. */
  readonly parent: number;
  /** One for each trace. */
  readonly sides: readonly PathSum[];
  /** Self times of it and of everything below: its width, of which its children take no more than all. */
  readonly widthNs: number;
  /** Widths of everything to the left of it. */
  readonly fromNs: number;
}

/** What the spans of a path took in one trace. */
interface PathSum {
  readonly count: number;
  readonly errorCount: number;
  readonly totalNs: number;
  readonly selfNs: number;
  /** Index of the slowest span, -1 without any. */
  readonly slowest: number;
}

/** From top to bottom, a path before those below it, in order of first appearance. @internal */
export function callPaths(forests: readonly SpanForest[]): CallPath[] {
  const top = newNode('', '', forests.length);
  forests.forEach((forest, side) => addTrace(top, forest, side, forests.length));
  return flatten(top);
}

interface PathNode {
  readonly service: string;
  readonly name: string;
  readonly sides: { -readonly [key in keyof PathSum]: PathSum[key] }[];
  readonly children: Map<string, PathNode>;
}

function newNode(service: string, name: string, sides: number): PathNode {
  const nothing = { count: 0, errorCount: 0, totalNs: 0, selfNs: 0, slowest: -1 };
  return { service, name, sides: Array.from({ length: sides }, () => ({ ...nothing })), children: new Map() };
}

function addTrace(top: PathNode, forest: SpanForest, side: number, sides: number): void {
  const { count, parent, texts, durationNs, selfNs, status } = forest;
  const nodes: PathNode[] = [];
  for (let span = 0; span < count; span += 1) {
    const above = nodes[parent[span] ?? -1] ?? top;
    const service = texts[forest.service[span] ?? 0] ?? '';
    const name = texts[forest.name[span] ?? 0] ?? '';
    const key = `${service}\n${name}`;
    let node = above.children.get(key);
    if (!node) above.children.set(key, (node = newNode(service, name, sides)));
    nodes.push(node);
    const sum = node.sides[side];
    if (!sum) continue;
    sum.count += 1;
    sum.totalNs += durationNs[span] ?? 0;
    sum.selfNs += selfNs[span] ?? 0;
    if (status[span] === ERROR) sum.errorCount += 1;
    if (sum.slowest === -1 || (durationNs[span] ?? 0) > (durationNs[sum.slowest] ?? 0)) sum.slowest = span;
  }
}

function flatten(top: PathNode): CallPath[] {
  const paths: { -readonly [key in keyof CallPath]: CallPath[key] }[] = [];
  const waiting: { node: PathNode; parent: number }[] = [];
  const push = ({ children }: PathNode, parent: number) => {
    for (const node of [...children.values()].reverse()) waiting.push({ node, parent });
  };
  push(top, -1);
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { node, parent } = next;
    const { service, name, sides } = node;
    const widthNs = sides.reduce((sum, { selfNs }) => sum + selfNs, 0);
    paths.push({ service, name, sides, parent, depth: (paths[parent]?.depth ?? -1) + 1, widthNs, fromNs: 0 });
    push(node, paths.length - 1);
  }
  for (const { parent, widthNs } of [...paths].reverse()) {
    const above = paths[parent];
    if (above) above.widthNs += widthNs;
  }
  const filledTo = new Float64Array(paths.length + 1);
  paths.forEach((path, index) => {
    path.fromNs = filledTo[path.parent + 1] ?? 0;
    filledTo[index + 1] = path.fromNs;
    filledTo[path.parent + 1] = path.fromNs + path.widthNs;
  });
  return paths;
}
