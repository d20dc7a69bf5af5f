/** A stored trace as the rows that a page draws its waterfall from, each text once. */
import { answer, exceptionIn, peer } from '../../conventions/reading.js';
import { kindNumber, statusNumber, type TraceSpan } from '../model/trace-span.js';
import type { WireTrace } from '../model/wire.js';
import type { StoredTrace } from './stored-trace.js';

/** The JSON of a {@link WireTrace}, written at once: 50,000 rows as objects would take a third longer, and their memory. @internal */
export function traceRows({ traceId, revision, droppedSpans, startNs, spans }: StoredTrace): string {
  const texts = new Map<string, number>();
  const indexOf = (text: string): number => {
    let index = texts.get(text);
    if (index === undefined) texts.set(text, (index = texts.size));
    return index;
  };
  let rows = '';
  for (const span of spans.values()) rows += (rows === '' ? '[' : ',[') + rowOf(span, startNs, indexOf);
  const head: Omit<WireTrace, 'spans'> = { traceId, revision, droppedSpans, startNs: String(startNs), texts: [...texts.keys()] };
  return `${JSON.stringify(head).slice(0, -1)},"spans":[${rows}]}`;
}

/** A row of model/wire.ts without its first bracket; ids are known to be hexadecimal. */
function rowOf(span: TraceSpan, startNs: bigint, indexOf: (text: string) => number): string {
  const { spanId, parentSpanId = '', attributes, events } = span;
  const otherSide = peer(attributes);
  const answered = answer(attributes);
  const numbers = `${indexOf(span.name)},${indexOf(span.service)},${kindNumber(span.kind)},${statusNumber(span.status)}`;
  const times = `${Number(span.startNs - startNs)},${Number(span.endNs - span.startNs)}`;
  const rest = `${answered === undefined ? '""' : JSON.stringify(answered)},${otherSide === undefined ? -1 : indexOf(otherSide)}`;
  const offsets = events.length === 0 ? '' : `,${JSON.stringify(events.map(event => eventOffset(event, startNs)))}`;
  return `"${spanId}","${parentSpanId}",${numbers},${times},${rest}${offsets}]`;
}

/** Exceptions are told apart by their sign; minus one, as nothing has no sign. */
function eventOffset(event: TraceSpan['events'][number], startNs: bigint): number {
  const [seconds, nanos] = event.time;
  const offset = Math.max(0, Number(BigInt(seconds) * 1_000_000_000n + BigInt(nanos) - startNs));
  return exceptionIn(event) === undefined ? offset : -offset - 1;
}
