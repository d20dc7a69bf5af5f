/**
 * What the viewer's server tells its page, all of it JSON. Times are whole nanoseconds: moments as decimal strings, offsets and durations
 * as numbers.
 *
 * - `GET /api/live?q=<filter>`      server-sent events: `traces` (what matches, once at the start), `changed`, `gone`
 * - `GET /api/traces?q=<filter>`    the same list once
 * - `GET /api/traces/<id>`          {@link WireTrace}: enough to draw the waterfall
 * - `GET /api/traces/<id>/otlp`     everything as OTLP JSON (an `ExportTraceServiceRequest`): a download
 * - `GET /api/traces/<id>/span?id=` {@link SpanDetails}
 * - `GET /api/traces/<id>/found?q=` {@link FoundSpans}
 * - `GET /api/services`             {@link WireServiceMap}
 * - `GET /api/status`               {@link ViewerStatus}
 * - `DELETE /api/traces`            forgets all of them
 * - `POST /api/files`               takes in a file of OTLP JSON: {@link OpenedFile}; where it cannot, `message` says why
 */
import type { Attributes } from '@opentelemetry/api';
import type { CriticalPath } from './critical-path.js';
import type { OtlpRequest } from './otlp-json.js';
import type { SpanForest } from './span-forest.js';
import type { ServiceShare } from './span-statistics.js';
import type { SpanKindName } from './trace-span.js';
import { shapeOf, type TreeShape } from './tree-shape.js';
import type { Fold } from './visible-rows.js';

/** A trace in the list; of its texts the first 300 characters, of its services the first 100. @internal */
export interface TraceSummary {
  readonly traceId: string;
  /** Of the topmost span that is there, the earliest where there are several. */
  readonly name: string;
  readonly service: string;
  readonly kind: SpanKindName;
  /** The topmost span failed. */
  readonly isError: boolean;
  /** HTTP or RPC status of the topmost span. */
  readonly answer: string | undefined;
  /** The topmost span has a parent that has not been received. */
  readonly isRootMissing: boolean;
  readonly services: readonly { readonly name: string; readonly spanCount: number }[];
  readonly startNs: string;
  readonly durationNs: number;
  readonly spanCount: number;
  readonly errorCount: number;
  /** Grows with every change of the trace. */
  readonly revision: number;
}

/** Data of the event `traces`: the newest that match, newest first. @internal */
export interface TraceList {
  readonly traces: readonly TraceSummary[];
  /** How many are stored, whether they match or not. */
  readonly stored: number;
}

/** Data of the event `changed`: traces that are new or have more spans, and match. @internal */
export type ChangedTraces = TraceList;

/** Data of the event `gone`: traces that were evicted, or everything (`all`) because somebody cleared. @internal */
export interface GoneTraces {
  readonly traceIds: readonly string[] | 'all';
}

/**
 * The spans of a trace without what only a selected span shows, in the order of their tree and in columns: an object per span would triple the
 * time to read 50,000 of them.
 * @internal
 */
export interface WireTrace extends Omit<SpanForest, 'startNs' | 'count' | keyof TreeShape> {
  readonly revision: number;
  /** Spans beyond the limit of one trace, which are not here. */
  readonly droppedSpans: number;
  /** Start of the earliest span. */
  readonly startNs: string;
  readonly path: CriticalPath;
  readonly folds: readonly Fold[];
  /** In order of appearance. */
  readonly services: readonly ServiceShare[];
}

/** What {@link WireTrace} was made of. @internal */
export function forestOf(trace: WireTrace): SpanForest {
  const { spanId, startNs, parent, offsetNs, durationNs } = trace;
  return { ...trace, count: spanId.length, startNs: BigInt(startNs), ...shapeOf(parent, offsetNs, durationNs) };
}

/** What only a selected span shows. @internal */
export interface SpanDetails {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly startNs: string;
  readonly attributes: Attributes;
  readonly exceptions: readonly ThrownException[];
  readonly events: readonly {
    readonly name: string;
    /** From the start of the span. */
    readonly offsetNs: number;
    /** Without those of an exception, which stand in `exceptions`. */
    readonly attributes: Attributes;
  }[];
  readonly links: readonly { readonly traceId: string; readonly spanId: string; readonly attributes: Attributes }[];
  readonly resource: Attributes;
  /** Name and version of who made the span. */
  readonly scope: string;
  /** To be copied. */
  readonly otlp: OtlpRequest;
}

/** What an event tells of an exception; of a span that failed without one, the reason it gives. @internal */
export interface ThrownException {
  readonly type?: string | undefined;
  readonly message?: string | undefined;
  readonly stack?: string | undefined;
}

/** The ids of the spans that match; `null` where the filter is empty. @internal */
export type FoundSpans = readonly string[] | null;

/** The traces that a file has spans of. @internal */
export interface OpenedFile {
  readonly traces: readonly TraceSummary[];
}

/** Who calls whom, over all stored traces. @internal */
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

/** What the server says of itself; how a second process knows that the port belongs to a viewer. @internal */
export interface ViewerStatus {
  readonly viewer: 'nestjs-tracing';
  readonly version: string;
  readonly pid: number;
  readonly traceCount: number;
  readonly spanCount: number;
  readonly storedBytes: number;
  readonly maxBytes: number;
}
