/** Computes depth, last descendant and self time of each span from the order of the tree. */

/** One number for each span. @internal */
export type Column = ArrayLike<number> & Iterable<number>;

/** @internal */
export interface TreeShape {
  /** The index after the last descendant. */
  readonly end: Column;
  /** 0 for roots. */
  readonly depth: Column;
  /** The self time: the duration without the time of the children. */
  readonly selfNs: Column;
  /** From the earliest start to the latest end. */
  readonly totalNs: number;
}

/** Each span must come before its descendants, and siblings must be in order of start. `parent` of a root is -1. @internal */
export function shapeOf(parent: Column, offsetNs: Column, durationNs: Column): TreeShape {
  const count = parent.length;
  const end = new Int32Array(count);
  const depth = new Int32Array(count);
  const selfNs = Float64Array.from(durationNs);
  // Children come in order of start, so the end of the part that they cover in their parent only grows.
  const coveredTo = Float64Array.from(offsetNs);
  let totalNs = 0;
  for (let index = 0; index < count; index += 1) {
    const above = parent[index] ?? -1;
    const endNs = (offsetNs[index] ?? 0) + (durationNs[index] ?? 0);
    totalNs = Math.max(totalNs, endNs);
    if (above < 0) continue;
    depth[index] = (depth[above] ?? 0) + 1;
    const from = Math.max(offsetNs[index] ?? 0, coveredTo[above] ?? 0);
    const to = Math.min(endNs, (offsetNs[above] ?? 0) + (durationNs[above] ?? 0));
    if (to <= from) continue;
    selfNs[above] = (selfNs[above] ?? 0) - (to - from);
    coveredTo[above] = to;
  }
  for (let index = count - 1; index >= 0; index -= 1) {
    const above = parent[index] ?? -1;
    end[index] = Math.max(end[index] ?? 0, index + 1);
    if (above >= 0) end[above] = Math.max(end[above] ?? 0, end[index] ?? 0);
  }
  return { end, depth, selfNs, totalNs };
}
