/** Folds siblings that are alike (a query in a loop) into one row, so that a trace stays readable. */

/** One row of a view: a span alone, or several alike of which `slowest` stands for all. @internal */
export interface FoldedRow<T> {
  readonly slowest: T;
  /** All spans of the row in order of start; just `slowest` where nothing was folded. */
  readonly members: readonly T[];
}

/** Fewer than this are shown one by one. */
const FOLD_FROM = 3;

/** The rows for `siblings`: of three or more with one likeness one remains, where the first one was. @internal */
export function foldSiblings<T>(
  siblings: readonly T[],
  likenessOf: (sibling: T) => string | number,
  durationOf: (sibling: T) => number,
): FoldedRow<T>[] {
  if (siblings.length < FOLD_FROM) return siblings.map(alone);
  const groups = new Map<string | number, T[]>();
  const likenesses = siblings.map(likenessOf);
  siblings.forEach((sibling, index) => {
    const likeness = likenesses[index] ?? '';
    const group = groups.get(likeness);
    if (group) group.push(sibling);
    else groups.set(likeness, [sibling]);
  });
  const rows: FoldedRow<T>[] = [];
  siblings.forEach((sibling, index) => {
    const members = groups.get(likenesses[index] ?? '') ?? [];
    if (members.length < FOLD_FROM) rows.push(alone(sibling));
    else if (members[0] === sibling) rows.push({ slowest: slowestOf(members, durationOf), members });
  });
  return rows;
}

function alone<T>(sibling: T): FoldedRow<T> {
  return { slowest: sibling, members: [sibling] };
}

function slowestOf<T>(members: readonly T[], durationOf: (sibling: T) => number): T {
  return members.reduce((slowest, member) => (durationOf(member) > durationOf(slowest) ? member : slowest));
}
