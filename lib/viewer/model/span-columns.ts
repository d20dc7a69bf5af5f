/** The spans of one trace as columns, mostly arrays of numbers, so that 50,000 spans can be sorted and drawn quickly. */
import { answer, exceptionIn, peer } from '../../conventions/reading.js';
import { kindNumber, statusNumber, type TraceSpan } from './trace-span.js';

/** Each column has one value for each span: `name[i]` belongs to span `i`. @internal */
export interface SpanColumns {
  readonly traceId: string;
  /** Offsets are relative to this time. */
  readonly startNs: bigint;
  readonly count: number;
  /** All names, services and peers, each text once. */
  readonly texts: readonly string[];
  readonly spanId: readonly string[];
  /** `''` for a span without a parent. */
  readonly parentId: readonly string[];
  /** Index in `texts`. */
  readonly name: Int32Array;
  /** Index in `texts`. */
  readonly service: Int32Array;
  /** Index in `texts`; -1 for a span without a peer. */
  readonly peer: Int32Array;
  /** A number of OpenTelemetry's `SpanKind`. */
  readonly kind: Uint8Array;
  /** A number of OpenTelemetry's `SpanStatusCode`; 2 is an error. */
  readonly status: Uint8Array;
  readonly offsetNs: Float64Array;
  readonly durationNs: Float64Array;
  /** The HTTP or RPC status; `''` for a span without one. */
  readonly answer: readonly string[];
  /** The offsets of the events. An exception at the offset `x` is stored as `-x - 1`. */
  readonly events: readonly (readonly number[] | undefined)[];
}

/** OpenTelemetry's `SpanStatusCode.ERROR`. @internal */
export const ERROR = 2;

/** `spans` must belong to one trace. @internal */
export function columnsOfSpans(spans: readonly TraceSpan[]): SpanColumns {
  const [first] = spans;
  let startNs = first?.startNs ?? 0n;
  for (const span of spans) if (span.startNs < startNs) startNs = span.startNs;
  const texts: string[] = [];
  const indexes = new Map<string, number>();
  const indexOf = (text: string) => {
    let index = indexes.get(text);
    if (index === undefined) {
      index = texts.push(text) - 1;
      indexes.set(text, index);
    }
    return index;
  };
  const count = spans.length;
  const columns = {
    traceId: first?.traceId ?? '',
    startNs,
    count,
    texts,
    spanId: spans.map(({ spanId }) => spanId),
    parentId: spans.map(({ parentSpanId = '' }) => parentSpanId),
    name: new Int32Array(count),
    service: new Int32Array(count),
    peer: new Int32Array(count),
    kind: new Uint8Array(count),
    status: new Uint8Array(count),
    offsetNs: new Float64Array(count),
    durationNs: new Float64Array(count),
    answer: spans.map(({ attributes }) => answer(attributes) ?? ''),
    events: spans.map(({ events }) => (events.length === 0 ? undefined : events.map(event => eventOffset(event, startNs)))),
  };
  spans.forEach((span, index) => {
    const otherSide = peer(span.attributes);
    columns.name[index] = indexOf(span.name);
    columns.service[index] = indexOf(span.service);
    columns.peer[index] = otherSide === undefined ? -1 : indexOf(otherSide);
    columns.kind[index] = kindNumber(span.kind);
    columns.status[index] = statusNumber(span.status);
    columns.offsetNs[index] = Number(span.startNs - startNs);
    columns.durationNs[index] = Number(span.endNs - span.startNs);
  });
  return columns;
}

/** An exception has a negative number. It is one lower than the negative offset, because 0 has no sign. */
function eventOffset(event: TraceSpan['events'][number], startNs: bigint): number {
  const [seconds, nanos] = event.time;
  const offset = Math.max(0, Number(BigInt(seconds) * 1_000_000_000n + BigInt(nanos) - startNs));
  return exceptionIn(event) ? -offset - 1 : offset;
}
