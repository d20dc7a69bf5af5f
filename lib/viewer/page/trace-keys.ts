/** The keyboard shortcuts of the page of a trace. */
import { ERROR } from '../model/span-columns.js';
import { useKeys } from './keys.js';
import { address, goToList, pushQuery, replaceQuery } from './address.js';
import { type SearchResult, nextOf } from './search.js';
import type { LoadedTrace } from './trace-source.js';
import { type TraceViewState, writeZoom } from './trace-view-state.js';

export interface TraceKeys {
  readonly trace: LoadedTrace;
  readonly view: TraceViewState;
  readonly found: SearchResult | undefined;
  /** Index of the active row; -1 if there is none. */
  readonly active: number;
  readonly activeSpan: number;
  /** The id of the span whose details are open; `''` if none are. */
  readonly openId: string;
  readonly field: { readonly current: HTMLInputElement | null };
  readonly open: (span: number) => void;
  readonly moveTo: (span: number) => void;
  readonly download: () => void;
}

export function useTraceKeys({ trace, view, found, active, activeSpan, openId, field, open, moveTo, download }: TraceKeys): void {
  const { forest } = trace;
  const { rows, shown } = view;
  const { query } = address.value;
  const move = (by: number) => {
    const step = by < 0 ? -1 : 1;
    let to = Math.max(0, Math.min(active + by, rows.length - 1));
    if (rows[to]?.isMissing) to += to + step < 0 || to + step >= rows.length ? -step : step;
    const row = rows[to];
    if (row) moveTo(row.span);
  };
  const jump = (spans: readonly number[], step: 1 | -1) => {
    const next = nextOf(spans, activeSpan, step);
    if (next === undefined) return;
    view.reveal(next);
    moveTo(next);
  };
  const errors = () => [...forest.spanId.keys()].filter(span => forest.status[span] === ERROR);
  const hasChildren = (forest.end[activeSpan] ?? 0) > activeSpan + 1;
  const isCollapsed = view.collapsed.has(activeSpan);
  const right = () => {
    if (hasChildren && isCollapsed) view.toggle(activeSpan);
    else move(1);
  };
  const left = () => {
    const parent = forest.parent[activeSpan] ?? -1;
    if (hasChildren && !isCollapsed) view.toggle(activeSpan);
    else if (parent >= 0) moveTo(parent);
  };
  const width = shown.toNs - shown.fromNs;
  const zoomTo = (fromNs: number, toNs: number) => pushQuery({ zoom: writeZoom({ fromNs, toNs }, forest) });
  const zoomOut = () => zoomTo(shown.fromNs - width / 2, shown.toNs + width / 2);
  const zoomIn = () => {
    const from = forest.offsetNs[activeSpan];
    const duration = forest.durationNs[activeSpan] ?? 0;
    if (from === undefined) zoomTo(shown.fromNs + width / 4, shown.toNs - width / 4);
    else zoomTo(from - duration / 20, from + Math.max(1, duration) * 1.05);
  };
  const pan = (part: number) => {
    const by = Math.max(-shown.fromNs, Math.min(width * part, forest.totalNs - shown.toNs));
    zoomTo(shown.fromNs + by, shown.toNs + by);
  };
  const goBack = () => {
    if (openId !== '') replaceQuery({ span: '' });
    else if (query.find) replaceQuery({ find: '', only: '' });
    else if (query.zoom) replaceQuery({ zoom: '' });
    else if (query.tab) pushQuery({ tab: '' });
    else goToList();
  };
  const isWaterfall = !query.tab;
  const inWaterfall = (action: () => void) => (isWaterfall ? action : undefined);
  useKeys({
    j: inWaterfall(() => move(1)),
    ArrowDown: inWaterfall(() => move(1)),
    k: inWaterfall(() => move(-1)),
    ArrowUp: inWaterfall(() => move(-1)),
    PageDown: inWaterfall(() => move(20)),
    PageUp: inWaterfall(() => move(-20)),
    Home: inWaterfall(() => move(-rows.length)),
    End: inWaterfall(() => move(rows.length)),
    ArrowRight: inWaterfall(right),
    l: inWaterfall(right),
    ArrowLeft: inWaterfall(left),
    h: inWaterfall(left),
    Enter: active >= 0 ? () => open(activeSpan) : undefined,
    '/': () => field.current?.select(),
    n: () => found && jump(found.spans, 1),
    N: () => found && jump(found.spans, -1),
    o: () => replaceQuery({ only: query.only === '1' ? '' : '1' }),
    e: () => jump(errors(), 1),
    E: () => jump(errors(), -1),
    f: inWaterfall(() => view.toggleFold(activeSpan)),
    '[': () => view.changeLevel(-1),
    ']': () => view.changeLevel(1),
    z: inWaterfall(zoomIn),
    x: inWaterfall(zoomOut),
    'Shift+ArrowLeft': inWaterfall(() => pan(-0.25)),
    'Shift+ArrowRight': inWaterfall(() => pan(0.25)),
    '1': () => pushQuery({ tab: '' }),
    '2': () => pushQuery({ tab: 'flame' }),
    '3': () => pushQuery({ tab: 'spans' }),
    d: download,
    u: goToList,
    Escape: goBack,
  });
}
