/** One trace: its heading, and waterfall, flame graph or table below it. */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { say } from './badges.js';
import { FlameGraph } from './flame-graph.js';
import { useKeys } from './keys.js';
import { Minimap } from './minimap.js';
import { amend, goToList, place, turn } from './place.js';
import { line, plural } from './plain-text.js';
import { QueryField } from './query-field.js';
import { type Found, useSearch } from './search.js';
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
  missing: ['This trace is not here', 'It may have been evicted or cleared, or not have arrived yet; it appears here when it does.'],
  failed: ['The viewer does not answer', 'The page goes on trying.'],
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
  useTitle(`${line(name, 100)} · trace`);
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
        <QueryField field={field} part="find" value={find} label="Search spans" placeholder="Search names, ids, attributes, events, errors">
          {() => find !== '' && <output>{found ? countOf(found, activeSpan) : '…'}</output>}
        </QueryField>
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
      {openSpan !== undefined && <SpanPanel trace={trace} span={openSpan} onClose={() => amend({ span: '' })} />}
    </main>
  );
}

function countOf({ spans }: Found, active: number): string {
  const place = spans.indexOf(active) + 1;
  return `${place > 0 ? `${place} of ` : ''}${spans.length}`;
}
