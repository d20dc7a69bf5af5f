/** The live list of traces. */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { formatDuration } from '../model/duration.js';
import type { TraceSummary } from '../model/wire.js';
import { announce, Outcome, Service } from './badges.js';
import { EmptyList } from './empty-list.js';
import { opened } from './files.js';
import { FILTERS } from './help-overlay.js';
import { useKeys } from './keys.js';
import { clearTraces, live, pause } from './live.js';
import { address, hrefOf, navigate, replaceQuery } from './address.js';
import { displayName, formatAge, formatCount, oneLine, plural } from './plain-text.js';
import { QueryField } from './query-field.js';
import { useStore, useTitle } from './store.js';
import { rowAt, VirtualRows } from './virtual-rows.js';

const ROW_HEIGHT = 46;

export function TraceListPage(): JSX.Element {
  const { traces: received, stored, isPaused, missed, connection } = useStore(live);
  const files = useStore(opened);
  const { query } = useStore(address);
  const [activeId, setActive] = useState('');
  const [selected, setSelected] = useState<readonly string[]>([]);
  const field = useRef<HTMLInputElement>(null);
  const now = useNow();
  const traces = [...files.values(), ...received.filter(({ traceId }) => !files.has(traceId))];
  const active = traces.findIndex(trace => trace.traceId === activeId);
  useTitle('Traces · nestjs-tracing');
  const move = (to: number) => setActive(traces[Math.max(0, Math.min(to, traces.length - 1))]?.traceId ?? '');
  const toggleSelected = (traceId: string) => {
    if (traceId !== '') setSelected(selected.includes(traceId) ? selected.filter(id => id !== traceId) : [...selected.slice(-1), traceId]);
  };
  const compare = () => {
    const [a = '', b] = selected;
    if (b === undefined) announce('Select two traces to compare them');
    else navigate({ traceId: a, query: { with: b } });
  };
  const clear = () => {
    void clearTraces().then(() => announce('Cleared'));
  };
  const follow = () => {
    replaceQuery({ follow: '1' });
    announce('Following the latest trace');
  };
  useKeys({
    j: () => move(active + 1),
    ArrowDown: () => move(active + 1),
    k: () => move(active - 1),
    ArrowUp: () => move(active - 1),
    PageDown: () => move(active + 15),
    PageUp: () => move(active - 15),
    Home: () => move(0),
    End: () => move(traces.length - 1),
    Enter: activeId === '' ? undefined : () => navigate({ traceId: activeId, query: {} }),
    '/': () => field.current?.select(),
    p: () => pause(!isPaused),
    f: follow,
    s: () => toggleSelected(activeId),
    c: compare,
    X: clear,
    Escape: () => (selected.length > 0 ? setSelected([]) : replaceQuery({ q: '' })),
  });
  const longestNs = traces.reduce((longest, { durationNs }) => Math.max(longest, durationNs), 1);
  const isFiltered = (query.q ?? '') !== '';
  return (
    <main class="list">
      <h1 class="hidden">Traces</h1>
      <div class="bar">
        <QueryField
          field={field}
          part="q"
          value={query.q ?? ''}
          label="Filter traces"
          placeholder="Filter:  error  >50ms  status:500  service:users  key=value  text"
        >
          {(text, setText) => <Hints onChoose={term => setText(`${text} ${term}`.trim())} />}
        </QueryField>
        <button aria-pressed={isPaused} onClick={() => pause(!isPaused)} title="Pause (p)">
          {isPaused ? `Go on${missed > 0 ? ` (${missed})` : ''}` : 'Pause'}
        </button>
        <button onClick={follow} title="Always show the newest trace (f)">
          Follow latest
        </button>
        <button onClick={compare} title="Compare the two selected traces (c)" disabled={selected.length < 2}>
          Compare
        </button>
        <button onClick={clear} title="Clear all traces (X)">
          Clear
        </button>
        <span class="count">{isFiltered ? `${formatCount(received.length)} of ${plural(stored, 'trace')}` : plural(stored, 'trace')}</span>
      </div>
      {traces.length === 0 ? (
        <EmptyList isFiltered={isFiltered && stored > 0} connection={connection} />
      ) : (
        <VirtualRows
          count={traces.length}
          rowHeight={ROW_HEIGHT}
          role="grid"
          label="Traces"
          columnCount={7}
          active={active}
          header={<ListHead />}
          row={index => {
            const trace = traces[index];
            if (!trace) return null;
            const { traceId } = trace;
            const isFile = files.has(traceId);
            return (
              <TraceRow
                key={traceId}
                {...{ trace, index, now, isFile, longestNs }}
                isActive={index === active}
                isSelected={selected.includes(traceId)}
                onSelect={() => toggleSelected(traceId)}
              />
            );
          }}
        />
      )}
    </main>
  );
}

/** Example terms for the filter. A click adds one. */
function Hints({ onChoose }: { readonly onChoose: (term: string) => void }): JSX.Element {
  return (
    <div class="hints">
      {FILTERS.slice(0, 6).map(([term, meaning]) => (
        // mousedown comes before the field loses the focus, which hides the hints.
        <button
          key={term}
          tabIndex={-1}
          onMouseDown={event => {
            event.preventDefault();
            onChoose(term);
          }}
        >
          <code>{term}</code> {meaning}
        </button>
      ))}
    </div>
  );
}

function ListHead(): JSX.Element {
  return (
    <div class="trace-row titles" role="row" aria-rowindex={1}>
      <span role="columnheader" class="choice">
        <span class="hidden">Select</span>
      </span>
      <span role="columnheader">Trace</span>
      <span role="columnheader">Status</span>
      <span role="columnheader">Duration</span>
      <span role="columnheader">Services</span>
      <span role="columnheader" class="right">
        Spans
      </span>
      <span role="columnheader" class="right">
        Age
      </span>
    </div>
  );
}

interface TraceRowProps {
  readonly trace: TraceSummary;
  readonly index: number;
  readonly now: number;
  readonly longestNs: number;
  readonly isFile: boolean;
  readonly isActive: boolean;
  readonly isSelected: boolean;
  readonly onSelect: () => void;
}

function TraceRow({ trace, index, now, longestNs, isFile, isActive, isSelected, onSelect }: TraceRowProps): JSX.Element {
  const { traceId, name, service, isError, answer, durationNs, services, spanCount, errorCount, startNs, isRootMissing } = trace;
  const open = (event: MouseEvent) => {
    if (!(event.target as Element).closest('a, input')) navigate({ traceId, query: {} });
  };
  return (
    <div
      {...rowAt(index, ROW_HEIGHT)}
      class={`trace-row ${isActive ? 'active' : ''} ${isError ? 'failed' : ''}`}
      aria-selected={isActive}
      onClick={open}
    >
      <span role="gridcell" class="choice">
        <input
          type="checkbox"
          tabIndex={-1}
          checked={isSelected}
          onChange={onSelect}
          aria-label={`Select ${oneLine(name, 80)} for comparison`}
        />
      </span>
      <span role="gridcell" class="what">
        <a href={hrefOf({ traceId, query: {} })} tabIndex={-1} title={oneLine(name)}>
          {displayName(name)}
        </a>
        <small>
          <Service name={service} />
          {isFile && <i>file</i>}
          {isRootMissing && <i title="The root of this trace has not been received yet">root not received yet</i>}
        </small>
      </span>
      <span role="gridcell">
        <Outcome answer={answer} isError={isError} />
        {!isError && errorCount > 0 && <span class="bad soft">{plural(errorCount, 'error')}</span>}
      </span>
      <span role="gridcell" class="took">
        {formatDuration(durationNs)}
        <i style={{ width: `${Math.max(1.5, (durationNs / longestNs) * 100)}%` }} />
      </span>
      <span role="gridcell" class="services">
        {services.slice(0, 3).map(({ name: serviceName, spanCount: spans }) => (
          <Service key={serviceName} name={serviceName}>
            <b>{formatCount(spans)}</b>
          </Service>
        ))}
        {services.length > 3 && <small>+{services.length - 3}</small>}
      </span>
      <span role="gridcell" class="right">
        {formatCount(spanCount)}
      </span>
      <span role="gridcell" class="right age">
        {formatAge(startNs, now)}
      </span>
    </div>
  );
}

function useNow(): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  // A trace may have started after the last tick.
  return Math.max(now, Date.now());
}
