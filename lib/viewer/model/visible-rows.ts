/** Which rows a waterfall has: the spans of a tree that are neither collapsed, folded into an alike one, nor filtered out. */
import { foldSiblings } from './fold-siblings.js';
import { ERROR } from './span-columns.js';
import { childrenOf, type SpanForest } from './span-forest.js';

/** @internal */
export interface WaterfallRow {
  /** The span; of several folded into one row the slowest, and that of a parent not received yet its first child. */
  readonly span: number;
  readonly depth: number;
  /** Siblings folded into this row. */
  readonly members?: readonly number[];
  /** Stands for the parent of `span`, which has not been received. */
  readonly isMissing?: boolean;
  /** Only here because of what is below it. */
  readonly isDimmed?: boolean;
}

/** Siblings that can share a row. @internal */
export interface Fold {
  readonly slowest: number;
  readonly members: readonly number[];
}

/** @internal */
export interface RowChoice {
  /** Folds that are open are not in it. By member. */
  readonly folds: ReadonlyMap<number, Fold>;
  readonly collapsed: ReadonlySet<number>;
  /** By span; where it is there, rows without it are only shown above rows with it. */
  readonly matches: Uint8Array | undefined;
}

/** The folds of a tree. @internal */
export function findFolds(forest: SpanForest): Fold[] {
  const { count, end, durationNs } = forest;
  const folds: Fold[] = [];
  for (let parent = -1; parent < count; parent += 1) {
    // Without two descendants more than a child there is nothing to fold.
    if ((parent === -1 ? count : (end[parent] ?? 0)) - parent < 4) continue;
    const rows = foldSiblings(
      childrenOf(forest, parent),
      span => likenessOf(forest, span),
      span => durationNs[span] ?? 0,
    );
    for (const row of rows) if (row.members.length > 1) folds.push(row);
  }
  return folds;
}

/** Folds by each of their members. @internal */
export function byMember(folds: readonly Fold[]): Map<number, Fold> {
  const members = new Map<number, Fold>();
  for (const fold of folds) for (const member of fold.members) members.set(member, fold);
  return members;
}

/** From top to bottom. @internal */
export function visibleRows(forest: SpanForest, { folds, collapsed, matches }: RowChoice): WaterfallRow[] {
  const { end, depth, count } = forest;
  const kept = matches && withAncestors(forest, matches);
  const rows: WaterfallRow[] = [];
  const ranges: { readonly from: number; readonly to: number; readonly deeper: number }[] = [];
  const run = () => {
    for (let range = ranges.pop(); range; range = ranges.pop()) {
      const { from, to, deeper } = range;
      for (let span = from; span < to;) {
        const after = end[span] ?? count;
        const fold = kept ? undefined : folds.get(span);
        if ((kept && kept[span] === 0) || (fold && fold.members[0] !== span)) {
          span = after;
          continue;
        }
        const shown = fold?.slowest ?? span;
        const row = { span: shown, depth: (depth[shown] ?? 0) + deeper };
        rows.push(fold ? { ...row, members: fold.members } : kept && matches?.[span] === 0 ? { ...row, isDimmed: true } : row);
        const isOpen = kept !== undefined || !collapsed.has(shown);
        if (fold && isOpen) {
          // The children of the slowest, which may come first only after others.
          ranges.push({ from: after, to, deeper }, { from: shown + 1, to: end[shown] ?? 0, deeper });
          break;
        }
        span = isOpen && !fold ? span + 1 : after;
      }
    }
  };
  for (const { roots, isMissing } of families(forest)) {
    const [first] = roots;
    if (first === undefined || (kept && !roots.some(root => kept[root] !== 0))) continue;
    if (isMissing) rows.push({ span: first, depth: 0, isMissing });
    for (const root of roots) {
      ranges.push({ from: root, to: end[root] ?? 0, deeper: isMissing ? 1 : 0 });
      run();
    }
  }
  return rows;
}

/** A root, or all that wait for one parent. */
function families(forest: SpanForest): { readonly roots: number[]; readonly isMissing: boolean }[] {
  const families: { readonly roots: number[]; readonly isMissing: boolean }[] = [];
  const orphans = new Map<string, number[]>();
  for (const root of childrenOf(forest)) {
    const parentId = forest.missingParent[root];
    const siblings = parentId === undefined ? undefined : orphans.get(parentId);
    if (siblings) siblings.push(root);
    else {
      const roots = [root];
      families.push({ roots, isMissing: parentId !== undefined });
      if (parentId !== undefined) orphans.set(parentId, roots);
    }
  }
  return families;
}

/** 1 for matches and what is above them. */
function withAncestors({ parent, count }: SpanForest, matches: Uint8Array): Uint8Array {
  const kept = matches.slice();
  for (let span = count - 1; span >= 0; span -= 1) {
    const above = parent[span] ?? -1;
    if (kept[span] !== 0 && above >= 0) kept[above] = 1;
  }
  return kept;
}

/** One number for service, kind, outcome, name and peer. */
function likenessOf({ texts, service, kind, status, name, peer }: SpanForest, span: number): number {
  const many = texts.length + 1;
  const outcome = (kind[span] ?? 0) * 2 + (status[span] === ERROR ? 1 : 0);
  return (((name[span] ?? 0) * many + (service[span] ?? 0)) * many + (peer[span] ?? 0) + 1) * 16 + outcome;
}
