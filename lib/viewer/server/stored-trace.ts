/** One trace as the viewer keeps it: its spans, and what the list shows of it, kept up to date span by span. */
import { answer } from '../../conventions/reading.js';
import type { TraceSpan } from '../model/trace-span.js';
import type { TraceSummary } from '../model/wire.js';

/** Of names in the list, which is told to every page that looks; a trace that is opened has them whole. */
const MAX_LISTED_NAME = 300;
/** Services of a trace that are told; the list has room for three. */
const MAX_LISTED_SERVICES = 100;

/** @internal */
export class StoredTrace {
  /** By id, in order of arrival. */
  readonly spans = new Map<string, TraceSpan>();
  /** Grows with every change, over all traces. */
  revision = 0;
  /** Spans that were not taken in for want of room. */
  droppedSpans = 0;
  /** As estimated. */
  bytes = 0;
  startNs = 0n;
  private endNs = 0n;
  private errorCount = 0;
  /** Resources and scopes whose bytes are counted here. */
  readonly shared = new Set<object>();
  private readonly spansOfService = new Map<string, number>();
  /** The topmost span; `undefined` where it has to be looked for. */
  private topmost: TraceSpan | undefined;

  constructor(readonly traceId: string) {}

  get durationNs(): number {
    return Number(this.endNs - this.startNs);
  }

  /** A span whose id is not here yet. */
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

  /** A span without parent here; of spans in a circle, which have no topmost one, the earliest. */
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

/** A root goes before a span whose parent is missing, whatever a clock in another service says. */
function isAbove(span: TraceSpan, other: TraceSpan): boolean {
  const isRoot = span.parentSpanId === undefined;
  return isRoot === (other.parentSpanId === undefined) ? span.startNs < other.startNs : isRoot;
}

function cut(text = ''): string {
  return text.length > MAX_LISTED_NAME ? text.slice(0, MAX_LISTED_NAME) : text;
}

function listedAnswer(top: TraceSpan | undefined): string | undefined {
  const answered = top && answer(top.attributes);
  return answered && cut(answered);
}
