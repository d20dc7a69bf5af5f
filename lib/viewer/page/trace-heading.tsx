/** The heading of a trace: name, outcome, duration, start and services. */
import type { JSX } from 'preact';
import { formatDuration } from '../model/duration.js';
import { ERROR } from '../model/span-columns.js';
import { announce, copy, Outcome, Service } from './badges.js';
import { opened } from './files.js';
import { address, replaceQuery } from './address.js';
import { displayName, formatCount, plural } from './plain-text.js';
import { useStore } from './store.js';
import type { LoadedTrace } from './trace-source.js';

export function TraceHeading({ trace }: { readonly trace: LoadedTrace }): JSX.Element {
  const { forest, droppedSpans, services } = trace;
  const errors = services.reduce((sum, { errorCount }) => sum + errorCount, 0);
  const { follow } = useStore(address).query;
  const name = displayName(forest.texts[forest.name[0] ?? 0] ?? '');
  const { traceId } = forest;
  return (
    <div class="heading">
      <div class="title">
        <h1 title={name}>{name}</h1>
        <Outcome answer={forest.answer[0]} isError={forest.status[0] === ERROR} />
        <strong>{formatDuration(forest.totalNs)}</strong>
        <span class="dim">
          {plural(forest.count, 'span')}
          {errors > 0 && <span class="bad soft">{plural(errors, 'error')}</span>}
        </span>
        <time class="dim">{new Date(Number(forest.startNs / 1_000_000n)).toString().slice(4, 24)}</time>
        {useStore(opened).has(traceId) && <i class="tag">file</i>}
        {follow === '1' && (
          <button aria-pressed={true} onClick={() => replaceQuery({ follow: '' })} title="Stop following">
            Following latest
          </button>
        )}
        <span class="actions">
          <button class="id" onClick={() => void copy(traceId, 'the trace id')} title="Copy trace id">
            {traceId}
          </button>
          <button onClick={() => download(traceId)} title="Download OTLP JSON (d)">
            Download
          </button>
        </span>
      </div>
      <div class="legend">
        {services.slice(0, 12).map(({ service, spanCount, selfNs }) => (
          <button
            key={service}
            title="Show only this service"
            onClick={() => replaceQuery({ find: `service:"${service.replaceAll('"', '')}"`, only: '1' })}
          >
            <Service name={service} /> {formatCount(spanCount)} <small>{formatDuration(Math.round(selfNs))}</small>
          </button>
        ))}
        <small class="key">
          <i class="full" /> critical path <i /> other time
        </small>
        {services.length > 12 && <small>+{services.length - 12}</small>}
      </div>
      {droppedSpans > 0 && <p class="note">Dropped {plural(droppedSpans, 'span')}, because the trace has too many.</p>}
    </div>
  );
}

/** Downloads the trace. The server sets the name of the file. */
export function download(traceId: string): void {
  const anchor = document.createElement('a');
  anchor.href = `/api/traces/${traceId}/otlp`;
  anchor.download = '';
  anchor.click();
  announce('Downloading OTLP JSON');
}
