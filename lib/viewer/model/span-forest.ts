/** Orders the spans of a trace as trees, also if spans are missing, received twice, or each other's parents. */
import { clockShift } from './clock-skew.js';
import type { SpanColumns } from './span-columns.js';
import { type Column, shapeOf, type TreeShape } from './tree-shape.js';

/**
 * The spans of a trace in the order of the tree: each span is followed by its descendants, so a subtree is the range from `i` to `end[i]`.
 * Siblings are in order of start. Offsets are corrected for clocks that differ. Each column has one value for each span: `name[i]` belongs
 * to span `i`.
 * @internal
 */
export interface SpanForest extends TreeShape {
  readonly traceId: string;
  /** The start of the earliest span. Offsets are relative to it. */
  readonly startNs: bigint;
  readonly count: number;
  /** All names, services and peers, each text once. */
  readonly texts: readonly string[];
  readonly spanId: readonly string[];
  /** Index of the parent, which is always lower than that of the child; -1 for a root. */
  readonly parent: Column;
  /** Index in `texts`. */
  readonly name: Column;
  /** Index in `texts`. */
  readonly service: Column;
  /** Index in `texts`; -1 for a span without a peer. */
  readonly peer: Column;
  /** A number of OpenTelemetry's `SpanKind`. */
  readonly kind: Column;
  /** A number of OpenTelemetry's `SpanStatusCode`; 2 is an error. */
  readonly status: Column;
  readonly offsetNs: Column;
  readonly durationNs: Column;
  /** The HTTP or RPC status; `''` for a span without one. */
  readonly answer: readonly string[];
  /** The offsets of the events, for spans that have events. An exception at the offset `x` is stored as `-x - 1`. */
  readonly events: Readonly<Record<number, readonly number[]>>;
  /** The id of the parent, for roots whose parent is lost, not received yet, or below the root itself. */
  readonly missingParent: Readonly<Record<number, string>>;
  /** The time that was added to the start, for spans whose clock was corrected. */
  readonly shiftNs: Readonly<Record<number, number>>;
}

/**
 * If several spans have the same id, only the first is used. In a cycle of parents, the earliest span becomes a root. Siblings with the same
 * start keep their order.
 * @internal
 */
export function buildForest(columns: SpanColumns): SpanForest {
  const parents = findParents(columns);
  const order = byStart(parents.kept, columns.offsetNs);
  let children = listChildren(order, parents);
  if (cutCycles(order, parents, children)) children = listChildren(order, parents);
  const startNs = shiftClocks(columns, parents, children);
  if (parents.isShifted) children = listChildren(byStart(order, startNs), parents);
  return inTreeOrder(columns, parents, children, startNs);
}

/** Returns the indexes of the children of `parent`, or of the roots if there is no `parent`. @internal */
export function childrenOf({ end, count }: SpanForest, parent = -1): number[] {
  const last = parent < 0 ? count : (end[parent] ?? 0);
  const children: number[] = [];
  for (let child = parent + 1; child < last; child = end[child] ?? last) children.push(child);
  return children;
}

/** The parents of the spans, by the index in the columns. */
interface Parents {
  /** The indexes of all spans, each id once. */
  readonly kept: Int32Array;
  /** -1 for roots. */
  readonly parent: Int32Array;
  readonly isParentMissing: Uint8Array;
  readonly shiftNs: Float64Array;
  isShifted: boolean;
}

function findParents({ count, spanId, parentId }: SpanColumns): Parents {
  const indexes = new Map<string, number>();
  spanId.forEach((id, index) => {
    if (!indexes.has(id)) indexes.set(id, index);
  });
  const kept = new Int32Array(indexes.size);
  let filled = 0;
  for (const index of indexes.values()) kept[filled++] = index;
  const parent = new Int32Array(count).fill(-1);
  const isParentMissing = new Uint8Array(count);
  for (const index of kept) {
    const id = parentId[index] ?? '';
    if (id === '') continue;
    const found = indexes.get(id) ?? -1;
    if (found === -1 || found === index) isParentMissing[index] = 1;
    else parent[index] = found;
  }
  return { kept, parent, isParentMissing, shiftNs: new Float64Array(count), isShifted: false };
}

function byStart(indexes: Int32Array, startNs: Float64Array): Int32Array {
  const at = (index: number) => startNs[index] ?? 0;
  // The sort is stable: spans with the same start keep their order.
  const isSorted = indexes.every((index, position) => position === 0 || at(indexes[position - 1] ?? 0) <= at(index));
  return isSorted ? indexes : indexes.slice().sort((a, b) => at(a) - at(b));
}

/** The children of span `i` are in `list` from `first[i]` to `first[i + 1]`. The roots are stored as the children of span `count`. */
interface Children {
  readonly first: Int32Array;
  readonly list: Int32Array;
}

function listChildren(order: Int32Array, { parent }: Parents): Children {
  const roots = parent.length;
  const first = new Int32Array(roots + 2);
  const slotOf = (index: number) => (parent[index] === -1 ? roots : (parent[index] ?? 0));
  for (const index of order) add(first, slotOf(index) + 1, 1);
  for (let index = 1; index < first.length; index += 1) add(first, index, first[index - 1] ?? 0);
  const next = first.slice();
  const list = new Int32Array(order.length);
  for (const index of order) {
    const slot = slotOf(index);
    list[next[slot] ?? 0] = index;
    add(next, slot, 1);
  }
  return { first, list };
}

function add(numbers: Int32Array, index: number, amount: number): void {
  numbers[index] = (numbers[index] ?? 0) + amount;
}

/** Visits all descendants of `start`, each after its parent, siblings in their order. */
function walk({ first, list }: Children, start: number, visit: (index: number) => void): void {
  const waiting: number[] = [];
  const push = (parent: number) => {
    for (let position = (first[parent + 1] ?? 0) - 1; position >= (first[parent] ?? 0); position -= 1) waiting.push(list[position] ?? 0);
  };
  push(start);
  for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) {
    visit(index);
    push(index);
  }
}

/** Makes the earliest span of each cycle of parents a root. Returns whether there was a cycle. */
function cutCycles(order: Int32Array, { parent, isParentMissing }: Parents, children: Children): boolean {
  const isReached = new Uint8Array(parent.length);
  let reached = 0;
  walk(children, parent.length, index => {
    isReached[index] = 1;
    reached += 1;
  });
  if (reached === order.length) return false;
  for (const root of order) {
    if (isReached[root] === 1) continue;
    parent[root] = -1;
    isParentMissing[root] = 1;
    const waiting = [root];
    for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) {
      if (isReached[index] === 1) continue;
      isReached[index] = 1;
      for (let position = children.first[index] ?? 0; position < (children.first[index + 1] ?? 0); position += 1)
        waiting.push(children.list[position] ?? 0);
    }
  }
  return true;
}

const PRODUCER = 3;
const CONSUMER = 4;

/** Returns the starts of all spans, corrected for clocks that differ. */
function shiftClocks({ service, kind, offsetNs, durationNs }: SpanColumns, parents: Parents, children: Children): Float64Array {
  const { parent, shiftNs } = parents;
  const startNs = offsetNs.slice();
  walk(children, parent.length, index => {
    const above = parent[index] ?? -1;
    if (above === -1) return;
    const aboveShiftNs = shiftNs[above] ?? 0;
    const isSameProcess = service[above] === service[index];
    const clocked = (span: number) => ({ startNs: offsetNs[span] ?? 0, durationNs: durationNs[span] ?? 0 });
    const isAnswered = kind[index] !== CONSUMER && kind[above] !== PRODUCER;
    const shift = isSameProcess ? aboveShiftNs : clockShift(clocked(above), aboveShiftNs, clocked(index), isAnswered);
    if (shift === 0) return;
    shiftNs[index] = shift;
    startNs[index] = (offsetNs[index] ?? 0) + shift;
    parents.isShifted = true;
  });
  return startNs;
}

function inTreeOrder(columns: SpanColumns, parents: Parents, children: Children, startNs: Float64Array): SpanForest {
  const { kept } = parents;
  const count = kept.length;
  const order = new Int32Array(count);
  const positionOf = new Int32Array(columns.count);
  const parent = new Int32Array(count);
  let filled = 0;
  walk(children, columns.count, index => {
    order[filled] = index;
    positionOf[index] = filled;
    const above = parents.parent[index] ?? -1;
    parent[filled] = above === -1 ? -1 : (positionOf[above] ?? 0);
    filled += 1;
  });
  let earliest = Infinity;
  for (const index of kept) earliest = Math.min(earliest, startNs[index] ?? 0);
  if (count === 0) earliest = 0;
  const offsetNs = floats(startNs, order);
  const durationNs = floats(columns.durationNs, order);
  const events: Record<number, readonly number[]> = {};
  const missingParent: Record<number, string> = {};
  const shiftNs: Record<number, number> = {};
  for (let position = 0; position < count; position += 1) {
    const index = order[position] ?? 0;
    const shift = parents.shiftNs[index] ?? 0;
    const eventOffsets = columns.events[index];
    offsetNs[position] = (offsetNs[position] ?? 0) - earliest;
    if (eventOffsets) events[position] = moved(eventOffsets, shift - earliest);
    if (shift !== 0) shiftNs[position] = shift;
    if (parents.isParentMissing[index] === 1) missingParent[position] = columns.parentId[index] ?? '';
  }
  return {
    traceId: columns.traceId,
    startNs: columns.startNs + BigInt(earliest),
    count,
    texts: columns.texts,
    spanId: listed(columns.spanId, order),
    parent,
    name: integers(columns.name, order),
    service: integers(columns.service, order),
    peer: integers(columns.peer, order),
    kind: bytes(columns.kind, order),
    status: bytes(columns.status, order),
    offsetNs,
    durationNs,
    answer: listed(columns.answer, order),
    events,
    missingParent,
    shiftNs,
    ...shapeOf(parent, offsetNs, durationNs),
  };
}

/** Each type of array has a function with its own loop, because V8 makes much faster code of it than of one function for all types. */
function floats(from: Float64Array, order: Int32Array): Float64Array {
  const to = new Float64Array(order.length);
  for (let position = 0; position < to.length; position += 1) to[position] = from[order[position] ?? 0] ?? 0;
  return to;
}

function integers(from: Int32Array, order: Int32Array): Int32Array {
  const to = new Int32Array(order.length);
  for (let position = 0; position < to.length; position += 1) to[position] = from[order[position] ?? 0] ?? 0;
  return to;
}

function bytes(from: Uint8Array, order: Int32Array): Uint8Array {
  const to = new Uint8Array(order.length);
  for (let position = 0; position < to.length; position += 1) to[position] = from[order[position] ?? 0] ?? 0;
  return to;
}

function listed<T>(from: readonly T[], order: Int32Array): T[] {
  const to: T[] = [];
  for (const index of order) to.push(from[index] as T);
  return to;
}

/** Moves the offsets of events. Those of exceptions are negative, and stay so. */
function moved(events: readonly number[], byNs: number): readonly number[] {
  return byNs === 0 ? events : events.map(offset => (offset < 0 ? offset - byNs : offset + byNs));
}
