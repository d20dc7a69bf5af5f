/** Sums up the spans of a trace by service and by name. */
import { ERROR } from './span-columns.js';
import type { SpanForest } from './span-forest.js';
import type { Column } from './tree-shape.js';

/** The spans of one service in a trace. @internal */
export interface ServiceShare {
  readonly service: string;
  readonly spanCount: number;
  readonly errorCount: number;
  readonly selfNs: number;
}

/** All spans with the same name in one service. @internal */
export interface SpanGroup {
  readonly service: string;
  readonly name: string;
  readonly spanCount: number;
  readonly errorCount: number;
  readonly totalNs: number;
  readonly selfNs: number;
  readonly p50Ns: number;
  readonly p95Ns: number;
  /** Index of the slowest span. */
  readonly slowest: number;
}

/** Returns the services in the order in which they first appear. @internal */
export function summarizeServices(forest: SpanForest): ServiceShare[] {
  return [...group(forest, index => forest.service[index] ?? 0).values()].map(members => ({
    service: textAt(forest, forest.service, members),
    spanCount: members.length,
    errorCount: errorsAmong(forest, members),
    selfNs: sum(forest.selfNs, members),
  }));
}

/** Returns the groups; the one with the highest self time is first. @internal */
export function groupSpans(forest: SpanForest): SpanGroup[] {
  const { name, service, texts, durationNs, selfNs } = forest;
  const groups = group(forest, index => (name[index] ?? 0) * texts.length + (service[index] ?? 0));
  const rows = [...groups.values()].map(members => {
    const sorted = Float64Array.from(members, index => durationNs[index] ?? 0).sort();
    return {
      service: textAt(forest, service, members),
      name: textAt(forest, name, members),
      spanCount: members.length,
      errorCount: errorsAmong(forest, members),
      totalNs: sum(durationNs, members),
      selfNs: sum(selfNs, members),
      p50Ns: quantile(sorted, 0.5),
      p95Ns: quantile(sorted, 0.95),
      slowest: members.reduce((slowest, index) => ((durationNs[index] ?? 0) > (durationNs[slowest] ?? 0) ? index : slowest)),
    };
  });
  return rows.sort((a, b) => b.selfNs - a.selfNs);
}

/** The smallest of `sorted` that is at least as large as the part `q` (0 to 1) of them; 0 if there are none. */
function quantile(sorted: Float64Array, q: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)] ?? 0;
}

function group({ count }: SpanForest, keyOf: (index: number) => number): Map<number, number[]> {
  const groups = new Map<number, number[]>();
  for (let index = 0; index < count; index += 1) {
    const key = keyOf(index);
    const members = groups.get(key);
    if (members) members.push(index);
    else groups.set(key, [index]);
  }
  return groups;
}

function textAt({ texts }: SpanForest, column: Column, [first = 0]: readonly number[]): string {
  return texts[column[first] ?? 0] ?? '';
}

function errorsAmong({ status }: SpanForest, members: readonly number[]): number {
  return members.filter(index => status[index] === ERROR).length;
}

function sum(column: Column, members: readonly number[]): number {
  return members.reduce((total, index) => total + (column[index] ?? 0), 0);
}
