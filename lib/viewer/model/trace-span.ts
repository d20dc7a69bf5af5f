/** One finished span, independent of the SDK or wire format: what the terminal, the viewer and `nestjs-tracing/testing` work with. */
import type { Attributes, HrTime, Link, SpanContext, SpanKind, SpanStatus } from '@opentelemetry/api';
import { serviceName } from '../../conventions/reading.js';

/** A finished span of the OpenTelemetry SDK: the part of `ReadableSpan` that SDK 2.x and 3.x have in common. @publicApi */
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
  readonly instrumentationScope: { readonly name: string; readonly version?: string | undefined; readonly schemaUrl?: string | undefined };
}

/** An event of a span. @publicApi */
export interface FinishedSpanEvent {
  readonly name: string;
  readonly time: HrTime;
  readonly attributes?: Attributes | undefined;
}

/** The names of OpenTelemetry's `SpanKind`, in lower case. @publicApi */
export type SpanKindName = 'internal' | 'server' | 'client' | 'producer' | 'consumer';

/** The names of OpenTelemetry's `SpanStatusCode`, in lower case. @publicApi */
export type SpanStatusName = 'unset' | 'ok' | 'error';

/** A span as plain data. Times are whole nanoseconds since 1970. @internal */
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
  /** The attributes of the resource: one object for all spans that were received together. */
  readonly resource: Attributes;
  /** The instrumentation scope: name and version of the instrumentation, and the schema of its attributes. */
  readonly scope: { readonly name: string; readonly version?: string | undefined; readonly schemaUrl?: string | undefined };
}

/** A link to another span. @internal */
export interface TraceLink {
  readonly traceId: string;
  readonly spanId: string;
  readonly attributes: Attributes;
}

/** The name of a numeric `SpanKind`; `internal` for an unknown number. @internal */
export function kindName(kind: number): SpanKindName {
  return KINDS[kind] ?? 'internal';
}

/** The name of a numeric `SpanStatusCode`; `unset` for an unknown number. @internal */
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

/** Converts a span of an SDK. A time that is not valid (for example, from an invalid `Date`) becomes the start of the span. @internal */
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
    // The end may be before the start if the clock was set back. The duration must not be negative.
    endNs: endNs < startNs ? startNs : endNs,
    service: serviceName(span.resource.attributes),
    attributes: span.attributes,
    events: span.events.some(({ time }) => nanoseconds(time) === undefined) ? withValidTimes(startNs, span.events) : span.events,
    links: span.links.map(({ context, attributes = {} }) => ({ traceId: context.traceId, spanId: context.spanId, attributes })),
    resource: span.resource.attributes,
    scope: span.instrumentationScope,
  };
}

const KINDS: readonly SpanKindName[] = ['internal', 'server', 'client', 'producer', 'consumer'];
const STATUSES: readonly SpanStatusName[] = ['unset', 'ok', 'error'];

/** The year 2554: a later time does not fit into 64 bits of nanoseconds, as OTLP sends them. */
const MAX_SECONDS = 18_446_744_073;
const SECOND = 1_000_000_000n;

function nanoseconds([seconds, nanos]: HrTime): bigint | undefined {
  if (!Number.isInteger(seconds) || !Number.isInteger(nanos) || Math.abs(seconds) >= MAX_SECONDS || Math.abs(nanos) > 1e10)
    return undefined;
  return BigInt(seconds) * SECOND + BigInt(nanos);
}

function withValidTimes(startNs: bigint, events: readonly FinishedSpanEvent[]): FinishedSpanEvent[] {
  const start: HrTime = [Number(startNs / SECOND), Number(startNs % SECOND)];
  return events.map(event => (nanoseconds(event.time) === undefined ? { ...event, time: start } : event));
}
