/** Draws one trace as lines of text: the tree on the left, durations and bars on the right. */
import { answer, target } from '../conventions/reading.js';
import { formatDuration } from './model/duration.js';
import type { StackFrame } from '../conventions/stack-frames.js';
import { type Failure, failureOf } from './model/failure.js';
import { foldSiblings } from './model/fold-siblings.js';
import type { TraceSpan } from './model/trace-span.js';
import { similarityKeyOf, type TraceNode, type TraceTree } from './model/trace-tree.js';
import type { Glyphs, Paint } from './terminal-style.js';
import { cellsOf, cut, cutStart, padEnd, printable } from './terminal-text.js';

/** How a waterfall looks. @internal */
export interface WaterfallLayout {
  /** Cells in a line, at least 40. */
  readonly columns: number;
  readonly glyphs: Glyphs;
  readonly paint: Paint;
  /** The most rows of the tree. A last line says how many more there are. */
  readonly maxRows: number;
  /** Paths of files in this folder are shown relative to it. */
  readonly workingDirectory: string;
}

/**
 * Returns the lines of `trace`, each with a line break. The heading describes the first root and contains `remark`. The last line is
 * `link`.
 * @internal
 */
export function drawWaterfall(trace: TraceTree, layout: WaterfallLayout, remark = '', link?: string): string {
  const [root] = trace.roots;
  if (!root) return '';
  const { glyphs, paint, maxRows } = layout;
  const atLeast40 = { ...layout, columns: Math.max(40, layout.columns) };
  const lines = heading(trace, root, atLeast40, remark);
  // For a single span, the heading says everything but the failure.
  if (trace.spanCount === 1) lines.push(...failureLines(root, '', atLeast40));
  else {
    const rows = rowsOf(trace.roots, root.span.service, glyphs);
    lines.push(...table(rows.slice(0, maxRows), trace, atLeast40));
    if (rows.length > maxRows) lines.push(paint.dim(`  ${glyphs.ellipsis} ${rows.length - maxRows} more rows`));
  }
  // A link that is cut would not work.
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
  /** The spans that were folded into this row; only `node` if none were. */
  readonly members: readonly TraceNode[];
  /** The tree lines in front of the label. */
  readonly prefix: string;
  /** The tree lines in front of the failure and the children of this row. */
  readonly childPrefix: string;
  readonly label: string;
}

/** Returns the rows depth first. It does not recurse, because a trace may be deeper than the call stack. */
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
  const folded = foldSiblings(nodes, similarityKeyOf, node => node.durationNs);
  return folded.map(({ slowest: node, members }, index) => {
    const isLast = index === folded.length - 1;
    return {
      node,
      members,
      prefix: parent ? parent.childPrefix + (isLast ? glyphs.lastBranch : glyphs.branch) : '',
      childPrefix: parent ? parent.childPrefix + (isLast ? '  ' : glyphs.trunk) : '',
      label: labelOf(node, members.length, service, glyphs),
    };
  });
}

function labelOf({ span }: TraceNode, count: number, parentService: string, glyphs: Glyphs): string {
  const words = [span.status === 'error' ? glyphs.failed : '', span.service === parentService ? '' : `[${span.service}]`, nameOf(span)];
  words.push(answer(span.attributes) ?? '', count > 1 ? `${glyphs.times}${count}` : '');
  return printable(words.filter(word => word !== '').join(' '));
}

/** The name of the span and its target, which the low cardinality of the name leaves out. */
function nameOf({ name, attributes }: TraceSpan): string {
  const targetName = target(attributes);
  return targetName === undefined ? name : `${name} ${targetName}`;
}

function table(rows: readonly Row[], trace: TraceTree, layout: WaterfallLayout): string[] {
  const { columns, glyphs, paint } = layout;
  const durations = rows.map(durationOf);
  const durationCells = Math.max(...durations.map(text => text.length));
  const widest = Math.max(...rows.map(row => cellsOf(row.prefix) + cellsOf(row.label)));
  // There are two spaces before each of the three columns.
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
      ...failureLines(row.node, row.childPrefix, layout),
    ];
  });
}

/** The duration of a folded row is marked as a sum: spans that run at the same time take less time than their sum. */
function durationOf({ members }: Row): string {
  const sum = formatDuration(members.reduce((total, node) => total + node.durationNs, 0));
  return members.length > 1 ? `sum ${sum}` : sum;
}

/** Returns the bar: full where the spans of the row are on the critical path, light elsewhere. */
function barOf(members: readonly TraceNode[], trace: TraceTree, cells: number, glyphs: Glyphs): [before: string, bar: string] {
  const scale = cells / Math.max(1, trace.durationNs);
  const busy = new Float64Array(cells);
  const critical = new Float64Array(cells);
  for (const { offsetNs, durationNs, critical: segments } of members) {
    // The minimum makes the shortest span visible.
    cover(busy, offsetNs * scale, (offsetNs + durationNs) * scale, 1e-6);
    for (const { fromNs, toNs } of segments) cover(critical, fromNs * scale, toNs * scale, 0);
  }
  const first = busy.findIndex(covered => covered > 0);
  const last = busy.findLastIndex(covered => covered > 0);
  const bar = Array.from(busy.slice(first, last + 1), (covered, place) => {
    if (covered === 0) return ' ';
    return (critical[first + place] ?? 0) * 2 >= covered ? glyphs.bar : glyphs.waiting;
  });
  return [' '.repeat(first), bar.join('')];
}

/** Adds to each cell the part of it that is between `from` and `to`: at least `minimum` for a cell that is touched. */
function cover(cells: Float64Array, from: number, to: number, minimum: number): void {
  const start = Math.min(Math.floor(from), cells.length - 1);
  for (let cell = start; cell < cells.length && (cell < to || cell === start); cell += 1) {
    const part = Math.min(cell + 1, to) - Math.max(cell, from);
    cells[cell] = (cells[cell] ?? 0) + Math.max(part, minimum);
  }
}

function failureLines(node: TraceNode, indent: string, { columns, glyphs, paint, workingDirectory }: WaterfallLayout): string[] {
  const failure = failureOf(node.span, workingDirectory);
  if (!failure || isShownBelow(node, failure)) return [];
  const reason = printable([failure.type, failure.message].filter(Boolean).join(': '));
  // The row itself shows the status.
  if (reason === '' || reason === answer(node.span.attributes)) return [];
  const start = `  ${indent}${node.children.length > 0 ? glyphs.trunk : '  '}`;
  const room = Math.max(20, columns - cellsOf(start));
  // A long message is cut to half of the line if the stack frame needs the other half.
  const frame = failure.frame ? fitFrame(failure.frame, Math.max(room - cellsOf(reason), Math.ceil(room / 2)), glyphs) : '';
  return [start + paint.failed(cut(reason, room - cellsOf(frame), glyphs.ellipsis)) + paint.dim(frame)];
}

/** Returns the function and the location if they fit, otherwise the location, otherwise the end of its path. */
function fitFrame({ functionName, location }: StackFrame, cells: number, { ellipsis }: Glyphs): string {
  const full = functionName === '' ? location : `${functionName} (${location})`;
  const at = '  at ';
  const fitting = [full, location].map(printable).find(text => cellsOf(at + text) <= cells);
  return at + (fitting ?? cutStart(printable(location), cells - at.length, ellipsis));
}

/** An error that went up through several spans is shown once, at the lowest of them. */
function isShownBelow(node: TraceNode, { type, message, hasException }: Failure): boolean {
  return node.children.some(child => {
    const below = failureOf(child.span);
    if (below === undefined || below.message !== message) return false;
    return below.type === type || (!hasException && message !== undefined);
  });
}
