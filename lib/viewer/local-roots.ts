/** Keeps finished spans until the local root above them (a request, a message, a job) has finished, too. */
import type { FinishedSpan } from './model/trace-span.js';

/** How many spans are kept while their local root is in flight. @internal */
export interface LocalRootsLimits {
  /** Beyond this number, the traces that got no span for the longest time are evicted. */
  readonly maxSpans: number;
  /** A trace that got no span for this time is evicted. */
  readonly maxAgeMs: number;
}

interface PendingTrace {
  readonly spans: Map<string, FinishedSpan>;
  lastSpanMs: number;
}

/**
 * A local root is a span without a parent, or with a parent in another process. A span is late if it ends after its local root was
 * handed out.
 * @internal
 */
export class LocalRoots {
  /** By trace id. The trace that got no span for the longest time is first. */
  private readonly traces = new Map<string, PendingTrace>();
  private spanCount = 0;
  /** Keys of the spans that were handed out: a span with such a parent is late. The older half is in `handedOutBefore`. */
  private handedOut = new Set<string>();
  private handedOutBefore = new Set<string>();
  private late: FinishedSpan[] = [];

  constructor(private readonly limits: LocalRootsLimits) {}

  /** Adds `spans`. Returns one list for each local root among them: the root and all its descendants in this process. */
  add(spans: readonly FinishedSpan[], nowMs: number): FinishedSpan[][] {
    for (const span of spans) this.keep(span, nowMs);
    const finished = spans.filter(isLocalRoot).map(root => this.takeTree(root));
    this.late.push(...spans.filter(span => this.isLate(span)));
    this.evict(nowMs);
    return finished.filter(tree => tree.length > 0);
  }

  get hasLate(): boolean {
    return this.late.length > 0;
  }

  /** Returns and removes the late spans, each with its descendants. */
  takeLate(): FinishedSpan[][] {
    const trees = this.late.map(span => this.takeTree(span));
    this.late = [];
    return trees.filter(tree => tree.length > 0);
  }

  private keep(span: FinishedSpan, nowMs: number): void {
    const { traceId, spanId } = span.spanContext();
    const trace = this.traces.get(traceId) ?? { spans: new Map<string, FinishedSpan>(), lastSpanMs: nowMs };
    this.traces.delete(traceId);
    this.traces.set(traceId, trace);
    trace.lastSpanMs = nowMs;
    this.spanCount -= trace.spans.size;
    trace.spans.set(spanId, span);
    this.spanCount += trace.spans.size;
  }

  private isLate(span: FinishedSpan): boolean {
    const { traceId, spanId } = span.spanContext();
    const parentKey = parentKeyOf(span);
    const isParentHandedOut = this.handedOut.has(parentKey) || this.handedOutBefore.has(parentKey);
    return isParentHandedOut && this.traces.get(traceId)?.spans.get(spanId) === span;
  }

  /** Returns `root` and its descendants; nothing if `root` itself was handed out or evicted. */
  private takeTree(root: FinishedSpan): FinishedSpan[] {
    const { traceId } = root.spanContext();
    const pending = this.traces.get(traceId)?.spans;
    if (!pending) return [];
    const children = new Map<string, FinishedSpan[]>();
    for (const span of pending.values()) {
      const parentId = span.parentSpanContext?.spanId;
      if (parentId === undefined || isLocalRoot(span)) continue;
      const siblings = children.get(parentId);
      if (siblings) siblings.push(span);
      else children.set(parentId, [span]);
    }
    const tree: FinishedSpan[] = [];
    const reached = [root];
    for (let span = reached.pop(); span; span = reached.pop()) {
      const { spanId } = span.spanContext();
      if (!pending.delete(spanId)) continue;
      tree.push(span);
      this.handedOut.add(traceId + spanId);
      reached.push(...(children.get(spanId) ?? []));
    }
    this.spanCount -= tree.length;
    if (pending.size === 0) this.traces.delete(traceId);
    return tree;
  }

  private evict(nowMs: number): void {
    for (const [traceId, { spans, lastSpanMs }] of this.traces) {
      if (this.spanCount <= this.limits.maxSpans && nowMs - lastSpanMs <= this.limits.maxAgeMs) break;
      this.traces.delete(traceId);
      this.spanCount -= spans.size;
    }
    if (this.handedOut.size < this.limits.maxSpans / 2) return;
    this.handedOutBefore = this.handedOut;
    this.handedOut = new Set();
  }
}

function isLocalRoot({ parentSpanContext }: FinishedSpan): boolean {
  return parentSpanContext === undefined || parentSpanContext.isRemote === true;
}

function parentKeyOf({ parentSpanContext }: FinishedSpan): string {
  return parentSpanContext ? parentSpanContext.traceId + parentSpanContext.spanId : '';
}
