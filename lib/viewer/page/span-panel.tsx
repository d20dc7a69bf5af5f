/** Everything one span carries: why it failed, attributes, events, links, and who made it. */
import type { Attributes } from '@opentelemetry/api';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { formatDifference, formatDuration } from '../model/duration.js';
import { ERROR } from '../model/span-columns.js';
import { kindName } from '../model/trace-span.js';
import type { SpanDetails } from '../model/wire.js';
import { ask } from './ask.js';
import { copy, Outcome, Service } from './badges.js';
import { Exceptions } from './exception-view.js';
import { addressOf } from './place.js';
import { block, line } from './plain-text.js';
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
        <h2>{block(name) || '(no name)'}</h2>
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
          Its clock differs: shown {formatDuration(Math.abs(shiftNs))} {shiftNs > 0 ? 'later' : 'earlier'} than it says, within the call
          that made it.
        </p>
      )}
      {details ? <Details {...{ trace, details, span }} /> : <p class="note">{details === null ? 'The details are gone.' : 'Loading…'}</p>}
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
  const link = location.origin + addressOf({ traceId: details.traceId, query: { span: id } });
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
                  <b>{line(event.name)}</b> <span>{eventTime(event.offsetNs, forest.offsetNs[span] ?? 0)}</span>
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
                <a href={addressOf({ traceId: other.traceId, query: { span: other.spanId } })}>
                  {other.traceId === details.traceId ? 'this trace' : `trace ${line(other.traceId)}`}, span {line(other.spanId)}
                </a>
                <Pairs attributes={other.attributes} />
              </li>
            ))}
          </ol>
        </Section>
      )}
      <Section title="Resource" count={Object.keys(details.resource).length} isShut>
        <Pairs attributes={details.resource} />
      </Section>
      <Section title="Identity" isShut>
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

/** Values are copied by a click. */
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
            <dt>{line(key)}</dt>
            <dd>
              <button
                class={typeof value === 'string' ? 'value' : 'value plain'}
                title="Copy"
                onClick={() => void copy(text, line(key, 60))}
              >
                {block(text) || '""'}
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
  readonly isShut?: boolean;
  readonly children: ComponentChildren;
}

function Section({ title, count, isShut = false, children }: SectionProps): JSX.Element {
  return (
    <details open={!isShut}>
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

/** `undefined` until it is there, `null` where it is no more. */
function useDetails({ forest, revision }: LoadedTrace, id: string): SpanDetails | null | undefined {
  const [details, setDetails] = useState<SpanDetails | null>();
  useEffect(() => {
    let isWanted = true;
    const take = (span?: SpanDetails) => {
      if (isWanted) setDetails(span ?? null);
    };
    ask<SpanDetails>(`traces/${forest.traceId}/span?id=${id}`).then(take, () => take());
    return () => {
      isWanted = false;
    };
  }, [revision, id]);
  return details?.spanId === id || details === null ? details : undefined;
}

function criticalNs({ path }: LoadedTrace, span: number): number {
  return (path[span] ?? []).reduce((sum, [from, to]) => sum + to - from, 0);
}

/** Since the start of the span, and of the trace. */
function eventTime(sinceSpan: number, offsetNs: number): string {
  return `${formatDifference(sinceSpan)} · at ${formatDuration(Math.max(0, offsetNs + sinceSpan))}`;
}
