/** What of a trace is shown: the address's words for zoom, collapsed and unfolded spans, made into rows, and changed by hand. */
import { useMemo } from 'preact/hooks';
import { type Fold, visibleRows, type WaterfallRow } from '../model/visible-rows.js';
import type { SpanForest } from '../model/span-forest.js';
import type { TimeWindow } from './bar-drawing.js';
import { amend, type Place } from './place.js';
import type { LoadedTrace } from './trace-source.js';

export interface TraceViewState {
  readonly rows: readonly WaterfallRow[];
  readonly shown: TimeWindow;
  readonly collapsed: ReadonlySet<number>;
  /** By id. */
  readonly indexOf: (id: string) => number | undefined;
  /** Collapses, or expands. */
  readonly toggle: (span: number) => void;
  /** Folds the siblings that are alike, or unfolds them; without any, all of the trace. */
  readonly toggleFold: (span: number) => void;
  /** Shows one level of the tree less, or one more. */
  readonly changeLevel: (by: 1 | -1) => void;
  /** Makes a row for `span`, whatever hid it. */
  readonly reveal: (span: number) => void;
}

const NO_FOLDS: ReadonlyMap<number, Fold> = new Map<number, Fold>();
/** More ids than that make an address that nobody can pass on. */
const MAX_IDS = 60;

export function useTraceViewState({ forest, folds }: LoadedTrace, query: Place['query'], matches: Uint8Array | undefined): TraceViewState {
  const { shut = '', open = '', fold, zoom } = query;
  // Ids of the address are few: to look for them takes less than to remember all.
  const indexOf = (id: string) => {
    const index = id === '' ? -1 : forest.spanId.indexOf(id);
    return index < 0 ? undefined : index;
  };
  const level = Number(/^\*(\d+)/.exec(shut)?.[1] ?? 0);
  const collapsed = useMemo(() => readCollapsed(forest, shut, level, indexOf), [forest, shut]);
  const openFolds = useMemo(() => (fold === '0' ? NO_FOLDS : withoutOpen(folds, idsIn(open, indexOf))), [folds, open, fold]);
  const rows = useMemo(() => visibleRows(forest, { folds: openFolds, collapsed, matches }), [forest, openFolds, collapsed, matches]);
  const change = (key: 'shut' | 'open', text: string, id: string) => amend({ [key]: toggled(text, id) });
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
    amend(query);
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
      if (first === undefined || fold === '0') amend({ fold: fold === '0' ? '' : '0' });
      else change('open', open, forest.spanId[first] ?? '');
    },
    changeLevel: by => {
      const levels = [...forest.depth].reduce((most, depth) => Math.max(most, depth), 0) + 1;
      const next = (level || levels + 1) + by;
      amend({ shut: next > levels ? '' : `*${Math.max(1, next)}` });
    },
  };
}

/** `window` for the address; empty for all of the trace. */
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

/** An id makes the contrary of what the depth says. */
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
  const ids = text.split('.').filter(one => one !== '');
  return (ids.includes(id) ? ids.filter(one => one !== id) : [...ids, id].slice(-MAX_IDS)).join('.');
}
