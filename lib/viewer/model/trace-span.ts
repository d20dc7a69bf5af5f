/** One finished span as both views and the testing kit see it, whatever SDK or wire format it came from. */
import type { Attributes, HrTime, Link, SpanContext, SpanKind, SpanStatus } from '@opentelemetry/api';
import { serviceName } from '../../conventions/reading.js';

/** What every finished span offers, in SDK 2.x and 3.x alike (their `ReadableSpan`). @publicApi */
export interface FinishedSpan {
  readonly name: string;
  readonly kind: SpanKind;
  spanContext(): SpanContext;
  readonly parentSpanContext?: SpanContext | undefined;
  readonly startTime: HrTime;
  readonly endTime: HrTime;
  readonly status: SpanStatus;
  readonly attributes: Attributes;
  readonly links: readonly Link[];
  readonly events: readonly FinishedSpanEvent[];
  readonly resource: { readonly attributes: Attributes };
  readonly instrumentationScope: { readonly name: string; readonly version?: string | undefined };
}

/** Something that happened at one moment of a span. @publicApi */
export interface FinishedSpanEvent {
  readonly name: string;
  readonly time: HrTime;
  readonly attributes?: Attributes | undefined;
}

/** The kinds of OpenTelemetry's `SpanKind`, by name. @publicApi */
export type SpanKindName = 'internal' | 'server' | 'client' | 'producer' | 'consumer';

/** The status codes of OpenTelemetry's `SpanStatusCode`, by name. @publicApi */
export type SpanStatusName = 'unset' | 'ok' | 'error';

/** A span in the model: plain data, times in whole nanoseconds since 1970. @internal */
export interface TraceSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: SpanKindName;
  readonly status: SpanStatusName;
  readonly statusMessage: string | undefined;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly service: string;
  readonly attributes: Attributes;
  readonly events: readonly FinishedSpanEvent[];
  readonly links: readonly TraceLink[];
  /** What the process says of itself; one object for all spans that came together. */
  readonly resource: Attributes;
  /** Who made the span: an instrumentation's name and version. */
  readonly scope: { readonly name: string; readonly version?: string | undefined };
}

/** A span in another place that this one belongs to. @internal */
export interface TraceLink {
  readonly traceId: string;
  readonly spanId: string;
  readonly attributes: Attributes;
}

/** The name of a numeric `SpanKind`; what is unknown counts as internal. @internal */
export function kindName(kind: number): SpanKindName {
  return KINDS[kind] ?? 'internal';
}

/** The name of a numeric `SpanStatusCode`; what is unknown counts as unset. @internal */
export function statusName(code: number): SpanStatusName {
  return STATUSES[code] ?? 'unset';
}

/** The numeric `SpanKind` of a name. @internal */
export function kindNumber(kind: SpanKindName): number {
  return KINDS.indexOf(kind);
}

/** The numeric `SpanStatusCode` of a name. @internal */
export function statusNumber(status: SpanStatusName): number {
  return STATUSES.indexOf(status);
}

/** Takes a span of an SDK into the model; a time that is none, as an invalid `Date` makes it, counts as the span's start. @internal */
export function toTraceSpan(span: FinishedSpan): TraceSpan {
  const { traceId, spanId } = span.spanContext();
  const startNs = nanoseconds(span.startTime) ?? nanoseconds(span.endTime) ?? 0n;
  const endNs = nanoseconds(span.endTime) ?? startNs;
  return {
    traceId,
    spanId,
    parentSpanId: span.parentSpanContext?.spanId,
    name: span.name,
    kind: kindName(span.kind),
    status: statusName(span.status.code),
    statusMessage: span.status.message,
    startNs,
    // A clock that was set back must not make a negative duration.
    endNs: endNs < startNs ? startNs : endNs,
    service: serviceName(span.resource.attributes),
    attributes: span.attributes,
    events: span.events.some(({ time }) => nanoseconds(time) === undefined) ? eventsFrom(startNs, span.events) : span.events,
    links: span.links.map(({ context, attributes = {} }) => ({ traceId: context.traceId, spanId: context.spanId, attributes })),
    resource: span.resource.attributes,
    scope: span.instrumentationScope,
  };
}

const KINDS: readonly SpanKindName[] = ['internal', 'server', 'client', 'producer', 'consumer'];
const STATUSES: readonly SpanStatusName[] = ['unset', 'ok', 'error'];

/** What 64 bits hold in nanoseconds, and with them every wire format: up to the year 2554. */
const MAX_SECONDS = 18_446_744_073;
const SECOND = 1_000_000_000n;

function nanoseconds([seconds, nanos]: HrTime): bigint | undefined {
  if (!Number.isInteger(seconds) || !Number.isInteger(nanos) || Math.abs(seconds) >= MAX_SECONDS || Math.abs(nanos) > 1e10)
    return undefined;
  return BigInt(seconds) * SECOND + BigInt(nanos);
}

function eventsFrom(startNs: bigint, events: readonly FinishedSpanEvent[]): FinishedSpanEvent[] {
  const start: HrTime = [Number(startNs / SECOND), Number(startNs % SECOND)];
  return events.map(event => (nanoseconds(event.time) === undefined ? { ...event, time: start } : event));
}
