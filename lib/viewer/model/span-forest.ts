/** Puts the spans of a trace in the order of their tree, whatever order they came in and whatever is missing, doubled or in a circle. */
import { clockShift } from './clock-skew.js';
import type { SpanColumns } from './span-columns.js';
import { type Column, shapeOf, type TreeShape } from './tree-shape.js';

/**
 * Spans in the order of the tree: each is followed by its descendants, so a subtree is the range from `i` to `end[i]`. Siblings are in order
 * of start. Offsets are corrected for clocks that differ, and relative to the first start. Column `x` of span `i` is `x[i]`.
 * @internal
 */
export interface SpanForest extends TreeShape {
  readonly traceId: string;
  /** Moment to which offsets are relative. */
  readonly startNs: bigint;
  readonly count: number;
  /** Names, services and peers, each text once. */
  readonly texts: readonly string[];
  readonly spanId: readonly string[];
  /** Always smaller than the child's index; -1 for a root. */
  readonly parent: Column;
  /** Indexes in `texts`. */
  readonly name: Column;
  readonly service: Column;
  /** Index in `texts`, -1 without. */
  readonly peer: Column;
  /** As in OpenTelemetry's `SpanKind`. */
  readonly kind: Column;
  /** As in OpenTelemetry's `SpanStatusCode`: 2 is an error. */
  readonly status: Column;
  readonly offsetNs: Column;
  readonly durationNs: Column;
  /** HTTP or RPC status, `''` without. */
  readonly answer: readonly string[];
  /** Only of spans that have some: offsets of events; those of exceptions as negative numbers minus one. */
  readonly events: Readonly<Record<number, readonly number[]>>;
  /** Only of roots whose parent is not there, not received yet, lost, or in a circle: its id. */
  readonly missingParent: Readonly<Record<number, string>>;
  /** Only of spans whose clock was wrong: what was added to what it said. */
  readonly shiftNs: Readonly<Record<number, number>>;
}

/** Of spans with one id the first counts. A circle of parents is cut above its earliest span. Siblings that start at once keep their order. @internal */
export function growForest(columns: SpanColumns): SpanForest {
  const wood = findParents(columns);
  const order = byStart(wood.kept, columns.offsetNs);
  let children = listChildren(order, wood);
  if (openCircles(order, wood, children)) children = listChildren(order, wood);
  const startNs = shiftClocks(columns, wood, children);
  if (wood.isShifted) children = listChildren(byStart(order, startNs), wood);
  return inTreeOrder(columns, wood, children, startNs);
}

/** The indexes of `forest`'s roots, or of the children of `parent`. @internal */
export function childrenOf({ end, count }: SpanForest, parent = -1): number[] {
  const last = parent < 0 ? count : (end[parent] ?? 0);
  const children: number[] = [];
  for (let child = parent + 1; child < last; child = end[child] ?? last) children.push(child);
  return children;
}

interface Wood {
  /** Indexes of spans, without doubles. */
  readonly kept: Int32Array;
  /** -1 for roots. */
  readonly parent: Int32Array;
  readonly isParentMissing: Uint8Array;
  readonly shiftNs: Float64Array;
  isShifted: boolean;
}

function findParents({ count, spanId, parentId }: SpanColumns): Wood {
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
  // Stable: where the clock cannot tell, the order of arrival stands.
  const isSorted = indexes.every((index, place) => place === 0 || at(indexes[place - 1] ?? 0) <= at(index));
  return isSorted ? indexes : indexes.slice().sort((a, b) => at(a) - at(b));
}

/** All children of all spans one after the other; those of `i` from `first[i]` to `first[i + 1]`, roots as those of span `count`. */
interface Children {
  readonly first: Int32Array;
  readonly list: Int32Array;
}

function listChildren(order: Int32Array, { parent }: Wood): Children {
  const roots = parent.length;
  const first = new Int32Array(roots + 2);
  const placeOf = (index: number) => (parent[index] === -1 ? roots : (parent[index] ?? 0));
  for (const index of order) add(first, placeOf(index) + 1, 1);
  for (let index = 1; index < first.length; index += 1) add(first, index, first[index - 1] ?? 0);
  const next = first.slice();
  const list = new Int32Array(order.length);
  for (const index of order) {
    const place = placeOf(index);
    list[next[place] ?? 0] = index;
    add(next, place, 1);
  }
  return { first, list };
}

function add(numbers: Int32Array, index: number, amount: number): void {
  numbers[index] = (numbers[index] ?? 0) + amount;
}

/** Visits what is below the children of `start`, parents first, siblings in their order. */
function walk({ first, list }: Children, start: number, visit: (index: number) => void): void {
  const waiting: number[] = [];
  const push = (parent: number) => {
    for (let place = (first[parent + 1] ?? 0) - 1; place >= (first[parent] ?? 0); place -= 1) waiting.push(list[place] ?? 0);
  };
  push(start);
  for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) {
    visit(index);
    push(index);
  }
}

/** Makes roots of spans that no root leads to. */
function openCircles(order: Int32Array, { parent, isParentMissing }: Wood, children: Children): boolean {
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
      for (let place = children.first[index] ?? 0; place < (children.first[index + 1] ?? 0); place += 1)
        waiting.push(children.list[place] ?? 0);
    }
  }
  return true;
}

const PRODUCER = 3;
const CONSUMER = 4;

/** The starts of all spans by one clock. */
function shiftClocks({ service, kind, offsetNs, durationNs }: SpanColumns, wood: Wood, children: Children): Float64Array {
  const { parent, shiftNs } = wood;
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
    wood.isShifted = true;
  });
  return startNs;
}

function inTreeOrder(columns: SpanColumns, wood: Wood, children: Children, startNs: Float64Array): SpanForest {
  const { kept } = wood;
  const count = kept.length;
  const order = new Int32Array(count);
  const placeOf = new Int32Array(columns.count);
  const parent = new Int32Array(count);
  let filled = 0;
  walk(children, columns.count, index => {
    order[filled] = index;
    placeOf[index] = filled;
    const above = wood.parent[index] ?? -1;
    parent[filled] = above === -1 ? -1 : (placeOf[above] ?? 0);
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
  for (let place = 0; place < count; place += 1) {
    const index = order[place] ?? 0;
    const shift = wood.shiftNs[index] ?? 0;
    const happened = columns.events[index];
    offsetNs[place] = (offsetNs[place] ?? 0) - earliest;
    if (happened) events[place] = moved(happened, shift - earliest);
    if (shift !== 0) shiftNs[place] = shift;
    if (wood.isParentMissing[index] === 1) missingParent[place] = columns.parentId[index] ?? '';
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

/** One function for each kind of column, and loops: the compiler makes much faster code of it than of one for all. */
function floats(from: Float64Array, order: Int32Array): Float64Array {
  const to = new Float64Array(order.length);
  for (let place = 0; place < to.length; place += 1) to[place] = from[order[place] ?? 0] ?? 0;
  return to;
}

function integers(from: Int32Array, order: Int32Array): Int32Array {
  const to = new Int32Array(order.length);
  for (let place = 0; place < to.length; place += 1) to[place] = from[order[place] ?? 0] ?? 0;
  return to;
}

function bytes(from: Uint8Array, order: Int32Array): Uint8Array {
  const to = new Uint8Array(order.length);
  for (let place = 0; place < to.length; place += 1) to[place] = from[order[place] ?? 0] ?? 0;
  return to;
}

function listed<T>(from: readonly T[], order: Int32Array): T[] {
  const to: T[] = [];
  for (const index of order) to.push(from[index] as T);
  return to;
}

/** Exceptions keep their sign. */
function moved(events: readonly number[], byNs: number): readonly number[] {
  return byNs === 0 ? events : events.map(offset => (offset < 0 ? offset - byNs : offset + byNs));
}
