/** Keeps traces in memory, up to a number of bytes. Beyond it, the trace that got no span for the longest time is evicted. */
import type { Attributes } from '@opentelemetry/api';
import { type Filter, matchesTrace } from '../model/filter.js';
import type { TraceSpan } from '../model/trace-span.js';
import type { ReadSpans } from '../model/otlp-json.js';
import type { TraceList } from '../model/wire.js';
import { bytesOfResource, bytesOfShared, bytesOfSpan } from './span-size.js';
import { StoredTrace } from './stored-trace.js';

/** The ids of the traces that changed since the last notification. A trace in both sets was evicted first and came back. @internal */
export interface StoreChange {
  readonly gone: ReadonlySet<string> | 'all';
  readonly changed: ReadonlySet<string>;
}

/** @internal */
export interface StoreLimits {
  readonly maxBytes: number;
  /** The most spans of one trace. Further spans are dropped and counted. @default 60000 */
  readonly maxSpansPerTrace?: number;
}

/** Changes within this time are one notification. It is short, so that the page shows a span within 250 ms. */
const NOTIFY_AFTER_MS = 50;
const DEFAULT_SPANS_PER_TRACE = 60_000;
/** The estimated memory of a trace without its spans. */
const TRACE_BYTES = 900;
/** The memory for shared resources. It is limited, because each restart of a service brings a new resource. */
const MAX_RESOURCES_BYTES = 512 * 1024;
/** A longer resource is not shared. */
const MAX_SHARED_RESOURCE_BYTES = 8 * 1024;
/** The most traces in the list of a page. */
const MAX_LISTED = 1000;

/** @internal */
export class TraceStore {
  readonly maxBytes: number;
  private readonly maxSpansPerTrace: number;
  /** By trace id. The trace that got no span for the longest time is first. */
  private readonly traces = new Map<string, StoredTrace>();
  private readonly resources = new Map<string, Attributes>();
  private resourcesBytes = 0;
  private readonly listeners = new Set<(change: StoreChange) => void>();
  private changed = new Set<string>();
  private gone: Set<string> | 'all' = new Set();
  private timer: NodeJS.Timeout | undefined;
  private bytes = 0;
  private spans = 0;
  private revision = 0;

  constructor({ maxBytes, maxSpansPerTrace = DEFAULT_SPANS_PER_TRACE }: StoreLimits) {
    this.maxBytes = maxBytes;
    this.maxSpansPerTrace = maxSpansPerTrace;
  }

  get traceCount(): number {
    return this.traces.size;
  }

  get spanCount(): number {
    return this.spans;
  }

  get storedBytes(): number {
    return this.bytes;
  }

  /** Adds `spans`. If several spans have the same id, only the first is kept. */
  add(spans: ReadSpans['spans']): void {
    const touched = new Set<StoredTrace>();
    for (const span of spans) {
      const trace = this.traces.get(span.traceId) ?? new StoredTrace(span.traceId);
      if (trace.spans.has(span.spanId)) continue;
      const isNew = trace.bytes === 0;
      const bytes = bytesOfSpan(span) + bytesOfShared(span, trace.shared) + (isNew ? TRACE_BYTES : 0);
      // A single trace must not be larger than the store, because eviction would then remove everything.
      const hasRoom = trace.bytes + bytes <= this.maxBytes && trace.spans.size < this.maxSpansPerTrace;
      if (isNew && !hasRoom) continue;
      if (!touched.has(trace)) {
        touched.add(trace);
        // Moves the trace to the end, so that it is evicted last.
        this.traces.delete(trace.traceId);
        this.traces.set(trace.traceId, trace);
      }
      if (hasRoom) this.put(trace, span, bytes);
      else trace.droppedSpans++;
    }
    for (const trace of touched) {
      // The trace may have been evicted again within this call.
      if (this.traces.get(trace.traceId) !== trace) continue;
      trace.revision = ++this.revision;
      this.changed.add(trace.traceId);
    }
    if (touched.size > 0) this.notifySoon();
  }

  /** Returns the same object for equal resources: each batch of a service brings a new one. */
  sharedResource(resource: Attributes): Attributes {
    const bytes = bytesOfResource(resource);
    if (bytes > MAX_SHARED_RESOURCE_BYTES) return resource;
    const key = JSON.stringify(resource);
    const known = this.resources.get(key);
    if (known !== undefined) return known;
    if (this.resourcesBytes > MAX_RESOURCES_BYTES) this.clearResources();
    // Each resource is kept twice: as an object and as the key.
    this.resourcesBytes += 2 * bytes;
    this.resources.set(key, resource);
    return resource;
  }

  trace(traceId: string): StoredTrace | undefined {
    return this.traces.get(traceId);
  }

  /** All traces. The one that got no span for the longest time is first. */
  all(): IterableIterator<StoredTrace> {
    return this.traces.values();
  }

  clear(): void {
    this.traces.clear();
    this.clearResources();
    this.changed.clear();
    this.bytes = this.spans = 0;
    this.gone = 'all';
    this.notifySoon();
  }

  /** Calls `listener` shortly after each change. Returns a function that removes the listener. */
  onChange(listener: (change: StoreChange) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private put(trace: StoredTrace, span: TraceSpan, bytes: number): void {
    trace.add(span, bytes);
    this.bytes += bytes;
    this.spans++;
    if (this.bytes > this.maxBytes) this.evict();
  }

  private evict(): void {
    for (const trace of this.traces.values()) {
      if (this.bytes <= this.maxBytes) return;
      this.traces.delete(trace.traceId);
      this.bytes -= trace.bytes;
      this.spans -= trace.spans.size;
      this.changed.delete(trace.traceId);
      if (this.gone !== 'all') this.gone.add(trace.traceId);
    }
  }

  private clearResources(): void {
    this.resources.clear();
    this.resourcesBytes = 0;
  }

  private notifySoon(): void {
    this.timer ??= setTimeout(() => this.notify(), NOTIFY_AFTER_MS).unref();
  }

  private notify(): void {
    const { gone, changed } = this;
    this.timer = undefined;
    this.gone = new Set();
    this.changed = new Set();
    for (const listener of this.listeners) listener({ gone, changed });
  }
}

/** Returns the newest traces that match, newest first. @internal */
export function listTraces(store: TraceStore, filter: Filter): TraceList {
  const matching = [...store.all()].filter(trace => matchesFilter(trace, filter)).sort(byNewest);
  return { traces: matching.slice(0, MAX_LISTED).map(trace => trace.summary()), stored: store.traceCount };
}

/** @internal */
export function matchesFilter({ spans, durationNs }: StoredTrace, filter: Filter): boolean {
  return matchesTrace(filter, spans.values(), durationNs);
}

/** Compares for a list with the newest trace first. @internal */
export function byNewest(a: StoredTrace, b: StoredTrace): number {
  return a.startNs < b.startNs ? 1 : a.startNs > b.startNs ? -1 : 0;
}
