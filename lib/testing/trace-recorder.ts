/** Keeps finished spans in memory for tests: look them up, wait for them, print them as a tree. */
import type { SpanContext } from '@opentelemetry/api';
import { type FinishedSpan, toTraceSpan } from '../viewer/model/trace-span.js';
import { buildTraceTrees } from '../viewer/model/trace-tree.js';
import { messages } from '../tracing.messages.js';
import { printTrees, type TreeOptions } from './print-tree.js';

/** Which span is meant: the one of this name, or one the function returns `true` for. @publicApi */
export type SpanQuery = string | ((span: FinishedSpan) => boolean);

/** How long to wait. @publicApi */
export interface WaitOptions {
  /** After this many milliseconds the wait fails with the tree of what was recorded. @default 2000 */
  readonly timeoutMs?: number;
}

/** A span that has started and not ended. @publicApi */
export interface StartedSpan {
  readonly name?: string;
  spanContext(): SpanContext;
}

interface Waiter {
  /** Returns whether the wait is over. */
  settle(): boolean;
}

/** `TraceFlags.SAMPLED`. */
const SAMPLED = 1;

// Taken before a test can replace them: waiting works under fake timers too.
const { setTimeout, clearTimeout } = globalThis;

/**
 * Records every finished span. Give it to the module as exporter; a provider of your own takes it as a span processor as well. Its spans
 * stay readable after `app.close()`.
 *
 * @example
 * const recorder = new TraceRecorder();
 * Test.createTestingModule({ imports: [TracingModule.forRoot({ exporter: recorder }), OrdersModule] });
 * await recorder.waitForSpan('GET /orders/:id');
 * @publicApi
 */
export class TraceRecorder {
  private recorded = new Map<string, FinishedSpan>();
  private readonly open = new Map<string, StartedSpan>();
  /** Where the recorder sees spans start, their order; clocks are too coarse to tell it. */
  private readonly starts = new Map<string, number>();
  private startCount = 0;
  private waiters: readonly Waiter[] = [];

  /** All spans that have finished, in the order of their ends. */
  get spans(): readonly FinishedSpan[] {
    return [...this.recorded.values()];
  }

  /** The spans whose parent is not recorded: it does not exist, is in another process or has not finished. */
  get roots(): readonly FinishedSpan[] {
    return this.spans.filter(span => this.parentOf(span) === undefined);
  }

  /** The first finished span that `query` means. */
  find(query: SpanQuery): FinishedSpan | undefined {
    return this.spans.find(matcher(query));
  }

  /** The parent of `span`, if it is recorded. */
  parentOf(span: FinishedSpan): FinishedSpan | undefined {
    return span.parentSpanContext && this.recorded.get(keyOf(span.parentSpanContext));
  }

  /** Resolves with the first span that `query` means, at once or when it finishes. */
  waitForSpan(query: SpanQuery, options?: WaitOptions): Promise<FinishedSpan> {
    return this.wait(
      () => this.find(query),
      typeof query === 'string' ? `a span "${query}"` : 'a span the given function accepts',
      options,
    );
  }

  /** Resolves with all spans as soon as there are `enough` of them: so many, or what the function says. */
  waitForSpans(enough: number | ((spans: readonly FinishedSpan[]) => boolean), options?: WaitOptions): Promise<readonly FinishedSpan[]> {
    const isEnough = typeof enough === 'number' ? (spans: readonly FinishedSpan[]) => spans.length >= enough : enough;
    const wanted = typeof enough === 'number' ? `${enough} spans` : 'the spans the given function asks for';
    return this.wait(() => (isEnough(this.spans) ? this.spans : undefined), wanted, options);
  }

  /**
   * Resolves with the spans of a trace when it is complete: its first span has finished and none that the recorder saw start is open.
   * Without `traceId` any complete trace will do.
   */
  waitForTrace(traceId?: string, options?: WaitOptions): Promise<readonly FinishedSpan[]> {
    return this.wait(
      () => this.completeTrace(traceId),
      traceId === undefined ? 'a complete trace' : `the complete trace ${traceId}`,
      options,
    );
  }

  /** Forgets the spans recorded so far, and that others have started; waits go on. */
  clear(): void {
    this.recorded = new Map();
    this.open.clear();
    this.starts.clear();
  }

  /**
   * What was recorded as indented text that is the same on every run, for snapshots and failure messages: one line per span, children
   * in order of start below their parent, with kind (unless internal), status (unless unset) and the chosen attributes.
   */
  tree(options?: TreeOptions): string {
    // Siblings that started within one tick of the clock stay in this order.
    const inOrderOfStart = this.spans
      .map((span, index) => ({ span, order: this.starts.get(keyOf(span.spanContext())) ?? index }))
      .sort((a, b) => a.order - b.order);
    return printTrees(buildTraceTrees(inOrderOfStart.map(({ span }) => toTraceSpan(span))), options);
  }

  /** Called by a span processor with finished spans. */
  export(spans: readonly FinishedSpan[], done?: (result: { code: number }) => void): void {
    for (const span of spans) this.record(span);
    done?.({ code: 0 });
    this.settleWaits();
  }

  /** Called by a provider when a span starts. */
  onStart(span: StartedSpan): void {
    const context = span.spanContext();
    // An exporter would never get the others.
    if ((context.traceFlags & SAMPLED) === 0) return;
    const key = keyOf(context);
    this.open.set(key, span);
    this.starts.set(key, (this.startCount += 1));
  }

  /** Called by a provider when a span has ended. */
  onEnd(span: FinishedSpan): void {
    this.record(span);
    this.settleWaits();
  }

  forceFlush(): Promise<void> {
    return Promise.resolve();
  }

  /** Keeps what was recorded, for assertions after the application has been closed. */
  shutdown(): Promise<void> {
    return Promise.resolve();
  }

  private record(span: FinishedSpan): void {
    const context = span.spanContext();
    this.open.delete(keyOf(context));
    if ((context.traceFlags & SAMPLED) !== 0) this.recorded.set(keyOf(context), span);
  }

  private completeTrace(traceId: string | undefined): readonly FinishedSpan[] | undefined {
    for (const first of this.spans) {
      const id = first.spanContext().traceId;
      if (traceId !== undefined && id !== traceId) continue;
      const isFirst = first.parentSpanContext === undefined || (first.parentSpanContext.isRemote === true && !this.parentOf(first));
      if (isFirst && ![...this.open.values()].some(span => span.spanContext().traceId === id)) {
        return this.spans.filter(span => span.spanContext().traceId === id);
      }
    }
    return undefined;
  }

  private wait<T>(look: () => T | undefined, wanted: string, { timeoutMs = 2000 }: WaitOptions = {}): Promise<T> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        settle: () => {
          try {
            const found = look();
            if (found === undefined) return false;
            resolve(found);
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
          clearTimeout(timer);
          return true;
        },
      };
      const timer = setTimeout(() => {
        this.waiters = this.waiters.filter(other => other !== waiter);
        reject(new Error(messages.waitedInVain(wanted, timeoutMs, this.tree(), [...this.open.values()].map(nameOf))));
      }, timeoutMs);
      if (!waiter.settle()) this.waiters = [...this.waiters, waiter];
    });
  }

  private settleWaits(): void {
    if (this.waiters.length > 0) this.waiters = this.waiters.filter(waiter => !waiter.settle());
  }
}

function keyOf({ traceId, spanId }: SpanContext): string {
  return traceId + spanId;
}

function nameOf(span: StartedSpan): string {
  return span.name ?? span.spanContext().spanId;
}

function matcher(query: SpanQuery): (span: FinishedSpan) => boolean {
  return typeof query === 'string' ? span => span.name === query : query;
}
