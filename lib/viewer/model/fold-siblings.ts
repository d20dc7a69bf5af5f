/** Folds similar siblings (for example, a query in a loop) into one row, so that a trace stays readable. */

/** A single span, or several similar spans that are shown as the slowest of them. @internal */
export interface FoldedRow<T> {
  readonly slowest: T;
  /** All spans of the row in order of start; only `slowest` if nothing was folded. */
  readonly members: readonly T[];
}

/** Fewer similar siblings than this have a row each. */
const FOLD_FROM = 3;

/** Returns the rows for `siblings`. Three or more siblings with the same key become one row, at the position of the first. @internal */
export function foldSiblings<T>(
  siblings: readonly T[],
  keyOf: (sibling: T) => string | number,
  durationOf: (sibling: T) => number,
): FoldedRow<T>[] {
  if (siblings.length < FOLD_FROM) return siblings.map(unfolded);
  const groups = new Map<string | number, T[]>();
  const keys = siblings.map(keyOf);
  siblings.forEach((sibling, index) => {
    const key = keys[index] ?? '';
    const group = groups.get(key);
    if (group) group.push(sibling);
    else groups.set(key, [sibling]);
  });
  const rows: FoldedRow<T>[] = [];
  siblings.forEach((sibling, index) => {
    const members = groups.get(keys[index] ?? '') ?? [];
    if (members.length < FOLD_FROM) rows.push(unfolded(sibling));
    else if (members[0] === sibling) rows.push({ slowest: slowestOf(members, durationOf), members });
  });
  return rows;
}

function unfolded<T>(sibling: T): FoldedRow<T> {
  return { slowest: sibling, members: [sibling] };
}

function slowestOf<T>(members: readonly T[], durationOf: (sibling: T) => number): T {
  return members.reduce((slowest, member) => (durationOf(member) > durationOf(slowest) ? member : slowest));
}
