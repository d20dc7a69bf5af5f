/** What the views make of a trace: rows, call paths, sums; on generated traces. */
import fc from 'fast-check';
import { callPaths } from '../../../lib/viewer/model/call-paths.js';
import { buildForest } from '../../../lib/viewer/model/span-forest.js';
import { groupSpans, summarizeServices } from '../../../lib/viewer/model/span-statistics.js';
import { findFolds, foldsByMember, type RowChoice, visibleRows } from '../../../lib/viewer/model/visible-rows.js';
import { anyTrace, columns } from './generated-columns.js';

const everything: RowChoice = { folds: new Map(), collapsed: new Set(), matches: undefined };
const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

describe('The rows of a waterfall', () => {
  it('are all spans in the order of the tree where nothing is hidden', () => {
    fc.assert(
      fc.property(anyTrace, given => {
        const forest = buildForest(given);
        const rows = visibleRows(forest, everything).filter(row => !row.isMissing);
        expect(rows.map(({ span }) => span).sort((a, b) => a - b)).toEqual([...forest.spanId.keys()]);
      }),
    );
  });

  it('stand, folded, for each span once or are below one that does not stand for itself', () => {
    fc.assert(
      fc.property(anyTrace, given => {
        const forest = buildForest(given);
        const rows = visibleRows(forest, { ...everything, folds: foldsByMember(findFolds(forest)) }).filter(row => !row.isMissing);
        const shown = rows.flatMap(({ span, members }) => members ?? [span]);
        expect(new Set(shown).size).toBe(shown.length);
        for (const { span, members } of rows) expect(members === undefined || members.includes(span)).toBe(true);
        const hidden = new Set(rows.flatMap(({ span, members = [] }) => members.filter(member => member !== span)));
        for (const [span] of forest.spanId.entries()) {
          let above = span;
          let isBelowFold = false;
          while (above >= 0) {
            isBelowFold ||= above !== span && hidden.has(above);
            above = forest.parent[above] ?? -1;
          }
          expect(shown.includes(span)).toBe(!isBelowFold);
        }
      }),
    );
  });

  it('are, filtered, what matches and what is above it', () => {
    fc.assert(
      fc.property(anyTrace, fc.nat(2), (given, name) => {
        const forest = buildForest(given);
        const matches = Uint8Array.from(forest.name, index => (index === name ? 1 : 0));
        const rows = visibleRows(forest, { ...everything, matches }).filter(row => !row.isMissing);
        for (const { span, isDimmed = false } of rows) {
          expect(isDimmed).toBe(matches[span] === 0);
          if (isDimmed) expect(matches.subarray(span, forest.end[span]).includes(1)).toBe(true);
        }
        expect(rows.filter(row => row.isDimmed !== true).length).toBe(matches.filter(match => match === 1).length);
      }),
    );
  });

  it('say once for all its children that a parent has not been received', () => {
    const span = { name: 0, service: 0, kind: 0, status: 0, lasts: 5 };
    const forest = buildForest(columns([1, 2, 3].map(id => ({ ...span, id, parent: id === 3 ? 8 : 9, from: id }))));
    expect(visibleRows(forest, everything).map(({ depth, isMissing = false }) => [depth, isMissing])).toEqual([
      [0, true],
      [1, false],
      [1, false],
      [0, true],
      [1, false],
    ]);
  });
});

describe('The call paths of traces', () => {
  it('count every span, and are as wide as what they and those below them did themselves', () => {
    fc.assert(
      fc.property(anyTrace, anyTrace, (one, other) => {
        const forests = [buildForest(one), buildForest(other)];
        const paths = callPaths(forests);
        forests.forEach((forest, side) => {
          expect(sum(paths.map(({ sides }) => sides[side]?.count ?? 0))).toBe(forest.count);
          expect(sum(paths.map(({ sides }) => sides[side]?.totalNs ?? 0))).toBe(sum([...forest.durationNs]));
        });
        const top = paths.filter(({ parent }) => parent === -1);
        expect(sum(top.map(({ widthNs }) => widthNs))).toBe(sum(forests.flatMap(({ selfNs }) => [...selfNs])));
        paths.forEach(({ parent, fromNs, widthNs }) => {
          const above = paths[parent];
          if (above === undefined) return;
          expect(fromNs).toBeGreaterThanOrEqual(above.fromNs);
          expect(fromNs + widthNs).toBeLessThanOrEqual(above.fromNs + above.widthNs);
        });
      }),
    );
  });
});

describe('The sums of a trace', () => {
  it('account for every span and its time, by service and by name', () => {
    fc.assert(
      fc.property(anyTrace, given => {
        const forest = buildForest(given);
        const total = sum([...forest.selfNs]);
        for (const groups of [summarizeServices(forest), groupSpans(forest)]) {
          expect(sum(groups.map(({ spanCount }) => spanCount))).toBe(forest.count);
          expect(sum(groups.map(({ selfNs }) => selfNs))).toBe(total);
        }
      }),
    );
  });

  it('tell half of a name’s spans from the slowest', () => {
    const span = { parent: -1, name: 1, service: 0, kind: 0, status: 0, from: 0 };
    const [group] = groupSpans(buildForest(columns([1, 2, 3, 4, 100].map(lasts => ({ ...span, id: lasts, lasts })))));
    expect(group).toMatchObject({ service: 'orders', name: 'b', spanCount: 5, p50Ns: 3, p95Ns: 100, totalNs: 110 });
  });
});
