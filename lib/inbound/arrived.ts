/** One arrival from its handler's start to the end of what the handler results in: what is told of it meanwhile, and how its span ends. */
import type { Attributes, Context, Link, Span, SpanKind } from '@opentelemetry/api';
import { isObservable } from 'rxjs';
import { codeAttributes } from '../conventions/code.js';
import { markFailure, recordFailure } from '../conventions/failure.js';
import { followObservable } from '../local/follow-observable.js';
import { RunningSpan } from '../local/running-span.js';
import { reportTrouble } from '../local/trouble.js';
import type { TracingApplication } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import type { InboundMessage } from '../tracing.options.js';
import { ServedWork } from './served-work.js';

/** One call, message or job as its transport describes it. */
export interface Arrival {
  /** What rules see; its headers carry the sender's context. */
  readonly message: InboundMessage;
  readonly kind: SpanKind.SERVER | SpanKind.CONSUMER;
  /** One of few. */
  readonly name: string;
  /** Asked only for a span that may record. */
  attributes(): Attributes;
  /** Marks the span by what its handler threw. @default `error.type`, the exception and the status `ERROR` */
  readonly fail?: ((span: Span, thrown: unknown) => void) | undefined;
  /** Beside those to an untrusted sender. */
  readonly links?: readonly Link[] | undefined;
  /** The span that another instrumentation has opened for it: it is completed here, and ended by who opened it. */
  readonly adopted?: Span | undefined;
  /** A stream of answers that goes on for longer has its span end with the handing over. @default it ends with the stream */
  readonly maxStreamMs?: number | undefined;
  /** Whether what reaches exception filters has failed whatever they do: nothing that a filter returns becomes an answer. @default false */
  readonly failsWithFilters?: boolean | undefined;
}

const nothingThrown = Symbol('nothing thrown');

/** What was described, under way. */
export class Arrived extends ServedWork {
  private thrown: unknown = nothingThrown;
  private isServed = false;
  private hasEscaped = false;
  private isAnsweredWithError = false;
  private isRecorded = false;
  private isGoingOn = false;
  private running: ArrivalSpan | undefined;

  constructor(
    readonly application: TracingApplication,
    readonly span: Span,
    private readonly caller: Context,
    readonly arrival: Arrival,
    private readonly open: Set<Arrived>,
  ) {
    super();
    if (span.isRecording()) open.add(this);
  }

  run(ctx: Context): ArrivalSpan {
    return (this.running = new ArrivalSpan(this.span, ctx, this));
  }

  get isTaken(): boolean {
    return this.isServed;
  }

  enter(): boolean {
    const isFirst = !this.isServed;
    this.isServed = true;
    if (isFirst) this.isGoingOn = true;
    return isFirst;
  }

  override named(name: string, attributes: () => Attributes): void {
    if (this.span.isRecording()) this.span.updateName(name).setAttributes(attributes());
  }

  override answeredWith(thrown: unknown, isRecorded: boolean): void {
    this.threw(thrown);
    this.isAnsweredWithError = true;
    this.isRecorded = isRecorded;
  }

  handledBy(className: string, method: string): void {
    if (this.span.isRecording()) this.span.setAttributes(codeAttributes(className, method));
  }

  threw(thrown: unknown): void {
    this.thrown = thrown;
  }

  override returned(settled?: PromiseLike<unknown>): void {
    const done = (): void => {
      this.isGoingOn = false;
      this.running?.proceed();
    };
    if (settled === undefined) done();
    else void settled.then(done);
  }

  override escaped(thrown: unknown): void {
    this.threw(thrown);
    this.hasEscaped = true;
  }

  abandon(): void {
    this.isGoingOn = false;
    this.relay ??= this.caller;
    this.open.delete(this);
  }

  /** Before filters and transports made something else of it, where that is known. */
  fail(thrown: unknown): void {
    const original = this.thrown === nothingThrown ? thrown : this.thrown;
    if (this.isRecorded) markFailure(this.span, original);
    else (this.arrival.fail ?? recordFailure)(this.span, original);
  }

  /** At once, whatever goes on. */
  end(): void {
    this.isGoingOn = false;
    this.running?.end();
  }

  /** Whoever waited for the answer may have left, while its handler goes on. */
  get isAtWork(): boolean {
    return this.isGoingOn;
  }

  get hasThrown(): boolean {
    return this.thrown !== nothingThrown;
  }

  /** Nothing comes any more; true where that is a failure, because an exception has ended in a filter or in the answer. */
  leave(): boolean {
    this.open.delete(this);
    return this.isAnsweredWithError || (this.hasEscaped && this.arrival.failsWithFilters === true);
  }
}

export class ArrivalSpan extends RunningSpan {
  private timer: NodeJS.Timeout | undefined;
  private isLeft = false;

  constructor(
    span: Span,
    ctx: Context,
    private readonly arrived: Arrived,
  ) {
    super(span, ctx);
  }

  /** The handler has returned a stream. */
  handOver(): void {
    const { maxStreamMs } = this.arrived.arrival;
    if (maxStreamMs === undefined || this.timer !== undefined || this.hasEnded) return;
    const handedOverAt = Date.now();
    this.timer = setTimeout(() => {
      this.timer = undefined;
      // Interceptors make a stream of every answer, also of those that are not known yet.
      if (this.arrived.isAtWork) this.handOver();
      else this.end(handedOverAt);
    }, maxStreamMs).unref();
  }

  override fail(thrown: unknown): void {
    if (this.hasEnded) return;
    this.markFailed(thrown);
    this.close();
  }

  override end(endTime?: number): void {
    if (this.hasEnded) return;
    this.isLeft = this.arrived.isAtWork;
    if (this.isLeft) return;
    if (this.arrived.leave()) this.markFailed(undefined);
    this.close(endTime);
  }

  /** The handler is done; did nobody wait for it, this is its end. */
  proceed(): void {
    if (!this.isLeft || this.hasEnded) return;
    if (this.arrived.hasThrown) this.markFailed(undefined);
    this.close();
  }

  private close(endTime?: number): void {
    this.arrived.leave();
    clearTimeout(this.timer);
    if (this.arrived.relay !== undefined) return;
    if (this.arrived.arrival.adopted === undefined) super.end(endTime);
    else this.release();
  }

  private markFailed(thrown: unknown): void {
    try {
      if (this.span.isRecording()) this.arrived.fail(thrown);
    } catch (error) {
      reportTrouble('inbound.message', messages.messageNotTraced(), error);
    }
  }
}

/** Sees to it that the span ends with a handler's result, which passes unchanged. */
export function followResult<T>(result: T, running: ArrivalSpan): T {
  if (result instanceof Promise) {
    return result.then(
      (value: unknown) => followResult(value, running),
      (thrown: unknown) => {
        running.fail(thrown);
        throw thrown;
      },
    ) as T;
  }
  if (isObservable(result)) {
    running.handOver();
    return followObservable(result as never, () => (running.hasEnded ? undefined : running));
  }
  running.end();
  return result;
}
