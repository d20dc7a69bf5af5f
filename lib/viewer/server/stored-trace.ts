/** One trace in the store: its spans, and its summary for the list, which is updated with each span. */
import { answer } from '../../conventions/reading.js';
import type { TraceSpan } from '../model/trace-span.js';
import type { TraceSummary } from '../model/wire.js';

/** The most characters of a name in the list. The page of the trace shows the whole name. */
const MAX_LISTED_NAME = 300;
/** The most services of a trace in the list. The page has room for three of them. */
const MAX_LISTED_SERVICES = 100;

/** @internal */
export class StoredTrace {
  /** By span id, in the order in which the spans were received. */
  readonly spans = new Map<string, TraceSpan>();
  /** The number of the last change of this trace. The store counts the changes of all traces. */
  revision = 0;
  /** The number of spans that were dropped because the trace was full. */
  droppedSpans = 0;
  /** The estimated memory. */
  bytes = 0;
  startNs = 0n;
  private endNs = 0n;
  private errorCount = 0;
  /** The resources and scopes that `bytes` contains. */
  readonly shared = new Set<object>();
  private readonly spansOfService = new Map<string, number>();
  /** The topmost span; `undefined` if it must be searched again. */
  private topmost: TraceSpan | undefined;

  constructor(readonly traceId: string) {}

  get durationNs(): number {
    return Number(this.endNs - this.startNs);
  }

  /** Adds a span whose id is not in the trace yet. */
  add(span: TraceSpan, bytes: number): void {
    const isFirst = this.spans.size === 0;
    this.spans.set(span.spanId, span);
    this.shared.add(span.resource).add(span.scope);
    this.bytes += bytes;
    if (isFirst || span.startNs < this.startNs) this.startNs = span.startNs;
    if (isFirst || span.endNs > this.endNs) this.endNs = span.endNs;
    if (span.status === 'error') this.errorCount++;
    this.spansOfService.set(span.service, (this.spansOfService.get(span.service) ?? 0) + 1);
    const { topmost } = this;
    if (isFirst) this.topmost = span;
    else if (topmost?.parentSpanId === span.spanId) this.topmost = undefined;
    else if (topmost !== undefined && this.isTop(span) && isAbove(span, topmost)) this.topmost = span;
  }

  summary(): TraceSummary {
    const top = (this.topmost ??= this.findTopmost());
    return {
      traceId: this.traceId,
      name: cut(top?.name),
      service: cut(top?.service),
      kind: top?.kind ?? 'internal',
      isError: top?.status === 'error',
      answer: listedAnswer(top),
      isRootMissing: top?.parentSpanId !== undefined,
      services: this.listedServices(),
      startNs: String(this.startNs),
      durationNs: this.durationNs,
      spanCount: this.spans.size,
      errorCount: this.errorCount,
      revision: this.revision,
    };
  }

  private listedServices(): { name: string; spanCount: number }[] {
    const services: { name: string; spanCount: number }[] = [];
    for (const [name, spanCount] of this.spansOfService) {
      if (services.length === MAX_LISTED_SERVICES) break;
      services.push({ name: cut(name), spanCount });
    }
    return services;
  }

  /** Returns the earliest span without a parent in this trace; the earliest of all spans if the parents form a cycle. */
  private findTopmost(): TraceSpan | undefined {
    let top: TraceSpan | undefined;
    let earliest: TraceSpan | undefined;
    for (const span of this.spans.values()) {
      if (this.isTop(span) && (top === undefined || isAbove(span, top))) top = span;
      if (earliest === undefined || span.startNs < earliest.startNs) earliest = span;
    }
    return top ?? earliest;
  }

  private isTop({ parentSpanId, spanId }: TraceSpan): boolean {
    return parentSpanId === undefined || parentSpanId === spanId || !this.spans.has(parentSpanId);
  }
}

/** A root comes before a span whose parent is missing, even if the clock of another service shows an earlier start. */
function isAbove(span: TraceSpan, other: TraceSpan): boolean {
  const isRoot = span.parentSpanId === undefined;
  return isRoot === (other.parentSpanId === undefined) ? span.startNs < other.startNs : isRoot;
}

function cut(text = ''): string {
  return text.length > MAX_LISTED_NAME ? text.slice(0, MAX_LISTED_NAME) : text;
}

function listedAnswer(top: TraceSpan | undefined): string | undefined {
  const status = top && answer(top.attributes);
  return status && cut(status);
}
