/** Brings finished spans to one exporter, whatever the exporter does: bounded, guarded, and counting what gets lost. */
import { type Context, context, ROOT_CONTEXT, TraceFlags } from '@opentelemetry/api';
import { ExportResultCode, suppressTracing } from '@opentelemetry/core';
import {
  BatchSpanProcessor,
  type ReadableSpan,
  SimpleSpanProcessor,
  type SpanExporter,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-node';
import { reportTrouble } from '../local/trouble.js';
import { messages } from '../tracing.messages.js';
import { GuardedProcessor } from './guarded-processor.js';
import type { BatchLimits } from './limits.js';

/** How many spans were lost, and why. @internal */
export interface Losses {
  /** There was no room for them. */
  queueFull: number;
  /** The exporter refused them, threw or never answered. */
  exportFailed: number;
  /** They were on their way when the application stopped waiting. */
  deadlinePassed: number;
}

type StartedSpan = Parameters<SpanProcessor['onStart']>[0];
type Done = Parameters<SpanExporter['export']>[1];

// Exporters call out under no request's context, or its data would live as long as their connections.
const QUIET = suppressTracing(ROOT_CONTEXT);

/** @internal */
export class Delivery implements SpanProcessor {
  readonly losses: Losses = { queueFull: 0, exportFailed: 0, deadlinePassed: 0 };
  private readonly processor: SpanProcessor;
  private readonly watcher: GuardedProcessor | undefined;
  private readonly onTheirWay = new Set<Shipment>();
  /** Spans that the processor holds. */
  private waiting = 0;
  /** Spans that the exporter holds. */
  private inFlight = 0;
  private isClosing = false;
  private isAbandoned = false;

  constructor(
    readonly name: string,
    private readonly exporter: SpanExporter,
    private readonly limits: BatchLimits,
    how: 'in batches' | 'at once',
  ) {
    if (isWatcher(exporter)) this.watcher = new GuardedProcessor(exporter);
    const outlet: SpanExporter = { export: (spans, done) => this.ship(spans, done), shutdown: () => this.shutExporterDown() };
    // The deadline for an export is ours, see ship(); the processor's own is there for nothing but comes later.
    const exportTimeoutMillis = Math.min(limits.exportTimeoutMillis * 2 + 1000, 2 ** 31 - 1);
    this.processor =
      how === 'in batches' ? new BatchSpanProcessor(outlet, { ...limits, exportTimeoutMillis }) : new SimpleSpanProcessor(outlet);
  }

  onStart(span: StartedSpan, parent: Context): void {
    this.watcher?.onStart(span, parent);
  }

  onEnd(span: ReadableSpan): void {
    if (this.isClosing || (span.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return;
    // The queue's own bound would drop silently; in flight are at most as many again, from exports that never answer.
    if (this.waiting >= this.limits.maxQueueSize || this.inFlight >= this.limits.maxQueueSize * 2) {
      this.lose('queueFull', 1, messages.queueFull(this.name, this.limits.maxQueueSize));
      return;
    }
    this.waiting++;
    this.processor.onEnd(span);
  }

  async forceFlush(): Promise<void> {
    await this.processor.forceFlush();
    await this.arrivals();
    await context.with(QUIET, () => this.exporter.forceFlush?.());
  }

  async shutdown(): Promise<void> {
    this.isClosing = true;
    await this.processor.shutdown();
  }

  /** Stops waiting for the exporter: what it has not taken by now is lost. */
  abandon(): void {
    this.isAbandoned = true;
    this.losses.deadlinePassed += this.waiting;
    this.waiting = 0;
    for (const shipment of this.onTheirWay) shipment.settle('deadlinePassed');
  }

  private ship(spans: ReadableSpan[], done: Done): void {
    this.waiting = Math.max(0, this.waiting - spans.length);
    this.inFlight += spans.length;
    const shipment = new Shipment((loss, error) => {
      this.onTheirWay.delete(shipment);
      this.inFlight -= spans.length;
      if (loss !== undefined) this.lose(loss, spans.length, messages.exportFailed(this.name), error);
      // The loss is counted and said; told of it, the processor would say it again, each time.
      done({ code: ExportResultCode.SUCCESS });
    });
    this.onTheirWay.add(shipment);
    if (this.isAbandoned) shipment.settle(undefined);
    else context.with(QUIET, () => shipment.send(this.exporter, spans, this.limits.exportTimeoutMillis));
  }

  private async shutExporterDown(): Promise<void> {
    await this.arrivals();
    await context.with(QUIET, () => this.exporter.shutdown());
  }

  private async arrivals(): Promise<void> {
    await Promise.all(Array.from(this.onTheirWay, shipment => shipment.arrival));
  }

  private lose(why: keyof Losses, count: number, message: string, error?: unknown): void {
    this.losses[why] += count;
    if (why !== 'deadlinePassed') reportTrouble(`delivery:${this.name}:${why}`, message, error);
  }
}

/** One export: settled once, by the exporter's answer, its failure, its silence, or by the end of the wait for it. */
class Shipment {
  readonly arrival: Promise<void>;
  private arrive: () => void = () => undefined;
  private timer: NodeJS.Timeout | undefined;
  private isSettled = false;

  constructor(private readonly onSettled: (loss: keyof Losses | undefined, error?: unknown) => void) {
    this.arrival = new Promise(resolve => {
      this.arrive = resolve;
    });
  }

  send(exporter: SpanExporter, spans: ReadableSpan[], timeoutMs: number): void {
    const failed = (error: unknown): void => {
      this.settle('exportFailed', error);
    };
    // An async export() is not what the interface says, but it must not become an unhandled rejection.
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
    this.onSettled(loss, error);
    this.arrive();
  }
}

/** Whether the exporter wants to know of starts too, as the recorder of users' tests does. @internal */
export function isWatcher(exporter: object): exporter is SpanProcessor {
  return 'onStart' in exporter && typeof exporter.onStart === 'function';
}
