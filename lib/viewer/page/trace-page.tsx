/** One trace: its heading, and waterfall, flame graph or table below it. */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { MAX_FILTER_LENGTH } from '../model/filter.js';
import { say } from './badges.js';
import { FlameGraph } from './flame-graph.js';
import { useKeys } from './keys.js';
import { Minimap } from './minimap.js';
import { amend, go, place, turn } from './place.js';
import { line, plural } from './plain-text.js';
import { useSearch } from './search.js';
import { SpanPanel } from './span-panel.js';
import { SpanTable } from './span-table.js';
import { useStore } from './store.js';
import { download, TraceHeading } from './trace-heading.js';
import { useTraceKeys } from './trace-keys.js';
import { type LoadedTrace, type TraceState, useTrace } from './trace-source.js';
import { maxDepth, useTraceViewState, writeZoom } from './trace-view-state.js';
import { Waterfall } from './waterfall.js';

export function TracePage({ traceId }: { readonly traceId: string }): JSX.Element {
  const state = useTrace(traceId);
  if (typeof state === 'string') return <NoTrace state={state} traceId={traceId} />;
  return <TraceView trace={state} />;
}

const REASONS = {
  loading: ['', ''],
  missing: ['This trace is not here', 'It may have been evicted or cleared, or not have arrived yet; it appears here when it does.'],
  failed: ['The viewer does not answer', 'The page goes on trying.'],
} as const;

export function NoTrace({ state, traceId }: { readonly state: Exclude<TraceState, LoadedTrace>; readonly traceId: string }): JSX.Element {
  const [title, text] = REASONS[state];
  useKeys({ u: () => go({ traceId: '', query: {} }), Escape: () => go({ traceId: '', query: {} }) });
  return (
    <main class="empty" aria-busy={state === 'loading'}>
      <h1>{title}</h1>
      <p>{text}</p>
      {title !== '' && (
        <p>
          <code>{traceId}</code>
        </p>
      )}
    </main>
  );
}

const TABS = [
  ['', 'Waterfall'],
  ['flame', 'Flame graph'],
  ['spans', 'Spans'],
] as const;

function TraceView({ trace }: { readonly trace: LoadedTrace }): JSX.Element {
  const { forest } = trace;
  const { query } = useStore(place);
  const { tab = '', find = '', only = '', span: openId = '' } = query;
  const field = useRef<HTMLInputElement>(null);
  const [activeId, setActiveId] = useState(openId);
  const found = useSearch(trace, find);
  const view = useTraceViewState(trace, query, only === '1' ? found?.flags : undefined);
  const { rows, shown, indexOf } = view;
  const openSpan = indexOf(openId);
  const activeSpan = indexOf(activeId) ?? -1;
  const active = rows.findIndex(row => row.span === activeSpan && !row.isMissing);
  const name = forest.texts[forest.name[0] ?? 0] ?? '';
  useEffect(() => {
    document.title = `${line(name, 100)} · trace`;
  }, [name]);
  // A link to a span that is folded away, or comes later.
  useEffect(() => {
    if (openSpan !== undefined && openId === activeId && active === -1) view.reveal(openSpan);
  }, [openSpan]);
  useEffect(() => {
    if (openId !== '') setActiveId(openId);
  }, [openId]);
  useEffect(() => {
    if (found && find !== '') say(found.spans.length === 0 ? 'No span matches' : plural(found.spans.length, 'matching span'));
  }, [found]);
  const open = (span: number) => {
    const id = forest.spanId[span] ?? '';
    setActiveId(id);
    amend({ span: openId === id ? '' : id });
  };
  const moveTo = (span: number) => {
    const id = forest.spanId[span] ?? '';
    setActiveId(id);
    if (openId !== '') amend({ span: id });
  };
  const zoom = (window: { fromNs: number; toNs: number }) => turn({ zoom: writeZoom(window, forest) });
  useTraceKeys({ trace, view, found, active, activeSpan, openId, field, open, moveTo, download: () => download(forest.traceId) });
  return (
    <main class={openSpan === undefined ? 'trace' : 'trace with-panel'}>
      <TraceHeading trace={trace} />
      <div class="bar">
        <div role="tablist" aria-label="Views" class="tabs">
          {TABS.map(([key, title]) => (
            <button key={key} role="tab" aria-selected={tab === key} onClick={() => turn({ tab: key })}>
              {title}
            </button>
          ))}
        </div>
        <SearchField field={field} value={find} count={found?.spans.length} place={found ? found.spans.indexOf(activeSpan) + 1 : 0} />
        {tab === '' && (
          <>
            <button
              aria-pressed={only === '1'}
              onClick={() => amend({ only: only === '1' ? '' : '1' })}
              title="Hide rows that do not match (o)"
            >
              Only matches
            </button>
            <button
              aria-pressed={query.fold !== '0'}
              onClick={() => amend({ fold: query.fold === '0' ? '' : '0' })}
              title="Alike siblings in one row (f)"
            >
              Fold
            </button>
            <button
              onClick={() => view.collapseBelow(Math.max(1, (view.level || maxDepth(trace) + 1) - 1))}
              title="One level less ([)"
              aria-label="One level less"
            >
              −
            </button>
            <button
              onClick={() => view.collapseBelow(view.level === 0 || view.level > maxDepth(trace) ? 0 : view.level + 1)}
              title="One level more (])"
              aria-label="One level more"
            >
              +
            </button>
          </>
        )}
      </div>
      {tab === '' && <Minimap trace={trace} shown={shown} onZoom={zoom} />}
      {tab === '' && <Waterfall trace={trace} view={view} active={active} flags={found?.flags} onOpen={open} />}
      {tab === 'flame' && <FlameGraph trace={trace} onOpen={open} />}
      {tab === 'spans' && <SpanTable trace={trace} onOpen={open} />}
      {openSpan !== undefined && <SpanPanel trace={trace} span={openSpan} onClose={() => amend({ span: '' })} />}
    </main>
  );
}

interface SearchFieldProps {
  readonly field: { current: HTMLInputElement | null };
  readonly value: string;
  readonly count: number | undefined;
  /** From one; 0 where the active row is none of them. */
  readonly place: number;
}

function SearchField({ field, value, count, place: at }: SearchFieldProps): JSX.Element {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(() => amend({ find: text }), 150);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <div class="field">
      <input
        ref={field}
        type="search"
        aria-label="Search spans"
        placeholder="Search names, ids, attributes, events, errors"
        spellcheck={false}
        autocomplete="off"
        maxLength={MAX_FILTER_LENGTH}
        value={text}
        onInput={event => setText(event.currentTarget.value)}
        onKeyDown={event => {
          if (event.key !== 'Enter') return;
          amend({ find: text });
          event.currentTarget.blur();
        }}
      />
      {value !== '' && <output>{count === undefined ? '…' : `${at > 0 ? `${at} of ` : ''}${count}`}</output>}
    </div>
  );
}
