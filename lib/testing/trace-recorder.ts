/** Keeps finished spans in memory for tests. Tests can look them up, wait for them and print them as a tree. */
import type { SpanContext } from '@opentelemetry/api';
import { type FinishedSpan, toTraceSpan } from '../viewer/model/trace-span.js';
import { buildTraceTrees, type TraceNode, type TraceTree } from '../viewer/model/trace-tree.js';
import { errorTypeOf } from '../conventions/reading.js';
import { messages } from '../options/messages.js';

/** Selects a span: by its name, or by a function that returns `true` for it. @publicApi */
export type SpanQuery = string | ((span: FinishedSpan) => boolean);

/** The options of a wait. @publicApi */
export interface WaitOptions {
  /** The timeout in milliseconds. The error shows the tree of the recorded spans. @default 2000 */
  readonly timeoutMs?: number;
}

/** What a printed tree shows besides names, kinds and failures. @publicApi */
export interface TreeOptions {
  /** The attribute keys to print, in this order. @default [] */
  readonly attributes?: readonly string[];
}

/** A span that has started but not ended. @publicApi */
export interface StartedSpan {
  readonly name?: string;
  spanContext(): SpanContext;
}

/** `TraceFlags.SAMPLED`. */
const SAMPLED = 1;

// Stored before a test can replace them, so that waiting works under fake timers.
const { setTimeout, clearTimeout } = globalThis;

/**
 * Records every finished span. Give it to the module as `exporter`, or to your own provider as a span processor. Its spans stay readable
 * after `app.close()`.
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
  /** The start order of the spans that the recorder saw start. Clocks are too coarse for that. */
  private readonly starts = new Map<string, number>();
  private startCount = 0;
  /** Each function returns true if its wait is over. */
  private waits: readonly (() => boolean)[] = [];

  /** All finished spans, in the order of their ends. */
  get spans(): readonly FinishedSpan[] {
    return [...this.recorded.values()];
  }

  /** The spans whose parent is not recorded: there is none, it is in another process, or it has not finished. */
  get roots(): readonly FinishedSpan[] {
    return this.spans.filter(span => this.parentOf(span) === undefined);
  }

  /** Returns the first finished span that matches `query`, or undefined. */
  find(query: SpanQuery): FinishedSpan | undefined {
    return this.spans.find(typeof query === 'string' ? ({ name }) => name === query : query);
  }

  /** Returns the parent of `span`, or undefined if it is not recorded. */
  parentOf(span: FinishedSpan): FinishedSpan | undefined {
    return span.parentSpanContext && this.recorded.get(keyOf(span.parentSpanContext));
  }

  /** Resolves with the first finished span that matches `query`. Rejects after the timeout. */
  waitForSpan(query: SpanQuery, options?: WaitOptions): Promise<FinishedSpan> {
    return this.wait(
      () => this.find(query),
      typeof query === 'string' ? `a span "${query}"` : 'a span the given function accepts',
      options,
    );
  }

  /**
   * Resolves with all spans when there are `enough`: this number of spans, or when the function returns true. Rejects after the timeout.
   */
  waitForSpans(enough: number | ((spans: readonly FinishedSpan[]) => boolean), options?: WaitOptions): Promise<readonly FinishedSpan[]> {
    const isEnough = typeof enough === 'number' ? (spans: readonly FinishedSpan[]) => spans.length >= enough : enough;
    const wanted = typeof enough === 'number' ? `${enough} spans` : 'the spans the given function asks for';
    return this.wait(() => (isEnough(this.spans) ? this.spans : undefined), wanted, options);
  }

  /**
   * Resolves with the spans of a complete trace: its first span has finished, and no span of it is open. Without `traceId`, any complete
   * trace is accepted. Rejects after the timeout.
   */
  waitForTrace(traceId?: string, options?: WaitOptions): Promise<readonly FinishedSpan[]> {
    return this.wait(
      () => this.completeTrace(traceId),
      traceId === undefined ? 'a complete trace' : `the complete trace ${traceId}`,
      options,
    );
  }

  /** Deletes all recorded spans and forgets open ones. Waits continue. */
  clear(): void {
    this.recorded = new Map();
    this.open.clear();
    this.starts.clear();
  }

  /**
   * Returns the recorded spans as indented text that is the same on every run, for snapshots and failure messages. Each line is one span,
   * children below their parent in start order. It shows the kind unless internal, the status unless unset, and the chosen attributes.
   */
  tree(options?: TreeOptions): string {
    // Siblings with the same start time keep this order.
    const inOrderOfStart = this.spans
      .map((span, index) => ({ span, order: this.starts.get(keyOf(span.spanContext())) ?? index }))
      .sort((a, b) => a.order - b.order);
    return printTrees(buildTraceTrees(inOrderOfStart.map(({ span }) => toTraceSpan(span))), options);
  }

  /** A span processor calls this with finished spans. */
  export(spans: readonly FinishedSpan[], done?: (result: { code: number }) => void): void {
    for (const span of spans) this.record(span);
    done?.({ code: 0 });
    this.settleWaits();
  }

  /** The provider calls this when a span starts. */
  onStart(span: StartedSpan): void {
    const context = span.spanContext();
    // An exporter never receives unsampled spans.
    if ((context.traceFlags & SAMPLED) === 0) return;
    const key = keyOf(context);
    this.open.set(key, span);
    this.starts.set(key, (this.startCount += 1));
  }

  /** The provider calls this when a span has ended. */
  onEnd(span: FinishedSpan): void {
    this.record(span);
    this.settleWaits();
  }

  /** The provider calls this for a span that has ended and is not exported. @internal */
  onDiscard(span: FinishedSpan): void {
    this.open.delete(keyOf(span.spanContext()));
    this.settleWaits();
  }

  forceFlush(): Promise<void> {
    return Promise.resolve();
  }

  /** Keeps the recorded spans, so that tests can read them after the application has closed. */
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
      const settle = () => {
        try {
          const found = look();
          if (found === undefined) return false;
          resolve(found);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
        clearTimeout(timer);
        return true;
      };
      const timer = setTimeout(() => {
        this.waits = this.waits.filter(other => other !== settle);
        const open = Array.from(this.open.values(), span => span.name ?? span.spanContext().spanId);
        reject(new Error(messages.waitTimedOut(wanted, timeoutMs, this.tree(), open)));
      }, timeoutMs);
      if (!settle()) this.waits = [...this.waits, settle];
    });
  }

  private settleWaits(): void {
    if (this.waits.length > 0) this.waits = this.waits.filter(settle => !settle());
  }
}

function keyOf({ traceId, spanId }: SpanContext): string {
  return traceId + spanId;
}

/**
 * Returns `traces` as text: one line per span, children indented by two spaces. A line shows the service if it differs from the parent's,
 * the name and the kind unless internal. `ok` or `error` with its `error.type`, and attributes follow. Times and ids are left out.
 * @internal
 */
export function printTrees(traces: readonly TraceTree[], { attributes = [] }: TreeOptions = {}): string {
  const rows: { readonly node: TraceNode; readonly depth: number; readonly parentService?: string }[] = [];
  const waiting: typeof rows = traces.flatMap(({ roots }) => roots.map(node => ({ node, depth: 0 }))).reverse();
  for (let row = waiting.pop(); row; row = waiting.pop()) {
    const { node, depth } = row;
    rows.push(row);
    for (const child of [...node.children].reverse()) waiting.push({ node: child, depth: depth + 1, parentService: node.span.service });
  }
  const services = new Set(rows.map(({ node }) => node.span.service));
  // With one service only, its name is not printed before the roots.
  const [usual] = services.size === 1 ? services : [];
  return rows.map(({ node, depth, parentService = usual }) => '  '.repeat(depth) + describe(node, parentService, attributes)).join('\n');
}

function describe({ span }: TraceNode, parentService: string | undefined, keys: readonly string[]): string {
  const { service, name, kind, status, attributes } = span;
  const type = errorTypeOf(attributes);
  const words = [
    service === parentService ? '' : `${service}:`,
    name,
    kind === 'internal' ? '' : `(${kind})`,
    status === 'unset' ? '' : status === 'error' && type !== undefined ? `error=${type}` : status,
    ...keys.map(key => (attributes[key] === undefined ? '' : `${key}=${JSON.stringify(attributes[key])}`)),
  ];
  return words.filter(word => word !== '').join(' ');
}
