/** Draws one tree of spans as a block of lines: tree on the left, duration and bar on the right. */
import { answer, target } from '../conventions/reading.js';
import { formatDuration } from './model/duration.js';
import { type Failure, failureOf, type Place } from './model/failure.js';
import { foldSiblings } from './model/fold-siblings.js';
import type { TraceSpan } from './model/trace-span.js';
import { likenessOf, type TraceNode, type TraceTree } from './model/trace-tree.js';
import type { Glyphs, Paint } from './terminal-style.js';
import { cellsOf, cut, cutStart, padEnd, printable } from './terminal-text.js';

/** How a block looks. @internal */
export interface WaterfallLayout {
  /** Cells per line; fewer than 40 count as 40. */
  readonly columns: number;
  readonly glyphs: Glyphs;
  readonly paint: Paint;
  /** Rows of the tree; what is beyond is counted. */
  readonly maxRows: number;
  /** Stack frames below it are shown relative to it. */
  readonly workingDirectory: string;
}

/**
 * The lines of `trace`, each ended by a line break, headed by its first root. `remark` is a further word in the heading, `link` the
 * last line.
 * @internal
 */
export function drawWaterfall(trace: TraceTree, layout: WaterfallLayout, remark = '', link?: string): string {
  const [root] = trace.roots;
  if (!root) return '';
  const { glyphs, paint, maxRows } = layout;
  const wide = { ...layout, columns: Math.max(40, layout.columns) };
  const lines = heading(trace, root, wide, remark);
  // A span alone has said everything in the heading.
  if (trace.spanCount === 1) lines.push(...failureLines(root, '', wide));
  else {
    const rows = rowsOf(trace.roots, root.span.service, glyphs);
    lines.push(...table(rows.slice(0, maxRows), trace, wide));
    if (rows.length > maxRows) lines.push(paint.dim(`  ${glyphs.ellipsis} ${rows.length - maxRows} more rows`));
  }
  // Never cut: it would lead nowhere.
  if (link !== undefined) lines.push(paint.dim(`  ${printable(link)}`));
  return `${lines.join('\n')}\n`;
}

function heading(trace: TraceTree, { span, durationNs }: TraceNode, { columns, glyphs, paint }: WaterfallLayout, remark: string): string[] {
  const failed = span.status === 'error';
  const parts = [
    `${failed ? glyphs.failed : glyphs.succeeded} ${printable(nameOf(span))}`,
    answer(span.attributes) ?? (failed ? 'failed' : ''),
    formatDuration(durationNs),
    trace.spanCount === 1 ? '1 span' : `${trace.spanCount} spans`,
    printable(span.service),
    remark,
    `trace ${printable(trace.traceId)}`,
  ];
  const lines: string[] = [];
  for (const part of parts.filter(text => text !== '')) {
    const line = lines.at(-1);
    const longer = `${line}  ${part}`;
    if (line === undefined) lines.push(part);
    else if (cellsOf(longer) <= columns) lines.splice(-1, 1, longer);
    else lines.push(`  ${part}`);
  }
  return lines.map((line, index) => {
    const text = cut(line, columns, glyphs.ellipsis);
    return index > 0 ? paint.dim(text) : failed ? paint.failed(text) : paint.bold(text);
  });
}

interface Row {
  readonly node: TraceNode;
  /** The spans that were folded into this row; `node` alone where none were. */
  readonly members: readonly TraceNode[];
  /** Lines of the tree in front of the label. */
  readonly prefix: string;
  /** Lines of the tree in front of whatever stands below this row and belongs to it. */
  readonly below: string;
  readonly label: string;
}

/** Depth first, on a stack of our own: a trace may be deeper than the call stack. */
function rowsOf(roots: readonly TraceNode[], service: string, glyphs: Glyphs): Row[] {
  const rows: Row[] = [];
  const waiting = siblingRows(roots, undefined, service, glyphs).reverse();
  for (let row = waiting.pop(); row; row = waiting.pop()) {
    rows.push(row);
    waiting.push(...siblingRows(row.node.children, row, row.node.span.service, glyphs).reverse());
  }
  return rows;
}

function siblingRows(nodes: readonly TraceNode[], parent: Row | undefined, service: string, glyphs: Glyphs): Row[] {
  const folded = foldSiblings(nodes, likenessOf, node => node.durationNs);
  return folded.map(({ slowest: node, members }, index) => {
    const isLast = index === folded.length - 1;
    return {
      node,
      members,
      prefix: parent ? parent.below + (isLast ? glyphs.lastBranch : glyphs.branch) : '',
      below: parent ? parent.below + (isLast ? '  ' : glyphs.trunk) : '',
      label: labelOf(node, members.length, service, glyphs),
    };
  });
}

function labelOf({ span }: TraceNode, count: number, parentService: string, glyphs: Glyphs): string {
  const words = [span.status === 'error' ? glyphs.failed : '', span.service === parentService ? '' : `[${span.service}]`, nameOf(span)];
  words.push(answer(span.attributes) ?? '', count > 1 ? `${glyphs.times}${count}` : '');
  return printable(words.filter(word => word !== '').join(' '));
}

/** The name, with what it leaves open. */
function nameOf({ name, attributes }: TraceSpan): string {
  const place = target(attributes);
  return place === undefined ? name : `${name} ${place}`;
}

function table(rows: readonly Row[], trace: TraceTree, layout: WaterfallLayout): string[] {
  const { columns, glyphs, paint } = layout;
  const durations = rows.map(durationOf);
  const durationCells = Math.max(...durations.map(text => text.length));
  const widest = Math.max(...rows.map(row => cellsOf(row.prefix) + cellsOf(row.label)));
  // Two spaces before each of the three.
  const room = columns - durationCells - 6;
  const treeCells = Math.min(widest, room - Math.max(12, Math.floor(columns / 4)));
  const barCells = room - treeCells;
  return rows.flatMap((row, index) => {
    const failed = row.node.span.status === 'error';
    const tree = padEnd(cut(row.prefix + row.label, treeCells, glyphs.ellipsis), treeCells);
    const duration = (durations[index] ?? '').padStart(durationCells);
    const [before, bar] = barOf(row.members, trace, barCells, glyphs);
    return [
      `  ${failed ? paint.failed(tree) : tree}  ${paint.dim(duration)}  ${before}${failed ? paint.failed(bar) : paint.bar(bar)}`,
      ...failureLines(row.node, row.below, layout),
    ];
  });
}

/** A sum is marked as one: spans side by side take less time than their sum. */
function durationOf({ members }: Row): string {
  const sum = formatDuration(members.reduce((total, node) => total + node.durationNs, 0));
  return members.length > 1 ? `sum ${sum}` : sum;
}

/** Full where the end of the request waited for this row itself, light where it waited for something else. */
function barOf(members: readonly TraceNode[], trace: TraceTree, cells: number, glyphs: Glyphs): [before: string, bar: string] {
  const scale = cells / Math.max(1, trace.durationNs);
  const busy = new Float64Array(cells);
  const critical = new Float64Array(cells);
  for (const { offsetNs, durationNs, critical: stretches } of members) {
    // The shortest span can be seen.
    cover(busy, offsetNs * scale, (offsetNs + durationNs) * scale, 1e-6);
    for (const { fromNs, toNs } of stretches) cover(critical, fromNs * scale, toNs * scale, 0);
  }
  const first = busy.findIndex(covered => covered > 0);
  const last = busy.findLastIndex(covered => covered > 0);
  const bar = Array.from(busy.slice(first, last + 1), (covered, place) => {
    if (covered === 0) return ' ';
    return (critical[first + place] ?? 0) * 2 >= covered ? glyphs.bar : glyphs.waiting;
  });
  return [' '.repeat(first), bar.join('')];
}

/** Adds to each cell how much of it lies between `from` and `to`, at least `least` where they touch. */
function cover(cells: Float64Array, from: number, to: number, least: number): void {
  const start = Math.min(Math.floor(from), cells.length - 1);
  for (let cell = start; cell < cells.length && (cell < to || cell === start); cell += 1) {
    const part = Math.min(cell + 1, to) - Math.max(cell, from);
    cells[cell] = (cells[cell] ?? 0) + Math.max(part, least);
  }
}

function failureLines(node: TraceNode, indent: string, { columns, glyphs, paint, workingDirectory }: WaterfallLayout): string[] {
  const failure = failureOf(node.span, workingDirectory);
  if (!failure || isToldBelow(node, failure)) return [];
  const reason = printable([failure.type, failure.message].filter(Boolean).join(': '));
  // The row itself says what was answered.
  if (reason === '' || reason === answer(node.span.attributes)) return [];
  const start = `  ${indent}${node.children.length > 0 ? glyphs.trunk : '  '}`;
  const room = Math.max(20, columns - cellsOf(start));
  // The place is worth more than the end of a long message, as long as the message keeps half of the line.
  const place = failure.place ? placeWithin(failure.place, Math.max(room - cellsOf(reason), Math.ceil(room / 2)), glyphs) : '';
  return [start + paint.failed(cut(reason, room - cellsOf(place), glyphs.ellipsis)) + paint.dim(place)];
}

/** Function and line where there is room, else the line, else the end of its path: the file is what one looks for. */
function placeWithin({ functionName, location }: Place, cells: number, { ellipsis }: Glyphs): string {
  const full = functionName === '' ? location : `${functionName} (${location})`;
  const at = '  at ';
  const fitting = [full, location].map(printable).find(text => cellsOf(at + text) <= cells);
  return at + (fitting ?? cutStart(printable(location), cells - at.length, ellipsis));
}

/** An error on its way up is told once, where it came from. */
function isToldBelow(node: TraceNode, { type, message }: Failure): boolean {
  return node.children.some(child => {
    const below = failureOf(child.span);
    return below !== undefined && below.type === type && below.message === message;
  });
}
