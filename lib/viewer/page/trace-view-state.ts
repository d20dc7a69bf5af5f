/** Which part of a trace is shown: reads zoom, collapsed spans and folds from the address, and changes them there. */
import { useMemo } from 'preact/hooks';
import { type Fold, visibleRows, type WaterfallRow } from '../model/visible-rows.js';
import type { SpanForest } from '../model/span-forest.js';
import type { TimeWindow } from './bar-drawing.js';
import { type Address, replaceQuery } from './address.js';
import type { LoadedTrace } from './trace-source.js';

export interface TraceViewState {
  readonly rows: readonly WaterfallRow[];
  readonly shown: TimeWindow;
  readonly collapsed: ReadonlySet<number>;
  /** Returns the index of the span with an id. */
  readonly indexOf: (id: string) => number | undefined;
  /** Collapses or expands a span. */
  readonly toggle: (span: number) => void;
  /** Folds or unfolds a span and its similar siblings. If it has none, folds or unfolds the whole trace. */
  readonly toggleFold: (span: number) => void;
  /** Shows one level of the tree less, or one more. */
  readonly changeLevel: (by: 1 | -1) => void;
  /** Expands and unfolds whatever hides `span`. */
  readonly reveal: (span: number) => void;
}

const NO_FOLDS: ReadonlyMap<number, Fold> = new Map<number, Fold>();
/** The most ids in the address, which would be too long to share otherwise. */
const MAX_IDS = 60;

export function useTraceViewState(
  { forest, folds }: LoadedTrace,
  query: Address['query'],
  matches: Uint8Array | undefined,
): TraceViewState {
  const { shut = '', open = '', fold, zoom } = query;
  // The address has few ids, so searching them is cheaper than a map of all ids.
  const indexOf = (id: string) => {
    const index = id === '' ? -1 : forest.spanId.indexOf(id);
    return index < 0 ? undefined : index;
  };
  const level = Number(/^\*(\d+)/.exec(shut)?.[1] ?? 0);
  const collapsed = useMemo(() => readCollapsed(forest, shut, level, indexOf), [forest, shut]);
  const openFolds = useMemo(() => (fold === '0' ? NO_FOLDS : withoutOpen(folds, idsIn(open, indexOf))), [folds, open, fold]);
  const rows = useMemo(() => visibleRows(forest, { folds: openFolds, collapsed, matches }), [forest, openFolds, collapsed, matches]);
  const change = (key: 'shut' | 'open', text: string, id: string) => replaceQuery({ [key]: toggled(text, id) });
  const reveal = (span: number) => {
    const query: { shut?: string; open?: string } = {};
    let [nextShut, nextOpen] = [shut, open];
    for (let at = span; at >= 0; at = forest.parent[at] ?? -1) {
      const id = forest.spanId[at] ?? '';
      if (at !== span && collapsed.has(at)) query.shut = nextShut = toggled(nextShut, id);
      const folded = openFolds.get(at);
      const first = forest.spanId[folded?.members[0] ?? -1];
      if (folded && folded.slowest !== at && first !== undefined) query.open = nextOpen = toggled(nextOpen, first);
    }
    replaceQuery(query);
  };
  return {
    rows,
    shown: readZoom(zoom, forest),
    collapsed,
    indexOf,
    reveal,
    toggle: span => change('shut', shut, forest.spanId[span] ?? ''),
    toggleFold: span => {
      const first = folds.get(span)?.members[0];
      if (first === undefined || fold === '0') replaceQuery({ fold: fold === '0' ? '' : '0' });
      else change('open', open, forest.spanId[first] ?? '');
    },
    changeLevel: by => {
      const levels = [...forest.depth].reduce((most, depth) => Math.max(most, depth), 0) + 1;
      const next = (level || levels + 1) + by;
      replaceQuery({ shut: next > levels ? '' : `*${Math.max(1, next)}` });
    },
  };
}

/** Formats a time window for the address; `''` for the whole trace. */
export function writeZoom({ fromNs, toNs }: TimeWindow, { totalNs }: SpanForest): string {
  const from = Math.max(0, Math.round(fromNs));
  const to = Math.min(totalNs, Math.round(Math.max(toNs, fromNs + MIN_ZOOM_NS)));
  return from <= 0 && to >= totalNs ? '' : `${from}-${to}`;
}

const MIN_ZOOM_NS = 10;

function readZoom(zoom: string | undefined, { totalNs }: SpanForest): TimeWindow {
  const [, from = '0', to = ''] = /^(\d{1,18})-(\d{1,18})$/.exec(zoom ?? '') ?? [];
  const whole = { fromNs: 0, toNs: Math.max(1, totalNs) };
  return to === '' || Number(to) <= Number(from) ? whole : { fromNs: Number(from), toNs: Number(to) };
}

/** Collapses all spans from `level` on. A span whose id is in `shut` is toggled. */
function readCollapsed(forest: SpanForest, shut: string, level: number, indexOf: TraceViewState['indexOf']): Set<number> {
  const collapsed = new Set<number>();
  const { count, depth, end } = forest;
  if (level > 0)
    for (let span = 0; span < count; span += 1) if ((depth[span] ?? 0) >= level - 1 && (end[span] ?? 0) > span + 1) collapsed.add(span);
  for (const span of idsIn(shut, indexOf)) if (!collapsed.delete(span)) collapsed.add(span);
  return collapsed;
}

function withoutOpen(folds: ReadonlyMap<number, Fold>, open: readonly number[]): ReadonlyMap<number, Fold> {
  if (open.length === 0) return folds;
  const rest = new Map(folds);
  for (const span of open) for (const member of folds.get(span)?.members ?? []) rest.delete(member);
  return rest;
}

function idsIn(text: string, indexOf: TraceViewState['indexOf']): number[] {
  return text.split('.').flatMap(id => indexOf(id) ?? []);
}

function toggled(text: string, id: string): string {
  const ids = text.split('.').filter(other => other !== '');
  return (ids.includes(id) ? ids.filter(other => other !== id) : [...ids, id].slice(-MAX_IDS)).join('.');
}
