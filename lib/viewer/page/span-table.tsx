/** The table of a trace: spans by service and name, with count, errors, total time, self time and percentiles. */
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { formatDuration } from '../model/duration.js';
import { groupSpans, type SpanGroup } from '../model/span-statistics.js';
import { Service } from './badges.js';
import { percent } from './bar-drawing.js';
import { displayName, formatCount } from './plain-text.js';
import type { LoadedTrace } from './trace-source.js';

type Column = 'spanCount' | 'errorCount' | 'totalNs' | 'selfNs' | 'p50Ns' | 'p95Ns';

const COLUMNS: readonly (readonly [column: Column, title: string])[] = [
  ['spanCount', 'Count'],
  ['errorCount', 'Errors'],
  ['totalNs', 'Total'],
  ['selfNs', 'Self'],
  ['p50Ns', 'p50'],
  ['p95Ns', 'p95'],
];
const MAX_ROWS = 500;

export function SpanTable({ trace, onOpen }: { readonly trace: LoadedTrace; readonly onOpen: (span: number) => void }): JSX.Element {
  const groups = useMemo(() => groupSpans(trace.forest), [trace]);
  const [column, setColumn] = useState<Column>('selfNs');
  const rows = useMemo(() => groups.toSorted((a, b) => b[column] - a[column]).slice(0, MAX_ROWS), [groups, column]);
  const mostNs = rows.reduce((most, { selfNs }) => Math.max(most, selfNs), 1);
  return (
    <div class="table" tabIndex={0} role="region" aria-label="Spans by name">
      <table>
        <thead>
          <tr>
            <th scope="col">Span</th>
            <th scope="col">Service</th>
            {COLUMNS.map(([key, title]) => (
              <th key={key} scope="col" class="right" aria-sort={column === key ? 'descending' : undefined}>
                <button onClick={() => setColumn(key)}>
                  {title}
                  {column === key && ' ↓'}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(row => (
            <GroupRow key={`${row.service}\n${row.name}`} row={row} share={row.selfNs / mostNs} onOpen={onOpen} />
          ))}
        </tbody>
      </table>
      {groups.length > MAX_ROWS && <p class="note">{formatCount(groups.length - MAX_ROWS)} more names</p>}
    </div>
  );
}

function GroupRow({
  row,
  share,
  onOpen,
}: {
  readonly row: SpanGroup;
  readonly share: number;
  readonly onOpen: (span: number) => void;
}): JSX.Element {
  return (
    <tr>
      <th scope="row">
        <button onClick={() => onOpen(row.slowest)} title="Show the details of the slowest span">
          {displayName(row.name)}
        </button>
      </th>
      <td>
        <Service name={row.service} />
      </td>
      <td class="right">{formatCount(row.spanCount)}</td>
      <td class="right">{row.errorCount > 0 ? <span class="bad">{formatCount(row.errorCount)}</span> : '–'}</td>
      <td class="right">{formatDuration(row.totalNs)}</td>
      <td class="right took">
        {formatDuration(Math.round(row.selfNs))}
        <i style={{ width: percent(Math.max(0.01, share)) }} />
      </td>
      <td class="right">{formatDuration(row.p50Ns)}</td>
      <td class="right">{formatDuration(row.p95Ns)}</td>
    </tr>
  );
}
