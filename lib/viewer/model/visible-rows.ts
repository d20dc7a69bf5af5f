/** Computes the rows of the waterfall: all spans that are not collapsed, folded into a similar span, or filtered out. */
import { foldSiblings } from './fold-siblings.js';
import { ERROR } from './span-columns.js';
import { childrenOf, type SpanForest } from './span-forest.js';

/** @internal */
export interface WaterfallRow {
  /** Index of the span. It is the slowest of folded siblings, and the first child for a row that stands for a missing parent. */
  readonly span: number;
  readonly depth: number;
  /** The siblings that were folded into this row. */
  readonly members?: readonly number[];
  /** Whether the row stands for the parent of `span`, which has not been received. */
  readonly isMissing?: boolean;
  /** Whether the span itself does not match the search and the row is shown only because a descendant matches. */
  readonly isDimmed?: boolean;
}

/** Siblings that can share a row. @internal */
export interface Fold {
  readonly slowest: number;
  readonly members: readonly number[];
}

/** @internal */
export interface RowChoice {
  /** The folds to apply, by each of their members. Unfolded ones are not in it. */
  readonly folds: ReadonlyMap<number, Fold>;
  readonly collapsed: ReadonlySet<number>;
  /** 1 for each span that matches. If it is set, only these spans and their ancestors have rows. */
  readonly matches: Uint8Array | undefined;
}

/** Returns all similar siblings that can be folded. @internal */
export function findFolds(forest: SpanForest): Fold[] {
  const { count, end, durationNs } = forest;
  const folds: Fold[] = [];
  for (let parent = -1; parent < count; parent += 1) {
    // A span with fewer than three descendants has nothing to fold.
    if ((parent === -1 ? count : (end[parent] ?? 0)) - parent < 4) continue;
    const rows = foldSiblings(
      childrenOf(forest, parent),
      span => similarityKeyOf(forest, span),
      span => durationNs[span] ?? 0,
    );
    for (const row of rows) if (row.members.length > 1) folds.push(row);
  }
  return folds;
}

/** Maps each member to its fold. @internal */
export function foldsByMember(folds: readonly Fold[]): Map<number, Fold> {
  const byMember = new Map<number, Fold>();
  for (const fold of folds) for (const member of fold.members) byMember.set(member, fold);
  return byMember;
}

/** Returns the rows from top to bottom. @internal */
export function visibleRows(forest: SpanForest, { folds, collapsed, matches }: RowChoice): WaterfallRow[] {
  const { end, depth, count } = forest;
  const kept = matches && withAncestors(forest, matches);
  const rows: WaterfallRow[] = [];
  const ranges: { readonly from: number; readonly to: number; readonly extraDepth: number }[] = [];
  const addRows = () => {
    for (let range = ranges.pop(); range; range = ranges.pop()) {
      const { from, to, extraDepth } = range;
      for (let span = from; span < to;) {
        const after = end[span] ?? count;
        const fold = kept ? undefined : folds.get(span);
        if ((kept && kept[span] === 0) || (fold && fold.members[0] !== span)) {
          span = after;
          continue;
        }
        const shown = fold?.slowest ?? span;
        const row = { span: shown, depth: (depth[shown] ?? 0) + extraDepth };
        rows.push(fold ? { ...row, members: fold.members } : kept && matches?.[span] === 0 ? { ...row, isDimmed: true } : row);
        const isOpen = kept !== undefined || !collapsed.has(shown);
        if (fold && isOpen) {
          // The children of the slowest span follow next, and then the spans after the first member of the fold.
          ranges.push({ from: after, to, extraDepth }, { from: shown + 1, to: end[shown] ?? 0, extraDepth });
          break;
        }
        span = isOpen && !fold ? span + 1 : after;
      }
    }
  };
  for (const { roots, isMissing } of rootGroups(forest)) {
    const [first] = roots;
    if (first === undefined || (kept && !roots.some(root => kept[root] !== 0))) continue;
    if (isMissing) rows.push({ span: first, depth: 0, isMissing });
    for (const root of roots) {
      ranges.push({ from: root, to: end[root] ?? 0, extraDepth: isMissing ? 1 : 0 });
      addRows();
    }
  }
  return rows;
}

/** Returns each root, and as one group all roots with the same missing parent. */
function rootGroups(forest: SpanForest): { readonly roots: number[]; readonly isMissing: boolean }[] {
  const groups: { readonly roots: number[]; readonly isMissing: boolean }[] = [];
  const orphans = new Map<string, number[]>();
  for (const root of childrenOf(forest)) {
    const parentId = forest.missingParent[root];
    const siblings = parentId === undefined ? undefined : orphans.get(parentId);
    if (siblings) siblings.push(root);
    else {
      const roots = [root];
      groups.push({ roots, isMissing: parentId !== undefined });
      if (parentId !== undefined) orphans.set(parentId, roots);
    }
  }
  return groups;
}

/** Returns 1 for each match and each ancestor of a match. */
function withAncestors({ parent, count }: SpanForest, matches: Uint8Array): Uint8Array {
  const kept = matches.slice();
  for (let span = count - 1; span >= 0; span -= 1) {
    const above = parent[span] ?? -1;
    if (kept[span] !== 0 && above >= 0) kept[above] = 1;
  }
  return kept;
}

/** Returns the same number for spans with the same service, kind, outcome, name and peer. */
function similarityKeyOf({ texts, service, kind, status, name, peer }: SpanForest, span: number): number {
  const base = texts.length + 1;
  const outcome = (kind[span] ?? 0) * 2 + (status[span] === ERROR ? 1 : 0);
  return (((name[span] ?? 0) * base + (service[span] ?? 0)) * base + (peer[span] ?? 0) + 1) * 16 + outcome;
}
