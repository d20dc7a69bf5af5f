/** The panel with the details of a span: exceptions, attributes, events, links, resource and ids. */
import type { Attributes } from '@opentelemetry/api';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { formatDifference, formatDuration } from '../model/duration.js';
import { ERROR } from '../model/span-columns.js';
import { kindName } from '../model/trace-span.js';
import type { SpanDetails } from '../model/wire.js';
import { getJson } from './trace-source.js';
import { copy, Outcome, Service } from './badges.js';
import { Exceptions } from './exception-view.js';
import { hrefOf } from './address.js';
import { multiLine, oneLine } from './plain-text.js';
import type { LoadedTrace } from './trace-source.js';

export interface SpanPanelProps {
  readonly trace: LoadedTrace;
  readonly span: number;
  readonly onClose: () => void;
}

export function SpanPanel({ trace, span, onClose }: SpanPanelProps): JSX.Element {
  const { forest } = trace;
  const id = forest.spanId[span] ?? '';
  const details = useDetails(trace, id);
  const name = forest.texts[forest.name[span] ?? 0] ?? '';
  const isError = forest.status[span] === ERROR;
  const shiftNs = forest.shiftNs[span] ?? 0;
  return (
    <aside class="panel" aria-label="Span details">
      <header>
        <h2>{multiLine(name) || '(no name)'}</h2>
        <button class="icon" onClick={onClose} aria-label="Close details" title="Close (Esc)">
          ✕
        </button>
      </header>
      <p class="facts">
        <Service name={forest.texts[forest.service[span] ?? 0] ?? ''} />
        <span>{kindName(forest.kind[span] ?? 0)}</span>
        <Outcome answer={forest.answer[span]} isError={isError} />
      </p>
      <dl class="numbers">
        <Fact title="Duration">{formatDuration(forest.durationNs[span] ?? 0)}</Fact>
        <Fact title="Self">{formatDuration(forest.selfNs[span] ?? 0)}</Fact>
        <Fact title="Starts at">{formatDuration(forest.offsetNs[span] ?? 0)}</Fact>
        <Fact title="Critical">{formatDuration(criticalNs(trace, span))}</Fact>
      </dl>
      {shiftNs !== 0 && (
        <p class="note">
          The clock of this service differs. The span is shown {formatDuration(Math.abs(shiftNs))} {shiftNs > 0 ? 'later' : 'earlier'}, so
          that it is within the call that caused it.
        </p>
      )}
      {details ? (
        <Details {...{ trace, details, span }} />
      ) : (
        <p class="note">{details === null ? 'The details cannot be loaded.' : 'Loading…'}</p>
      )}
    </aside>
  );
}

function Details({
  trace,
  details,
  span,
}: {
  readonly trace: LoadedTrace;
  readonly details: SpanDetails;
  readonly span: number;
}): JSX.Element {
  const { forest } = trace;
  const id = details.spanId;
  const attributes = Object.keys(details.attributes).length;
  const link = location.origin + hrefOf({ traceId: details.traceId, query: { span: id } });
  return (
    <>
      <Exceptions thrown={details.exceptions} />
      <Section title="Attributes" count={attributes}>
        <Pairs attributes={details.attributes} />
      </Section>
      {details.events.length > 0 && (
        <Section title="Events" count={details.events.length}>
          <ol class="events">
            {details.events.map((event, index) => (
              <li key={index}>
                <p>
                  <b>{oneLine(event.name)}</b> <span>{eventTime(event.offsetNs, forest.offsetNs[span] ?? 0)}</span>
                </p>
                <Pairs attributes={event.attributes} />
              </li>
            ))}
          </ol>
        </Section>
      )}
      {details.links.length > 0 && (
        <Section title="Links" count={details.links.length}>
          <ol class="events">
            {details.links.map((other, index) => (
              <li key={index}>
                <a href={hrefOf({ traceId: other.traceId, query: { span: other.spanId } })}>
                  {other.traceId === details.traceId ? 'this trace' : `trace ${oneLine(other.traceId)}`}, span {oneLine(other.spanId)}
                </a>
                <Pairs attributes={other.attributes} />
              </li>
            ))}
          </ol>
        </Section>
      )}
      <Section title="Resource" count={Object.keys(details.resource).length} isClosed>
        <Pairs attributes={details.resource} />
      </Section>
      <Section title="Identity" isClosed>
        <Pairs
          attributes={{
            'Trace id': details.traceId,
            'Span id': id,
            'Parent id': details.parentSpanId ?? 'none',
            Scope: details.scope,
            Start: new Date(Number(details.startNs.slice(0, -6))).toISOString(),
          }}
        />
      </Section>
      <p class="buttons">
        <button onClick={() => void copy(link, 'the link')}>Copy link</button>
        <button onClick={() => void copy(id, 'the span id')}>Copy id</button>
        <button onClick={() => void copy(JSON.stringify(details.otlp, undefined, 2), 'the span as JSON')}>Copy JSON</button>
      </p>
    </>
  );
}

/** A list of attributes. A click on a value copies it. */
function Pairs({ attributes }: { readonly attributes: Attributes }): JSX.Element | null {
  const keys = Object.keys(attributes).sort();
  if (keys.length === 0) return null;
  return (
    <dl class="pairs">
      {keys.map(key => {
        const value = attributes[key];
        const text = typeof value === 'string' ? value : JSON.stringify(value);
        return (
          <div key={key}>
            <dt>{oneLine(key)}</dt>
            <dd>
              <button
                class={typeof value === 'string' ? 'value' : 'value plain'}
                title="Copy"
                onClick={() => void copy(text, oneLine(key, 60))}
              >
                {multiLine(text) || '""'}
              </button>
            </dd>
          </div>
        );
      })}
    </dl>
  );
}

interface SectionProps {
  readonly title: string;
  readonly count?: number;
  readonly isClosed?: boolean;
  readonly children: ComponentChildren;
}

function Section({ title, count, isClosed = false, children }: SectionProps): JSX.Element {
  return (
    <details open={!isClosed}>
      <summary>
        {title} {count !== undefined && <span>{count}</span>}
      </summary>
      {children}
    </details>
  );
}

function Fact({ title, children }: { readonly title: string; readonly children: ComponentChildren }): JSX.Element {
  return (
    <div>
      <dt>{title}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Returns `undefined` while the details are being loaded, and `null` if the server does not have them. */
function useDetails({ forest, revision }: LoadedTrace, id: string): SpanDetails | null | undefined {
  const [details, setDetails] = useState<SpanDetails | null>();
  useEffect(() => {
    let isWanted = true;
    const take = (span?: SpanDetails) => {
      if (isWanted) setDetails(span ?? null);
    };
    getJson<SpanDetails>(`traces/${forest.traceId}/span?id=${id}`).then(take, () => take());
    return () => {
      isWanted = false;
    };
  }, [revision, id]);
  return details?.spanId === id || details === null ? details : undefined;
}

function criticalNs({ path }: LoadedTrace, span: number): number {
  return (path[span] ?? []).reduce((sum, [from, to]) => sum + to - from, 0);
}

/** Formats the time of an event since the start of the span, and since the start of the trace. */
function eventTime(sinceSpan: number, offsetNs: number): string {
  return `${formatDifference(sinceSpan)} · at ${formatDuration(Math.max(0, offsetNs + sinceSpan))}`;
}
