/** The order of a trace's spans, their self times, clocks that differ, and the critical path, on generated traces. */
import fc from 'fast-check';
import { criticalPath } from '../../../lib/viewer/model/critical-path.js';
import { childrenOf, buildForest, type SpanForest } from '../../../lib/viewer/model/span-forest.js';
import { anyTrace, columns, orderlyTrace } from './generated-columns.js';

const at = (numbers: { readonly [index: number]: number | undefined }, index: number) => numbers[index] ?? NaN;
const endOf = ({ offsetNs, durationNs }: SpanForest, span: number) => at(offsetNs, span) + at(durationNs, span);

function stretches(forest: SpanForest) {
  const path = criticalPath(forest);
  const list: { span: number; from: number; to: number }[] = [];
  for (let span = 0; span < forest.count; span += 1) {
    for (const [from, to] of path[span] ?? []) list.push({ span, from, to });
  }
  return list;
}

function rootOf({ parent }: SpanForest, span: number): number {
  let root = span;
  while (at(parent, root) >= 0) root = at(parent, root);
  return root;
}

describe('The spans of a trace', () => {
  it('appear exactly once, each before its descendants, siblings in order of start', () => {
    fc.assert(
      fc.property(anyTrace, given => {
        const forest = buildForest(given);
        expect([...forest.spanId].sort()).toEqual([...new Set(given.spanId)].sort());
        for (let span = 0; span < forest.count; span += 1) {
          const parent = at(forest.parent, span);
          expect(parent).toBeLessThan(span);
          if (parent >= 0) {
            const id = forest.spanId[span] ?? '';
            expect(given.parentId[given.spanId.indexOf(id)]).toBe(forest.spanId[parent]);
            expect(at(forest.end, span)).toBeLessThanOrEqual(at(forest.end, parent));
            expect(at(forest.depth, span)).toBe(at(forest.depth, parent) + 1);
          }
          const starts = childrenOf(forest, span).map(child => at(forest.offsetNs, child));
          expect(starts).toEqual([...starts].sort((a, b) => a - b));
        }
        expect(Math.min(0, ...forest.offsetNs)).toBe(0);
      }),
    );
  });

  it('keep to themselves what no child took: as much as all lasts where children take turns', () => {
    fc.assert(
      fc.property(orderlyTrace, given => {
        const forest = buildForest(given);
        expect([...forest.selfNs].reduce((sum, self) => sum + self, 0)).toBe(forest.durationNs[0]);
      }),
    );
    fc.assert(
      fc.property(anyTrace, given => {
        const { selfNs, durationNs } = buildForest(given);
        [...selfNs].forEach((self, span) => {
          expect(self).toBeGreaterThanOrEqual(0);
          expect(self).toBeLessThanOrEqual(at(durationNs, span));
        });
      }),
    );
  });

  it('lead to the end on one path from start to end of each root, without gap and overlap', () => {
    fc.assert(
      fc.property(anyTrace, given => {
        const forest = buildForest(given);
        const all = stretches(forest);
        for (const root of childrenOf(forest)) {
          const path = all.filter(({ span }) => rootOf(forest, span) === root).sort((a, b) => a.from - b.from);
          let cursor = at(forest.offsetNs, root);
          for (const { span, from, to } of path) {
            expect(from).toBe(cursor);
            expect(to).toBeGreaterThan(from);
            expect(from).toBeGreaterThanOrEqual(at(forest.offsetNs, span));
            expect(to).toBeLessThanOrEqual(endOf(forest, span));
            cursor = to;
          }
          expect(cursor).toBe(endOf(forest, root));
        }
      }),
    );
  });

  const span = (id: number, parent: number, from: number, to: number, more = {}) => {
    return { id, parent, from, lasts: to - from, name: 0, service: 0, kind: 0, status: 0, ...more };
  };

  it('are on the path where they finished last, and not where they outlive who waits', () => {
    // 1 and 2 run side by side, 3 goes on after the end.
    const forest = buildForest(columns([span(0, -1, 0, 100), span(1, 0, 10, 40), span(2, 0, 10, 60), span(3, 0, 70, 200)]));
    expect(stretches(forest).map(({ span: one, from, to }) => [one, from, to])).toEqual([
      [0, 0, 10],
      [0, 60, 70],
      [2, 10, 60],
      [3, 70, 100],
    ]);
  });

  it('are moved into the call that made them where the other clock is wrong, with all below them', () => {
    const client = { kind: 2 };
    const server = { kind: 1, service: 1 };
    const forest = buildForest(
      columns([
        span(0, -1, 1000, 1100, client),
        span(1, 0, 400, 460, server),
        span(2, 1, 410, 420, { service: 1 }),
        span(3, 0, 1010, 1090, server),
      ]),
    );
    const byId = (id: string) => forest.spanId.indexOf(id);
    expect(Object.values(forest.shiftNs)).toEqual([620, 620]);
    expect(at(forest.offsetNs, byId('s1'))).toBe(20);
    expect(at(forest.offsetNs, byId('s2'))).toBe(30);
    expect(at(forest.offsetNs, byId('s3'))).toBe(10);
    expect(forest.startNs).toBe(2000n);
    expect(forest.totalNs).toBe(100);
  });

  it('stay where they are where a message is processed later than it was sent', () => {
    const forest = buildForest(columns([span(0, -1, 0, 10, { kind: 3 }), span(1, 0, 500, 504, { kind: 4, service: 1 })]));
    expect(forest.shiftNs).toEqual({});
  });

  it('has calls one after the other on its path, though clocks of milliseconds let them overlap a little', () => {
    const calls = [0, 15_000_000, 30_000_000].map((from, index) => ({ id: index + 1, parent: 0, from, lasts: 15_600_000 }));
    const aside = { id: 4, parent: 0, from: 1_000_000, lasts: 20_000_000 };
    const sketch = { name: 0, service: 0, kind: 0, status: 0 };
    const spans = [{ id: 0, parent: -1, from: 0, lasts: 46_000_000 }, ...calls, aside].map(span => ({ ...sketch, ...span }));
    const forest = buildForest(columns(spans));
    const onPath = stretches(forest).map(({ span }) => forest.spanId[span]);
    expect(onPath).toEqual(expect.arrayContaining(['s1', 's2', 's3']));
    expect(onPath).not.toContain('s4');
  });
});
