/** Keeps traces in memory up to a number of bytes: whole traces go, the one that has been silent longest first. */
import type { Attributes } from '@opentelemetry/api';
import type { TraceSpan } from '../model/trace-span.js';
import type { ReadSpans } from '../model/otlp-json.js';
import { bytesOfResource, bytesOfShared, bytesOfSpan } from './span-size.js';
import { StoredTrace } from './stored-trace.js';

/** What happened since the last notification; what is gone went before what changed. @internal */
export interface StoreChange {
  readonly gone: ReadonlySet<string> | 'all';
  readonly changed: ReadonlySet<string>;
}

/** @internal */
export interface StoreLimits {
  readonly maxBytes: number;
  /** Spans of one trace beyond it are counted only. @default 60000 */
  readonly maxSpansPerTrace?: number;
}

/** A burst of spans is told as one change; with the way of a span to here it shows within 250 ms. */
const NOTIFY_AFTER_MS = 50;
const DEFAULT_SPANS_PER_TRACE = 60_000;
/** A trace without its spans. */
const TRACE_BYTES = 900;
/** Of resources that are remembered, of services that were restarted again and again; a long one comes anew with each batch. */
const MAX_RESOURCES_BYTES = 512 * 1024;
const MAX_SHARED_RESOURCE_BYTES = 8 * 1024;

/** @internal */
export class TraceStore {
  readonly maxBytes: number;
  private readonly maxSpansPerTrace: number;
  /** The one that has been silent longest first. */
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

  /** Takes in `spans`; of spans with one id the first counts. */
  add(spans: ReadSpans['spans']): void {
    const touched = new Set<StoredTrace>();
    for (const span of spans) {
      const trace = this.traces.get(span.traceId) ?? new StoredTrace(span.traceId);
      if (trace.spans.has(span.spanId)) continue;
      const isNew = trace.bytes === 0;
      const bytes = bytesOfSpan(span) + bytesOfShared(span, trace.shared) + (isNew ? TRACE_BYTES : 0);
      // One trace alone must fit too, or evicting would never end.
      const hasRoom = trace.bytes + bytes <= this.maxBytes && trace.spans.size < this.maxSpansPerTrace;
      if (isNew && !hasRoom) continue;
      if (!touched.has(trace)) {
        touched.add(trace);
        // Last before anything is evicted for it.
        this.traces.delete(trace.traceId);
        this.traces.set(trace.traceId, trace);
      }
      if (hasRoom) this.put(trace, span, bytes);
      else trace.droppedSpans++;
    }
    for (const trace of touched) {
      // A trace that has been evicted again within this call is gone.
      if (this.traces.get(trace.traceId) !== trace) continue;
      trace.revision = ++this.revision;
      this.changed.add(trace.traceId);
    }
    if (touched.size > 0) this.notifySoon();
  }

  /** The same object for resources that say the same: each batch of a service brings its own. */
  sharedResource(resource: Attributes): Attributes {
    const bytes = bytesOfResource(resource);
    if (bytes > MAX_SHARED_RESOURCE_BYTES) return resource;
    const key = JSON.stringify(resource);
    const known = this.resources.get(key);
    if (known !== undefined) return known;
    if (this.resourcesBytes > MAX_RESOURCES_BYTES) this.forgetResources();
    // Once as what they are, once as the key.
    this.resourcesBytes += 2 * bytes;
    this.resources.set(key, resource);
    return resource;
  }

  trace(traceId: string): StoredTrace | undefined {
    return this.traces.get(traceId);
  }

  /** All of them, the one that has been silent longest first. */
  all(): IterableIterator<StoredTrace> {
    return this.traces.values();
  }

  clear(): void {
    this.traces.clear();
    this.forgetResources();
    this.changed.clear();
    this.bytes = this.spans = 0;
    this.gone = 'all';
    this.notifySoon();
  }

  /** Calls `listener` shortly after something changed; returns how to stop that. */
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

  private forgetResources(): void {
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
