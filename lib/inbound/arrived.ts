/** One arrival from its handler's start to the end of what the handler results in. */
import type { Attributes, Context, Span } from '@opentelemetry/api';
import { isObservable } from 'rxjs';
import { codeAttributes } from '../conventions/code.js';
import { markFailure, recordFailure } from '../conventions/failure.js';
import { followObservable } from '../local/follow-observable.js';
import { followThenable } from '../local/follow-promise.js';
import { shapeOf, type Thenable } from '../local/result-shape.js';
import { NO_SPAN } from '../local/run-in-span.js';
import { RunningSpan } from '../local/running-span.js';
import { untracedContext } from '../local/slim-context.js';
import { reportTrouble } from '../local/trouble.js';
import type { TracingApplication } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import { ServedWork } from './served-work.js';

/** How the span of an arrival fails and ends. */
export interface Ending {
  /**
   * Marks the span by what its handler threw, before filters and transports made `outcome` of it.
   * @default `error.type`, the exception and the status `ERROR`
   */
  readonly fail?: ((span: Span, thrown: unknown, outcome: unknown) => void) | undefined;
  /** Marks the span of what is still under way when the application ends. @default unmarked */
  readonly interrupt?: ((span: Span) => void) | undefined;
  /** A stream of answers that goes on for longer has its span end with the handing over. @default it ends with the stream */
  readonly maxStreamMs?: number | undefined;
  /** Whether what reaches exception filters has failed whatever they do: nothing that a filter returns becomes an answer. @default false */
  readonly failsWithFilters?: boolean | undefined;
  /** Whether several handlers take it, each of which may want no tracing for itself. @default false */
  readonly isShared?: boolean | undefined;
}

const nothingThrown = Symbol('nothing thrown');

export class Arrived extends ServedWork {
  private thrown: unknown = nothingThrown;
  private hasEscaped = false;
  private isAnsweredWithError = false;
  private isRecorded = false;
  private isGoingOn = false;
  private running: ArrivalSpan | undefined;

  constructor(
    readonly application: TracingApplication,
    readonly span: Span,
    private readonly caller: Context,
    readonly ending: Ending,
    private readonly open: Set<Arrived>,
    /** Whether another instrumentation has opened the span, and ends it. */
    readonly isForeign: boolean,
    /** Whether it is known who serves: a controller's method that is called then does not. */
    private isServed: boolean,
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

  override untracedPart(): Context | undefined {
    const { application, caller, ending } = this;
    return ending.isShared === true ? untracedContext({ application, relay: caller }) : undefined;
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
    else (this.ending.fail ?? recordFailure)(this.span, original, thrown);
  }

  /** The application ends: at once, whatever goes on. */
  end(): void {
    this.isGoingOn = false;
    const { running, ending, span } = this;
    if (running === undefined || running.hasEnded) return;
    if (span.isRecording()) ending.interrupt?.(span);
    running.end();
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
    return this.isAnsweredWithError || (this.hasEscaped && this.ending.failsWithFilters === true);
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
    const { maxStreamMs } = this.arrived.ending;
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
    // What turned out to be untraced is never ended, what is somebody else's not here.
    if (this.arrived.relay !== undefined || this.arrived.isForeign) this.release();
    else super.end(endTime);
  }

  private markFailed(thrown: unknown): void {
    try {
      if (this.span.isRecording()) this.arrived.fail(thrown);
    } catch (error) {
      reportTrouble('inbound.message', messages.messageNotTraced(), error);
    }
  }
}

/** What a handler resulted in has the span end. */
export function follow<T>(result: T, running: ArrivalSpan): T {
  if (result instanceof Promise) {
    return result.then(
      (value: unknown) => follow(value, running),
      (thrown: unknown) => {
        running.fail(thrown);
        throw thrown;
      },
    ) as T;
  }
  if (isObservable(result)) {
    running.handOver();
    const handedOverAt = Date.now();
    let isTaken = false;
    // Timers and listeners of events have nobody who would subscribe.
    setImmediate(() => {
      if (!isTaken) running.end(handedOverAt);
    });
    return followObservable(result as never, () => {
      isTaken = true;
      return running.hasEnded ? undefined : running;
    });
  }
  // Queries of database libraries, which run when somebody waits for them.
  if (shapeOf(result) === 'thenable') return followThenable(result as T & Thenable, running, () => undefined);
  running.end();
  return result;
}

/** What is not traced is so in all that its handler results in: interceptors run when that is subscribed to. */
export function keepContext<T>(result: T, ctx: Context): T {
  if (result instanceof Promise) return result.then((value: unknown) => keepContext(value, ctx)) as T;
  if (isObservable(result)) return followObservable(result as never, () => new RunningSpan(NO_SPAN, ctx));
  const untraced = new RunningSpan(NO_SPAN, ctx);
  return shapeOf(result) === 'thenable' ? followThenable(result as T & Thenable, untraced, () => undefined) : result;
}
