/** The empty list: explains how to send traces to the viewer. */
import type { JSX } from 'preact';
import { openFiles } from './files.js';
import { replaceQuery } from './address.js';

/** The bars of a decorative waterfall: left edge and width in percent, and hue. */
const EXAMPLE_BARS = [
  [0, 100, '264'],
  [12, 70, '175'],
  [20, 34, '70'],
  [56, 24, '320'],
] as const;

export function EmptyList({ isFiltered, connection }: { readonly isFiltered: boolean; readonly connection: string }): JSX.Element {
  if (connection === 'lost') {
    return (
      <div class="empty">
        <h2>The viewer does not answer</h2>
        <p>Traces appear here as soon as it answers.</p>
      </div>
    );
  }
  if (isFiltered) {
    return (
      <div class="empty">
        <h2>No trace matches</h2>
        <p>
          <button onClick={() => replaceQuery({ q: '' })}>Show all</button>
        </p>
      </div>
    );
  }
  if (connection === 'connecting') return <div class="empty" aria-busy="true" />;
  return (
    <div class="empty">
      <div class="waiting" aria-hidden="true">
        {EXAMPLE_BARS.map(([left, width, hue]) => (
          <i key={left} style={{ marginLeft: `${left}%`, width: `${width}%`, '--hue': hue }} />
        ))}
      </div>
      <h2>Waiting for the first trace</h2>
      <p>It appears here as soon as a span has ended. If no service sends spans yet, set one up:</p>
      <ol>
        <li>
          <b>A NestJS application</b>
          <pre>
            TracingModule.forRoot({'{ '}serviceName: 'orders', viewer: true {'}'})
          </pre>
        </li>
        <li>
          <b>Any service with OpenTelemetry</b>, in any language
          <pre>OTEL_EXPORTER_OTLP_ENDPOINT={location.origin}</pre>
        </li>
        <li>
          <b>A file</b>: drop OTLP JSON anywhere on this page, or{' '}
          <label class="button">
            choose one
            <input
              type="file"
              class="hidden"
              accept=".json,.jsonl"
              multiple
              onChange={event => void openFiles([...(event.currentTarget.files ?? [])])}
            />
          </label>
        </li>
      </ol>
    </div>
  );
}
