/** Sums up the spans of traces by call path (the names from the root down), for the flame graph and the comparison of two traces. */
import { ERROR } from './span-columns.js';
import type { SpanForest } from './span-forest.js';

/** All spans with the same name and the same names above them. @internal */
export interface CallPath {
  readonly service: string;
  readonly name: string;
  readonly depth: number;
  /** Index of the path above this one; -1 at the top. */
  readonly parent: number;
  /** One sum for each trace. */
  readonly sides: readonly PathSum[];
  /** Width in the flame graph: the self times of this path and of all paths below it. */
  readonly widthNs: number;
  /** Left edge in the flame graph. */
  readonly fromNs: number;
}

/** The spans of a path in one trace. */
interface PathSum {
  readonly count: number;
  readonly errorCount: number;
  readonly totalNs: number;
  readonly selfNs: number;
  /** Index of the slowest span; -1 if there is none. */
  readonly slowest: number;
}

/** Returns the call paths depth first, in the order in which they first appear. @internal */
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
  const empty = { count: 0, errorCount: 0, totalNs: 0, selfNs: 0, slowest: -1 };
  return { service, name, sides: Array.from({ length: sides }, () => ({ ...empty })), children: new Map() };
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
