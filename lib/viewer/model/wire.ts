/**
 * The HTTP API between the viewer's server and its page. All answers are JSON. Times are whole nanoseconds: points in time are decimal
 * strings, offsets and durations are numbers.
 *
 * - `GET /api/live?q=<filter>`      server-sent events: `traces` (all matches, once at the start), `changed`, `gone`
 * - `GET /api/traces?q=<filter>`    {@link TraceList}
 * - `GET /api/traces/<id>`          {@link WireTrace}: enough to draw the waterfall
 * - `GET /api/traces/<id>/otlp`     the whole trace as OTLP JSON (an `ExportTraceServiceRequest`), as a download
 * - `GET /api/traces/<id>/span?id=` {@link SpanDetails}
 * - `GET /api/traces/<id>/found?q=` {@link FoundSpans}
 * - `GET /api/services`             {@link WireServiceMap}
 * - `GET /api/status`               {@link ViewerStatus}
 * - `DELETE /api/traces`            drops all traces
 * - `POST /api/files`               reads a file of OTLP JSON: {@link OpenedFile}, or an object whose `message` says why it failed
 */
import type { Attributes } from '@opentelemetry/api';
import type { CriticalPath } from './critical-path.js';
import type { OtlpRequest } from './otlp-json.js';
import type { SpanForest } from './span-forest.js';
import type { ServiceShare } from './span-statistics.js';
import type { SpanKindName } from './trace-span.js';
import { shapeOf, type TreeShape } from './tree-shape.js';
import type { Fold } from './visible-rows.js';

/** A trace in the list. It has the first 300 characters of each text, and the first 100 services. @internal */
export interface TraceSummary {
  readonly traceId: string;
  /** The name of the topmost span: the root, or the earliest span whose parent has not been received. */
  readonly name: string;
  /** The service of the topmost span. */
  readonly service: string;
  /** The kind of the topmost span. */
  readonly kind: SpanKindName;
  /** Whether the topmost span failed. */
  readonly isError: boolean;
  /** The HTTP or RPC status of the topmost span. */
  readonly answer: string | undefined;
  /** Whether the topmost span has a parent that has not been received. */
  readonly isRootMissing: boolean;
  readonly services: readonly { readonly name: string; readonly spanCount: number }[];
  readonly startNs: string;
  readonly durationNs: number;
  readonly spanCount: number;
  readonly errorCount: number;
  /** A number that grows with each change of the trace. */
  readonly revision: number;
}

/** The data of the event `traces`: the newest traces that match, newest first. @internal */
export interface TraceList {
  readonly traces: readonly TraceSummary[];
  /** The number of all stored traces. */
  readonly stored: number;
}

/** The data of the event `changed`: traces that match, and are new or have new spans. @internal */
export type ChangedTraces = TraceList;

/** The data of the event `gone`: traces that were evicted or no longer match, or `all` if a user cleared the list. @internal */
export interface GoneTraces {
  readonly traceIds: readonly string[] | 'all';
}

/**
 * The spans of a trace as columns, in the order of the tree, without {@link SpanDetails}. With an object for each span, reading 50,000 spans
 * would take three times as long.
 * @internal
 */
export interface WireTrace extends Omit<SpanForest, 'startNs' | 'count' | keyof TreeShape> {
  readonly revision: number;
  /** The number of spans that were dropped because the trace has too many. */
  readonly droppedSpans: number;
  /** The start of the earliest span. */
  readonly startNs: string;
  readonly path: CriticalPath;
  readonly folds: readonly Fold[];
  /** In the order in which they first appear. */
  readonly services: readonly ServiceShare[];
}

/** Returns the forest that {@link WireTrace} was made of. @internal */
export function forestOf(trace: WireTrace): SpanForest {
  const { spanId, startNs, parent, offsetNs, durationNs } = trace;
  return { ...trace, count: spanId.length, startNs: BigInt(startNs), ...shapeOf(parent, offsetNs, durationNs) };
}

/** The part of a span that the page loads only when the user selects it. @internal */
export interface SpanDetails {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly startNs: string;
  readonly attributes: Attributes;
  readonly exceptions: readonly ThrownException[];
  readonly events: readonly {
    readonly name: string;
    /** Nanoseconds from the start of the span. */
    readonly offsetNs: number;
    /** Empty for an exception, which is in `exceptions`. */
    readonly attributes: Attributes;
  }[];
  readonly links: readonly { readonly traceId: string; readonly spanId: string; readonly attributes: Attributes }[];
  readonly resource: Attributes;
  /** Name and version of the instrumentation scope. */
  readonly scope: string;
  /** The span as OTLP JSON, for copying. */
  readonly otlp: OtlpRequest;
}

/** An exception event, or the error type and status message of a span that failed without an exception. @internal */
export interface ThrownException {
  readonly type?: string | undefined;
  readonly message?: string | undefined;
  readonly stack?: string | undefined;
}

/** The ids of the spans that match; `null` if the filter is empty. @internal */
export type FoundSpans = readonly string[] | null;

/** The traces in a file. @internal */
export interface OpenedFile {
  readonly traces: readonly TraceSummary[];
}

/** The services in all stored traces, and the calls between them. @internal */
export interface WireServiceMap {
  readonly services: readonly {
    readonly name: string;
    readonly spanCount: number;
    readonly errorCount: number;
    readonly traceCount: number;
  }[];
  /** A span of `from` is the parent of a span of `to`. */
  readonly calls: readonly {
    readonly from: string;
    readonly to: string;
    readonly count: number;
    readonly errorCount: number;
    readonly p50Ns: number;
    readonly p95Ns: number;
  }[];
}

/** The status of the server. From it, another process knows that the port belongs to a viewer. @internal */
export interface ViewerStatus {
  readonly viewer: 'nestjs-tracing';
  readonly version: string;
  readonly pid: number;
  readonly traceCount: number;
  readonly spanCount: number;
  readonly storedBytes: number;
  readonly maxBytes: number;
}
