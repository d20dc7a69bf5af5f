/** Traces that nobody would think of, for properties that hold of all of them. */
import fc from 'fast-check';
import type { SpanColumns } from '../../../lib/viewer/model/span-columns.js';

interface Sketch {
  readonly id: number;
  readonly parent: number;
  readonly name: number;
  readonly service: number;
  readonly kind: number;
  readonly status: number;
  readonly from: number;
  readonly lasts: number;
}

const TEXTS = ['a', 'b', 'c', 'orders', 'users'];

export function columns(sketches: readonly Sketch[]): SpanColumns {
  return {
    traceId: 'a',
    startNs: 1000n,
    count: sketches.length,
    texts: TEXTS,
    spanId: sketches.map(({ id }) => `s${id}`),
    parentId: sketches.map(({ parent }) => (parent < 0 ? '' : `s${parent}`)),
    name: Int32Array.from(sketches, ({ name }) => name),
    service: Int32Array.from(sketches, ({ service }) => 3 + service),
    peer: Int32Array.from(sketches, () => -1),
    kind: Uint8Array.from(sketches, ({ kind }) => kind),
    status: Uint8Array.from(sketches, ({ status }) => status),
    offsetNs: Float64Array.from(sketches, ({ from }) => from),
    durationNs: Float64Array.from(sketches, ({ lasts }) => lasts),
    answer: sketches.map(() => ''),
    events: sketches.map(() => undefined),
  };
}

const shape = { name: fc.nat(2), service: fc.nat(1), kind: fc.nat(4), status: fc.nat(2), from: fc.nat(50), lasts: fc.nat(60) };

/** Parents that are missing, circles, spans twice, times that make no sense. */
export const anyTrace = fc
  .array(fc.record({ id: fc.nat(25), parent: fc.integer({ min: -1, max: 28 }), ...shape }), { maxLength: 40 })
  .map(columns);

/** One root; every child within its parent, siblings one after the other, one service. */
export const orderlyTrace = fc
  .array(fc.record({ parent: fc.nat(), lasts: fc.nat(30), wait: fc.nat(5), name: fc.nat(2) }), { maxLength: 30 })
  .map(drafts => {
    const parents = drafts.map(({ parent }, index) => parent % (index + 1));
    const length = (span: number): number =>
      (drafts[span - 1]?.lasts ?? 10) +
      parents.reduce((sum, parent, index) => (parent === span ? sum + length(index + 1) + (drafts[index]?.wait ?? 0) : sum), 0);
    const starts = [0];
    const filledTo = [0];
    parents.forEach((parent, index) => {
      starts[index + 1] = (filledTo[parent] ?? 0) + (drafts[index]?.wait ?? 0);
      filledTo[index + 1] = starts[index + 1] ?? 0;
      filledTo[parent] = (starts[index + 1] ?? 0) + length(index + 1);
    });
    return columns(
      starts.map((from, id) => ({
        id,
        parent: id === 0 ? -1 : (parents[id - 1] ?? 0),
        name: drafts[id - 1]?.name ?? 0,
        service: 0,
        kind: 0,
        status: 0,
        from,
        lasts: length(id),
      })),
    );
  });
