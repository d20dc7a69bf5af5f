/** A stored trace as the rows that a page draws its waterfall from, each text once. */
import { answer, exceptionIn, peer } from '../../conventions/reading.js';
import { kindNumber, statusNumber, type TraceSpan } from '../model/trace-span.js';
import type { WireSpan, WireTrace } from '../model/wire.js';
import type { StoredTrace } from './stored-trace.js';

/** @internal */
export function traceRows({ traceId, revision, droppedSpans, startNs, spans }: StoredTrace): WireTrace {
  const texts = new Map<string, number>();
  const indexOf = (text: string): number => {
    let index = texts.get(text);
    if (index === undefined) texts.set(text, (index = texts.size));
    return index;
  };
  const rows: WireSpan[] = [];
  for (const span of spans.values()) rows.push(rowOf(span, startNs, indexOf));
  return { traceId, revision, droppedSpans, startNs: String(startNs), texts: [...texts.keys()], spans: rows };
}

function rowOf(span: TraceSpan, startNs: bigint, indexOf: (text: string) => number): WireSpan {
  const otherSide = peer(span.attributes);
  const row = [
    span.spanId,
    span.parentSpanId ?? '',
    indexOf(span.name),
    indexOf(span.service),
    kindNumber(span.kind),
    statusNumber(span.status),
    Number(span.startNs - startNs),
    Number(span.endNs - span.startNs),
    answer(span.attributes) ?? '',
    otherSide === undefined ? -1 : indexOf(otherSide),
  ] as const;
  return span.events.length === 0 ? row : [...row, span.events.map(event => eventOffset(event, startNs))];
}

/** Exceptions are told apart by their sign; minus one, as nothing has no sign. */
function eventOffset(event: TraceSpan['events'][number], startNs: bigint): number {
  const [seconds, nanos] = event.time;
  const offset = Math.max(0, Number(BigInt(seconds) * 1_000_000_000n + BigInt(nanos) - startNs));
  return exceptionIn(event) === undefined ? offset : -offset - 1;
}
