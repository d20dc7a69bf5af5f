/** An inbound operation from the start of its span to its end. Handlers, filters, results and the application's end report to it. */
import type { Attributes, Context, Span } from '@opentelemetry/api';
import { codeAttributes, codeName } from '../conventions/code.js';
import { recordClosing, recordCutOff, recordFailure, recordGoingOn } from '../conventions/failure.js';
import { messages } from '../options/messages.js';
import { reportTrouble } from '../options/trouble.js';
import { wallTime } from './clock.js';
import { contextOfWork, SLIM_ROOT } from './context.js';
import { type InFlightOperation, type InFlightOperations, NOWHERE } from './in-flight.js';
import { type ResultShape, RunningSpan } from './running-span.js';
import { type TracingApplication, UntracedWork, type Work, workIn } from './work.js';

/** State that all inbound operations of one application share. @internal */
export interface Inbound {
  readonly application: TracingApplication;
  readonly inFlight: InFlightOperations<InboundWork>;
}

/** How the span of inbound work was opened. @internal */
export interface Opening {
  readonly span: Span;
  /** The context that the work derives from. */
  readonly parent: Context;
  /** The context that outgoing calls pass on if the work becomes untraced. */
  readonly caller: Context;
  /** True if another instrumentation opened the span and will end it. */
  readonly isForeign: boolean;
}

/** How the span of an operation fails and ends. */
export interface OperationEnding {
  /**
   * Marks the span as failed. `thrown` is the handler's error; `outcome` is what filters and transports made of it.
   * @default `error.type`, the exception and the status `ERROR`
   */
  readonly fail?: ((span: Span, thrown: unknown, outcome: unknown) => void) | undefined;
  /** Adds attributes to the span of an operation that has not ended when the application closes. @default none */
  readonly interrupt?: ((span: Span) => void) | undefined;
  /**
   * If a stream of answers still runs one second after this moment, its span ends at this moment. Such a stream may never end.
   * @default the span ends with the stream
   */
  readonly streamsFrom?: 'handover' | 'first value' | undefined;
  /** The caller's connection, if each caller has its own. The span of a stream ends if it is destroyed. @default none */
  readonly connection?: { readonly destroyed?: unknown } | undefined;
  /** True if an error fails the operation even if a filter handles it: the filter's result is no answer. @default false */
  readonly failsWithFilters?: boolean | undefined;
  /** True if several handlers receive the operation. Each of them may opt out of tracing for itself. @default false */
  readonly isShared?: boolean | undefined;
}

const NOTHING = Symbol('nothing thrown');
const NO_ENDING: OperationEnding = {};

/** How long a stream's span waits for its end after {@link OperationEnding.streamsFrom}, in milliseconds. */
const MAX_STREAM_MS = 1000;

/** In flight from its construction. Ends once, with its handler's result: a value, a promise or a stream. @internal */
export class InboundWork extends RunningSpan implements Work, InFlightOperation {
  place = NOWHERE;
  looks = 0;
  /** Set when the work becomes untraced. */
  passthrough: Context | undefined = undefined;
  readonly application: TracingApplication;
  /** True if another instrumentation opened the span and will end it. */
  readonly isForeign: boolean;
  private caller: Context;
  protected lastThrown: unknown = NOTHING;
  /** True if the work failed although its result is not an error. */
  private isFailure = false;
  /** True while a method of a controller or gateway runs, until its promise settles. */
  private isHandling = false;
  /** True if the result is a promise, or after {@link hold}: closing waits for the end of the work. */
  private isPending = false;
  private isStreaming = false;
  /** The time of {@link OperationEnding.streamsFrom}, in milliseconds since 1970. */
  private streamsSince: number | undefined = undefined;
  /** True if the result ended before the handler. The work then ends with the handler. */
  private isLeft = false;

  constructor(
    private readonly operations: Inbound,
    { span, parent, caller, isForeign }: Opening,
    private isServed: boolean,
    private ending = NO_ENDING,
  ) {
    super(span, parent);
    this.application = operations.application;
    this.caller = caller;
    this.isForeign = isForeign;
    this.entered = contextOfWork(parent, span, this);
    if (span.isRecording()) operations.inFlight.add(this);
  }

  /** Read by {@link inboundWork}, which finds the work in a context. */
  get inbound(): this {
    return this;
  }

  /** True if a handler of a controller or gateway serves the operation. Methods that this handler calls do not count. */
  get isTaken(): boolean {
    return this.isServed;
  }

  /** Called when a handler starts. Returns true for the first one only: handlers that it calls itself do not count. */
  enter(): boolean {
    if (this.isServed) return false;
    this.isServed = true;
    this.isHandling = true;
    return true;
  }

  /** Records the class and method of the handler on the span. */
  handledBy(className: string, method: string): void {
    if (this.span.isRecording()) this.span.setAttributes(codeAttributes(codeName(className, method)));
  }

  /** Called when the handler has returned. It is done when `settled` settles; without `settled` it is done now. */
  returned(settled?: PromiseLike<unknown>): void {
    if (settled === undefined) this.isDone();
    else void settled.then(() => this.isDone());
  }

  private isDone(): void {
    this.isHandling = false;
    // The result ended earlier, so the work ends now.
    if (!this.isLeft || this.hasEnded) return;
    if (this.hasThrown) this.markFailed(undefined);
    this.finish();
  }

  /** Called when the handler gets the response object and may send any stream by it. */
  handedOut(): void {
    // In most work the handler returns its answer.
  }

  /**
   * Called with the declared route, or with undefined if it cannot be known. `attributes` belong to the route and, with `hasHandler`, to
   * its handler.
   */
  routed(_route: string | undefined, _attributes?: Attributes, _hasHandler?: boolean): void {
    // Most work has no route.
  }

  /** Gives the span a more specific name than the route, and its attributes. */
  named(name: string, attributes: () => Attributes): void {
    if (this.span.isRecording()) this.span.updateName(name).setAttributes(attributes());
  }

  /** Called with an error that was thrown. The last one is recorded if the work fails. */
  threw(thrown: unknown): void {
    this.lastThrown = thrown;
  }

  /** Called with an error that has reached the exception filters. */
  escaped(thrown: unknown): void {
    this.threw(thrown);
    if (this.ending.failsWithFilters === true) this.isFailure = true;
  }

  /** Called with the error in an answer. The work fails, although its result is a value. */
  answeredWith(thrown: unknown): void {
    this.threw(thrown);
    this.isFailure = true;
  }

  get hasThrown(): boolean {
    return this.lastThrown !== NOTHING;
  }

  /** Returns work for one untraced handler of a shared operation. Returns undefined if the operation has one handler only. */
  untracedPart(): UntracedWork | undefined {
    return this.ending.isShared === true ? new UntracedWork(this.application, this.caller) : undefined;
  }

  /** Makes the work untraced. Its span is never ended and so not exported. Outgoing calls pass the caller's context on. */
  abandon(): void {
    this.isHandling = false;
    this.passthrough ??= this.caller;
    this.leave();
  }

  /** Returns false for a generator or async iterable: frameworks pass it on without iterating it. */
  override lastsFor(shape: ResultShape): boolean {
    this.isPending = shape === 'promise';
    if (shape === 'observable') {
      this.isStreaming = true;
      if (this.ending.streamsFrom === 'handover') this.streamsSince ??= wallTime();
    }
    return shape !== 'generator' && shape !== 'async-iterable';
  }

  override emitted(value: unknown): void {
    super.emitted(value);
    if (this.streamsSince === undefined && this.ending.streamsFrom === 'first value') this.streamsSince = wallTime();
  }

  override fail(thrown: unknown): void {
    if (this.hasEnded) return;
    this.markFailed(thrown);
    this.finish();
  }

  override end(endTime?: number): void {
    if (this.hasEnded) return;
    this.isLeft = this.isHandling;
    if (this.isLeft) return;
    this.leave();
    // A filter has handled the error, or the answer contains it.
    if (this.isFailure) this.markFailed(undefined);
    this.finish(endTime);
  }

  /** Ends the work, done or not, because the application has closed. */
  cutOff(): void {
    const { ending, span, isUnderWay } = this;
    this.isHandling = false;
    if (this.hasEnded) return;
    if (span.isRecording() && !this.isForeign) {
      // A handler that is still running has failed. A stream has not: it ends with the application.
      if (isUnderWay) recordCutOff(span);
      else recordClosing(span);
      ending.interrupt?.(span);
    }
    this.end();
  }

  /** Makes closing wait for the end of the work. For work that several calls handle. */
  hold(): void {
    this.isPending = true;
  }

  /** True if closing must wait for a handler or its promise. Streams do not count, as they may never end. */
  get isUnderWay(): boolean {
    return this.isHandling || this.isPending;
  }

  get isWatched(): boolean {
    return true;
  }

  look(now: number): void {
    const { streamsSince, ending } = this;
    if (!this.isStreaming || this.hasEnded) return;
    if (streamsSince === undefined) {
      if (ending.connection?.destroyed === true) this.end();
    } else if (now - streamsSince >= MAX_STREAM_MS) {
      // An interceptor turns every answer into a stream, also while the handler is still running.
      if (this.isHandling) {
        this.streamsSince = now;
        return;
      }
      if (this.span.isRecording() && !this.isForeign) recordGoingOn(this.span, streamsSince);
      this.end(streamsSince);
      this.forget();
    }
  }

  /** Releases the operation's data: a stream may never end and must not keep it. */
  override forget(): void {
    super.forget();
    this.caller = SLIM_ROOT;
    this.ending = NO_ENDING;
  }

  get ownSpan(): Span | undefined {
    return this.isForeign ? undefined : this.span;
  }

  /** Removes the work from those in flight. */
  protected leave(): void {
    this.operations.inFlight.remove(this);
  }

  private finish(endTime?: number): void {
    this.leave();
    // An untraced span is never ended and so not exported. A foreign span is ended by its own instrumentation.
    if (this.passthrough !== undefined || this.isForeign) this.release();
    else super.end(endTime);
  }

  /** Marks the span as failed with the handler's error. If that is unknown, uses `outcome`, which filters and transports made of it. */
  private markFailed(outcome: unknown): void {
    try {
      const thrown = this.hasThrown ? this.lastThrown : outcome;
      if (this.span.isRecording()) (this.ending.fail ?? recordFailure)(this.span, thrown, outcome);
    } catch (error) {
      reportTrouble('inbound.message', messages.messageNotTraced(), error);
    }
  }
}

/** Returns the inbound work of the active context. Returns undefined if there is none. @internal */
export function inboundWork(): InboundWork | undefined {
  const work: (Work & { readonly inbound?: InboundWork }) | undefined = workIn();
  return work?.inbound;
}
