/** Gathers finished spans until the local root above them (a request, a message, a job) has finished too. */
import type { FinishedSpan } from './model/trace-span.js';

/** How much is kept while roots are still open. @internal */
export interface LocalRootsLimits {
  /** Beyond it, the traces that have been silent longest are forgotten. */
  readonly maxSpans: number;
  /** Traces that have been silent for longer are forgotten. */
  readonly maxAgeMs: number;
}

interface WaitingTrace {
  readonly spans: Map<string, FinishedSpan>;
  lastMs: number;
}

/**
 * A local root is a span without parent, or whose parent is in another process. A span that ends after its root was handed out is late.
 * @internal
 */
export class LocalRoots {
  /** By trace id, the one that has been silent longest first. */
  private readonly traces = new Map<string, WaitingTrace>();
  private spanCount = 0;
  /** Spans handed out, in two generations, to know late ones by their parent. */
  private handedOut = new Set<string>();
  private handedOutBefore = new Set<string>();
  private late: FinishedSpan[] = [];

  constructor(private readonly limits: LocalRootsLimits) {}

  /** Takes in `spans`; returns, for each local root among them, the root and all its descendants within this process. */
  add(spans: readonly FinishedSpan[], nowMs: number): FinishedSpan[][] {
    for (const span of spans) this.keep(span, nowMs);
    const finished = spans.filter(isLocalRoot).map(root => this.takeTree(root));
    this.late.push(...spans.filter(span => this.isLate(span)));
    this.forget(nowMs);
    return finished.filter(tree => tree.length > 0);
  }

  /** Whether spans wait whose root is gone already. */
  get hasLate(): boolean {
    return this.late.length > 0;
  }

  /** Late spans so far, each with its descendants. */
  takeLate(): FinishedSpan[][] {
    const trees = this.late.map(span => this.takeTree(span));
    this.late = [];
    return trees.filter(tree => tree.length > 0);
  }

  private keep(span: FinishedSpan, nowMs: number): void {
    const { traceId, spanId } = span.spanContext();
    const trace = this.traces.get(traceId) ?? { spans: new Map<string, FinishedSpan>(), lastMs: nowMs };
    this.traces.delete(traceId);
    this.traces.set(traceId, trace);
    trace.lastMs = nowMs;
    this.spanCount -= trace.spans.size;
    trace.spans.set(spanId, span);
    this.spanCount += trace.spans.size;
  }

  private isLate(span: FinishedSpan): boolean {
    const { traceId, spanId } = span.spanContext();
    const parentKey = parentKeyOf(span);
    const isParentGone = this.handedOut.has(parentKey) || this.handedOutBefore.has(parentKey);
    return isParentGone && this.traces.get(traceId)?.spans.get(spanId) === span;
  }

  /** Empty where `root` itself has been taken or forgotten. */
  private takeTree(root: FinishedSpan): FinishedSpan[] {
    const { traceId } = root.spanContext();
    const waiting = this.traces.get(traceId)?.spans;
    if (!waiting) return [];
    const children = new Map<string, FinishedSpan[]>();
    for (const span of waiting.values()) {
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
      if (!waiting.delete(spanId)) continue;
      tree.push(span);
      this.handedOut.add(traceId + spanId);
      reached.push(...(children.get(spanId) ?? []));
    }
    this.spanCount -= tree.length;
    if (waiting.size === 0) this.traces.delete(traceId);
    return tree;
  }

  private forget(nowMs: number): void {
    for (const [traceId, { spans, lastMs }] of this.traces) {
      if (this.spanCount <= this.limits.maxSpans && nowMs - lastMs <= this.limits.maxAgeMs) break;
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
