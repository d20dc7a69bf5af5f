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

/** Takes a span of an SDK into the model. @internal */
export function toTraceSpan(span: FinishedSpan): TraceSpan {
  const { traceId, spanId } = span.spanContext();
  const startNs = nanoseconds(span.startTime);
  const endNs = nanoseconds(span.endTime);
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
    events: span.events,
    links: span.links.map(({ context, attributes = {} }) => ({ traceId: context.traceId, spanId: context.spanId, attributes })),
    resource: span.resource.attributes,
    scope: span.instrumentationScope,
  };
}

const KINDS: readonly SpanKindName[] = ['internal', 'server', 'client', 'producer', 'consumer'];
const STATUSES: readonly SpanStatusName[] = ['unset', 'ok', 'error'];

function nanoseconds([seconds, nanos]: HrTime): bigint {
  return BigInt(seconds) * 1_000_000_000n + BigInt(nanos);
}
