/** Holds the finished spans of each local root until its end. Then they are dropped, or they leave for the exporters. */
import type { Context } from '@opentelemetry/api';
import { TraceFlags } from '@opentelemetry/api';
import { hrTimeToMilliseconds } from '@opentelemetry/core';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-node';
import { type KeepReason, recordKept } from '../../conventions/retention.js';
import type { ResolvedFoldOptions } from '../../options/resolved-retention.js';
import { wallTime } from '../../spans/clock.js';
import { fold, withParent } from './fold.js';
import { hasFailed, type KeepRule } from './keep-rule.js';
import { type HeldRoot, heldRootOf, type StartedSpan } from './local-root.js';
import { bytesOf } from './span-bytes.js';

/** What follows after the decision: an exporter with its queue, or the viewer. @internal */
export interface Outlet {
  onStart(span: StartedSpan, parent: Context): void;
  onEnd(span: ReadableSpan): void;
  /** Called instead of `onEnd` if the span is dropped. */
  discard?(span: ReadableSpan): void;
  forceFlush(): Promise<void>;
  shutdown(): Promise<void>;
}

/** How many folded spans of a local root are remembered, for spans below them that end later. It may run for ever. */
const MAX_STAND_INS = 10_000;

/** How much is held at most. @internal */
export interface RetentionLimits {
  readonly maxSpans: number;
  readonly maxBytes: number;
  readonly maxWaitMs: number;
}

/** @internal */
export class Retention {
  /** How many local roots were decided before their end, because too much was held, or something for too long. */
  decidedEarly = 0;
  /** How many of their spans were dropped then. */
  discardedEarly = 0;
  private spans = 0;
  private bytes = 0;
  private oldest: HeldRoot | undefined;
  private newest: HeldRoot | undefined;
  private timer: NodeJS.Timeout | undefined;

  /** Without `keep`, all local roots are kept. Without `folding`, all of their spans are. */
  constructor(
    private readonly keep: KeepRule | undefined,
    private readonly folding: ResolvedFoldOptions | undefined,
    private readonly limits: RetentionLimits,
    private readonly outlets: readonly Outlet[],
  ) {}

  onStart(span: StartedSpan, parent: Context): void {
    for (const outlet of this.outlets) outlet.onStart(span, parent);
  }

  /** Decides at the end of a local root, while the span can still be changed. */
  onEnding(span: StartedSpan): void {
    const root = heldRootOf(span);
    if (root?.span !== span || this.keep === undefined) return;
    root.reason ??= this.keep.decide(root, hrTimeToMilliseconds(span.duration), true);
    if (root.reason !== undefined) recordKept(span, root.reason, root.discarded);
  }

  onEnd(span: ReadableSpan): void {
    if ((span.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return;
    const root = heldRootOf(span);
    if (root === undefined) this.pass(span, undefined);
    else if (root.span === span) this.close(root);
    else if (root.isDecided) this.follow(root, span);
    else this.hold(root, span);
  }

  /** Decides on everything that is held, and exports what is kept. */
  async forceFlush(): Promise<void> {
    this.decideAll();
    await Promise.allSettled(this.outlets.map(outlet => outlet.forceFlush()));
  }

  async shutdown(): Promise<void> {
    this.decideAll();
    clearTimeout(this.timer);
    await Promise.allSettled(this.outlets.map(outlet => outlet.shutdown()));
  }

  private hold(root: HeldRoot, span: ReadableSpan): void {
    if (hasFailed(span)) root.hasFailed = true;
    const bytes = bytesOf(span);
    root.held.push(span);
    root.heldBytes += bytes;
    this.spans += 1;
    this.bytes += bytes;
    if (!root.isListed) this.enlist(root);
    const { maxSpans, maxBytes } = this.limits;
    while (this.oldest !== undefined && (this.spans > maxSpans || this.bytes > maxBytes)) this.decideNow(this.oldest, true);
  }

  /** The local root has ended. */
  private close(root: HeldRoot): void {
    const isKept = this.keep === undefined || root.reason !== undefined;
    const wasDecided = root.isDecided;
    root.isDecided = true;
    const held = this.release(root);
    const { span } = root;
    if (wasDecided) this.follow(root, span);
    else if (isKept) this.leave(root, [...held, span]);
    else this.drop([...held, span]);
  }

  /** Decides on a local root that still runs. What is dropped now is lost; later spans of it are held again, also to fold them. */
  private decideNow(root: HeldRoot, isForced: boolean): void {
    if (isForced && !root.isEarly) this.decidedEarly += 1;
    if (isForced) root.isEarly = true;
    const elapsedMs = wallTime() - hrTimeToMilliseconds(root.span.startTime);
    root.reason ??= this.keep?.decide(root, elapsedMs, false);
    const held = this.release(root);
    if (this.keep === undefined || root.reason !== undefined) {
      root.isDecided = this.folding === undefined;
      this.leave(root, held);
    } else {
      root.discarded += held.length;
      if (isForced) this.discardedEarly += held.length;
      this.drop(held);
    }
  }

  private decideAll(): void {
    while (this.oldest !== undefined) this.decideNow(this.oldest, false);
  }

  private leave(root: HeldRoot, spans: readonly ReadableSpan[]): void {
    const folded = this.folding === undefined ? undefined : fold(spans, this.folding);
    for (const span of folded?.spans ?? spans) this.pass(inPlace(root, span), root.reason);
    if (folded === undefined) return;
    const before = root.folded === undefined || root.folded.size > MAX_STAND_INS ? [] : root.folded;
    root.folded = new Map([...before, ...folded.standIns]);
    this.drop(folded.gone);
  }

  /** A span that ends after the decision on its local root follows it. */
  private follow(root: HeldRoot, span: ReadableSpan): void {
    if (this.keep !== undefined && root.reason === undefined) this.drop([span]);
    else this.pass(inPlace(root, span), root.reason);
  }

  private pass(span: ReadableSpan, reason: KeepReason | undefined): void {
    if (reason !== undefined && this.keep !== undefined) {
      const context = span.spanContext();
      context.traceState = this.keep.stateOf(context.traceState, reason);
    }
    for (const outlet of this.outlets) outlet.onEnd(span);
  }

  private drop(spans: readonly ReadableSpan[]): void {
    for (const outlet of this.outlets) {
      if (outlet.discard !== undefined) for (const span of spans) outlet.discard(span);
    }
  }

  /** Adds a local root to the list, as the newest one. */
  private enlist(root: HeldRoot): void {
    root.isListed = true;
    root.heldSince = performance.now();
    root.older = this.newest;
    if (this.newest !== undefined) this.newest.newer = root;
    this.newest = root;
    this.oldest ??= root;
    this.timer ??= this.watch(this.limits.maxWaitMs);
  }

  /** Removes a local root from the list. Returns the spans that it held. */
  private release(root: HeldRoot): readonly ReadableSpan[] {
    if (!root.isListed) return [];
    const { held, older, newer } = root;
    this.spans -= held.length;
    this.bytes -= root.heldBytes;
    if (older === undefined) this.oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.newest = older;
    else newer.older = older;
    root.older = root.newer = undefined;
    root.isListed = false;
    root.held = [];
    root.heldBytes = 0;
    return held;
  }

  private watch(delayMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.timer = undefined;
      const { maxWaitMs } = this.limits;
      const now = performance.now();
      while (this.oldest !== undefined && now - this.oldest.heldSince >= maxWaitMs) this.decideNow(this.oldest, true);
      if (this.oldest !== undefined) this.timer = this.watch(Math.max(1, this.oldest.heldSince + maxWaitMs - now));
    }, delayMs).unref();
  }
}

/** Returns a span whose parent was folded with the span that stands for its parent. */
function inPlace({ folded }: HeldRoot, span: ReadableSpan): ReadableSpan {
  const parent = span.parentSpanContext === undefined ? undefined : folded?.get(span.parentSpanContext.spanId);
  return parent === undefined ? span : withParent(span, parent.spanContext());
}
