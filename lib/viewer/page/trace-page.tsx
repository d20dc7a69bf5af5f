/** The page of one trace: the heading, and below it the waterfall, the flame graph or the table. */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { announce } from './badges.js';
import { FlameGraph } from './flame-graph.js';
import { useKeys } from './keys.js';
import { Minimap } from './minimap.js';
import { address, goToList, pushQuery, replaceQuery } from './address.js';
import { oneLine, plural } from './plain-text.js';
import { QueryField } from './query-field.js';
import { type SearchResult, useSearch } from './search.js';
import { SpanPanel } from './span-panel.js';
import { SpanTable } from './span-table.js';
import { useStore, useTitle } from './store.js';
import { download, TraceHeading } from './trace-heading.js';
import { useTraceKeys } from './trace-keys.js';
import { type LoadedTrace, type TraceState, useTrace } from './trace-source.js';
import { useTraceViewState, writeZoom } from './trace-view-state.js';
import { Waterfall } from './waterfall.js';

export function TracePage({ traceId }: { readonly traceId: string }): JSX.Element {
  const state = useTrace(traceId);
  if (typeof state === 'string') return <NoTrace state={state} traceId={traceId} />;
  return <TraceView trace={state} />;
}

const REASONS = {
  loading: ['', ''],
  missing: [
    'This trace is not here',
    'It was evicted or cleared, or it has not been received yet. It appears here as soon as it is received.',
  ],
  failed: ['The viewer does not answer', 'The page tries again.'],
} as const;

export function NoTrace({ state, traceId }: { readonly state: Exclude<TraceState, LoadedTrace>; readonly traceId: string }): JSX.Element {
  const [title, text] = REASONS[state];
  useKeys({ u: goToList, Escape: goToList });
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
  const { query } = useStore(address);
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
  useTitle(`${oneLine(name, 100)} · trace`);
  // A link may name a span that is collapsed or folded, or not received yet.
  useEffect(() => {
    if (openSpan !== undefined && openId === activeId && active === -1) view.reveal(openSpan);
  }, [openSpan]);
  useEffect(() => {
    if (openId !== '') setActiveId(openId);
  }, [openId]);
  useEffect(() => {
    if (found && find !== '') announce(found.spans.length === 0 ? 'No span matches' : plural(found.spans.length, 'matching span'));
  }, [found]);
  const open = (span: number) => {
    const id = forest.spanId[span] ?? '';
    setActiveId(id);
    replaceQuery({ span: openId === id ? '' : id });
  };
  const moveTo = (span: number) => {
    const id = forest.spanId[span] ?? '';
    setActiveId(id);
    if (openId !== '') replaceQuery({ span: id });
  };
  const zoom = (window: { fromNs: number; toNs: number }) => pushQuery({ zoom: writeZoom(window, forest) });
  useTraceKeys({ trace, view, found, active, activeSpan, openId, field, open, moveTo, download: () => download(forest.traceId) });
  return (
    <main class={openSpan === undefined ? 'trace' : 'trace with-panel'}>
      <TraceHeading trace={trace} />
      <div class="bar">
        <div role="tablist" aria-label="Views" class="tabs">
          {TABS.map(([key, title]) => (
            <button key={key} role="tab" aria-selected={tab === key} onClick={() => pushQuery({ tab: key })}>
              {title}
            </button>
          ))}
        </div>
        <QueryField field={field} part="find" value={find} label="Search spans" placeholder="Search names, ids, attributes, events, errors">
          {() => find !== '' && <output>{found ? countOf(found, activeSpan) : '…'}</output>}
        </QueryField>
        {tab === '' && (
          <>
            <button
              aria-pressed={only === '1'}
              onClick={() => replaceQuery({ only: only === '1' ? '' : '1' })}
              title="Hide rows that do not match (o)"
            >
              Only matches
            </button>
            <button
              aria-pressed={query.fold !== '0'}
              onClick={() => replaceQuery({ fold: query.fold === '0' ? '' : '0' })}
              title="Show similar siblings in one row (f)"
            >
              Fold
            </button>
            <button onClick={() => view.changeLevel(-1)} title="One level less ([)" aria-label="One level less">
              −
            </button>
            <button onClick={() => view.changeLevel(1)} title="One level more (])" aria-label="One level more">
              +
            </button>
          </>
        )}
      </div>
      {tab === '' && <Minimap trace={trace} shown={shown} onZoom={zoom} />}
      {tab === '' && <Waterfall trace={trace} view={view} active={active} flags={found?.flags} onOpen={open} />}
      {tab === 'flame' && <FlameGraph trace={trace} onOpen={open} />}
      {tab === 'spans' && <SpanTable trace={trace} onOpen={open} />}
      {openSpan !== undefined && <SpanPanel trace={trace} span={openSpan} onClose={() => replaceQuery({ span: '' })} />}
    </main>
  );
}

function countOf({ spans }: SearchResult, active: number): string {
  const position = spans.indexOf(active) + 1;
  return `${position > 0 ? `${position} of ` : ''}${spans.length}`;
}
