/** Delivers spans to an exporter through a bounded queue, or to a user's processor. It catches errors and counts dropped spans. */
import { type Context, context, ROOT_CONTEXT, TraceFlags } from '@opentelemetry/api';
import { ExportResultCode, suppressTracing } from '@opentelemetry/core';
import {
  BatchSpanProcessor,
  type ReadableSpan,
  SimpleSpanProcessor,
  type SpanExporter,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-node';
import { quietly } from '../spans/context.js';
import { InFlight, type InFlightMember, NOWHERE } from '../spans/in-flight.js';
import { classOf } from '../options/checks.js';
import { reportTrouble } from '../options/trouble.js';
import { messages } from '../options/messages.js';
import { explain, isTooLarge, PartialFailure, type Place } from './otlp/export-failure.js';

/** The limits of the queue and of the time for an export. @internal */
export interface BatchLimits {
  readonly maxQueueSize: number;
  readonly maxExportBatchSize: number;
  readonly scheduledDelayMillis: number;
  readonly exportTimeoutMillis: number;
}

/** How many spans were dropped, and why. */
interface Losses {
  /** The queue was full. */
  queueFull: number;
  /** The exporter refused them, threw an error or did not answer. */
  exportFailed: number;
  /** They were in flight when the deadline for closing passed. */
  deadlinePassed: number;
}

type StartedSpan = Parameters<SpanProcessor['onStart']>[0];
type Done = Parameters<SpanExporter['export']>[1];

// Exporters run outside of all request contexts. Otherwise their connections would keep request data in memory.
const UNTRACED = suppressTracing(ROOT_CONTEXT);

/** @internal */
export class Delivery implements SpanProcessor {
  readonly losses: Losses = { queueFull: 0, exportFailed: 0, deadlinePassed: 0 };
  private readonly processor: SpanProcessor;
  private readonly watcher: GuardedProcessor | undefined;
  private readonly batches = new InFlight<BatchInFlight>();
  /** Spans in the queue of the processor. */
  private waiting = 0;
  /** Spans that the exporter has not confirmed. */
  private inFlight = 0;
  private isClosing = false;
  private isAbandoned = false;

  constructor(
    readonly name: string,
    private readonly exporter: SpanExporter,
    private readonly limits: BatchLimits,
    how: 'in batches' | 'at once',
    private readonly place?: Place,
  ) {
    if (isWatcher(exporter)) this.watcher = new GuardedProcessor(exporter);
    const outlet: SpanExporter = { export: (spans, done) => this.exportBatch(spans, done), shutdown: () => this.shutExporterDown() };
    // BatchInFlight limits the time of an export. The limit of the processor must be longer.
    const exportTimeoutMillis = Math.min(limits.exportTimeoutMillis * 2 + 1000, 2 ** 31 - 1);
    this.processor =
      how === 'in batches' ? new BatchSpanProcessor(outlet, { ...limits, exportTimeoutMillis }) : new SimpleSpanProcessor(outlet);
  }

  /** True if the exporter also sees spans when they start. */
  get seesStarts(): boolean {
    return this.watcher !== undefined;
  }

  onStart(span: StartedSpan, parent: Context): void {
    this.watcher?.onStart(span, parent);
  }

  onEnd(span: ReadableSpan): void {
    if (this.isClosing || (span.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return;
    // The processor would drop spans silently. Exports that never answer hold at most two queue sizes of spans.
    if (this.waiting >= this.limits.maxQueueSize || this.inFlight >= this.limits.maxQueueSize * 2) {
      this.lose('queueFull', 1, messages.queueFull(this.name, this.limits.maxQueueSize));
      return;
    }
    this.waiting++;
    this.processor.onEnd(span);
  }

  /** Tells an exporter that saw the span start that it will not get the span. */
  discard(span: ReadableSpan): void {
    this.watcher?.discard(span);
  }

  async forceFlush(): Promise<void> {
    await this.processor.forceFlush();
    await this.allAnswered();
    await context.with(UNTRACED, () => this.exporter.forceFlush?.());
  }

  /** Gives the queued spans to the exporter. It does not wait for earlier batches. */
  exportWaiting(): Promise<void> {
    void this.processor.forceFlush();
    return Promise.resolve();
  }

  async shutdown(): Promise<void> {
    this.isClosing = true;
    await this.processor.shutdown();
  }

  /** Stops waiting for the exporter. Spans that it has not confirmed are counted as dropped. */
  abandon(): void {
    this.isAbandoned = true;
    this.losses.deadlinePassed += this.waiting;
    this.waiting = 0;
    for (const batch of this.batches.all()) batch.settle('deadlinePassed');
  }

  private exportBatch(spans: ReadableSpan[], done: Done): void {
    this.waiting = Math.max(0, this.waiting - spans.length);
    this.inFlight += spans.length;
    void this.send(spans, () => {
      this.inFlight -= spans.length;
      // This class counts and logs failures. The processor would log each of them again.
      done({ code: ExportResultCode.SUCCESS });
    });
  }

  /** Sends `spans` and calls `settled` when they are delivered or dropped. A batch that is too large is halved and sent again. */
  private send(spans: ReadableSpan[], settled: () => void): Promise<void> {
    const batch = new BatchInFlight((loss, error) => {
      this.batches.remove(batch);
      if (loss === 'exportFailed' && spans.length > 1 && !this.isAbandoned && isTooLarge(error)) return this.sendHalves(spans, settled);
      if (loss === 'exportFailed') this.failed(spans, error);
      else if (loss !== undefined) this.losses[loss] += spans.length;
      settled();
      return undefined;
    });
    this.batches.add(batch);
    if (this.isAbandoned) batch.settle(undefined);
    else context.with(UNTRACED, () => batch.send(this.exporter, spans, this.limits.exportTimeoutMillis));
    return batch.answered;
  }

  private sendHalves(spans: ReadableSpan[], settled: () => void): Promise<void> {
    const middle = Math.ceil(spans.length / 2);
    return new Promise(resolve => {
      void this.send(spans.slice(0, middle), () => {
        if (this.isAbandoned) this.losses.deadlinePassed += spans.length - middle;
        resolve(this.send(spans.slice(middle), settled));
      });
    });
  }

  private failed(spans: readonly ReadableSpan[], error: unknown): void {
    if (error instanceof PartialFailure) {
      const reason = error.reason === '' ? '' : ` (${error.reason})`;
      const kind = error.refused === 0 ? 'warning' : 'refused';
      this.lose('exportFailed', error.refused, messages.partlyRefused(this.name, error.refused, spans.length, reason), undefined, kind);
      return;
    }
    const explained = explain(error, this.place);
    if (explained === undefined) {
      this.lose('exportFailed', spans.length, messages.exportFailed(this.name), error);
      return;
    }
    const [first] = spans;
    const what = isTooLarge(error) && first !== undefined ? `${explained.what}, for a single span (${first.name})` : explained.what;
    this.lose('exportFailed', spans.length, messages.exportRefused(this.name, what, explained.advice), undefined, explained.kind);
  }

  private async shutExporterDown(): Promise<void> {
    await this.allAnswered();
    await context.with(UNTRACED, () => this.exporter.shutdown());
  }

  private async allAnswered(): Promise<void> {
    await Promise.all(this.batches.all().map(batch => batch.answered));
  }

  /** Counts dropped spans. The message is logged once for each `kind`. */
  private lose(why: keyof Losses, count: number, message: string, error?: unknown, kind: string = why): void {
    this.losses[why] += count;
    reportTrouble(`delivery:${this.name}:${kind}`, message, error);
  }
}

/** One call of the exporter. It settles once: by an answer, an error, a timeout, or when the application stops waiting. */
class BatchInFlight implements InFlightMember {
  place = NOWHERE;
  readonly answered: Promise<void>;
  private resolveAnswered: (further?: Promise<void>) => void = () => undefined;
  private timer: NodeJS.Timeout | undefined;
  private isSettled = false;

  /** `answered` also waits for the promise that `onSettled` returns. */
  constructor(private readonly onSettled: (loss: keyof Losses | undefined, error?: unknown) => Promise<void> | undefined) {
    this.answered = new Promise(resolve => {
      this.resolveAnswered = resolve;
    });
  }

  send(exporter: SpanExporter, spans: ReadableSpan[], timeoutMs: number): void {
    const failed = (error: unknown): void => {
      this.settle('exportFailed', error);
    };
    // By its type, `export()` is not async. If it still returns a promise, its rejection must be handled.
    const start: (...args: Parameters<SpanExporter['export']>) => unknown = exporter.export.bind(exporter);
    try {
      const returned = start(spans, result => {
        if (result?.code === ExportResultCode.SUCCESS) this.settle(undefined);
        else failed(result?.error);
      });
      if (returned !== undefined) Promise.resolve(returned).catch(failed);
    } catch (error) {
      failed(error);
    }
    if (!this.isSettled) this.timer = setTimeout(() => failed(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs).unref();
  }

  settle(loss: keyof Losses | undefined, error?: unknown): void {
    if (this.isSettled) return;
    this.isSettled = true;
    clearTimeout(this.timer);
    this.resolveAnswered(this.onSettled(loss, error));
  }
}

/** True if the exporter also sees spans when they start, as TraceRecorder does. @internal */
export function isWatcher(exporter: object): exporter is SpanProcessor {
  return 'onStart' in exporter && typeof exporter.onStart === 'function';
}

/** Wraps a user's span processor and catches its errors, so that they do not reach the traced code. @internal */
export class GuardedProcessor implements SpanProcessor {
  constructor(private readonly processor: SpanProcessor) {}

  onStart(span: StartedSpan, parent: Context): void {
    try {
      quietly(() => this.processor.onStart(span, parent));
    } catch (error) {
      this.report('onStart', error);
    }
  }

  onEnding(span: StartedSpan): void {
    try {
      quietly(() => this.processor.onEnding?.(span));
    } catch (error) {
      this.report('onEnding', error);
    }
  }

  onEnd(span: ReadableSpan): void {
    try {
      quietly(() => this.processor.onEnd(span));
    } catch (error) {
      this.report('onEnd', error);
    }
  }

  /** Called for a span that is not exported. Of the known processors, only `TraceRecorder` has a method for it. */
  discard(span: ReadableSpan): void {
    try {
      const processor: SpanProcessor & { onDiscard?(span: ReadableSpan): void } = this.processor;
      quietly(() => processor.onDiscard?.(span));
    } catch (error) {
      this.report('onDiscard', error);
    }
  }

  forceFlush(): Promise<void> {
    return this.finish('forceFlush');
  }

  shutdown(): Promise<void> {
    return this.finish('shutdown');
  }

  private async finish(method: 'forceFlush' | 'shutdown'): Promise<void> {
    try {
      await this.processor[method]();
    } catch (error) {
      this.report(method, error);
    }
  }

  private report(method: string, error: unknown): void {
    const name = classOf(this.processor);
    reportTrouble(`processor:${name}.${method}`, messages.processorFailed(name, method), error);
  }
}
