/**
 * What reaches the application other than over HTTP: a call, a message, a job. Its span is opened, its handler runs in it, and it ends with
 * what the handler results in.
 */
import { type Attributes, type Context, context, isSpanContextValid, type Link, type Span, SpanKind, trace } from '@opentelemetry/api';
import { isObservable } from 'rxjs';
import { codeAttributes } from '../conventions/code.js';
import { markFailure, recordFailure } from '../conventions/failure.js';
import { followObservable } from '../local/follow-observable.js';
import { anyRule } from '../local/ignore-rules.js';
import { NO_SPAN } from '../local/run-in-span.js';
import { RunningSpan } from '../local/running-span.js';
import { SLIM_ROOT, untracedContext } from '../local/slim-context.js';
import { reportTrouble } from '../local/trouble.js';
import { isAnyoneEnlisted, type TracingApplication, withWork, workIn } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import type { InboundMessage } from '../tracing.options.js';
import { incomingContext, linksTo, trusted } from './caller.js';
import { ServedWork } from './served-work.js';
import { UntracedRequest } from './untraced-request.js';

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

/** The arrivals of one application. */
export class Arrivals {
  private readonly open = new Set<Arrived>();
  private readonly isIgnored: (message: InboundMessage) => boolean;
  private isClosed = false;

  constructor(private readonly application: TracingApplication) {
    this.isIgnored = anyRule(application.inbound.ignoreMessages, ({ destination }) => destination, 'inbound.ignoreMessages');
  }

  /** Calls `handle` in the span of what arrived, unless it is untraced; what it returns or throws passes unchanged. Never throws by itself. */
  serve<T>(describe: () => Arrival, handle: () => T, isUntraced = false): T {
    let ctx: Context | undefined;
    try {
      ctx = this.isClosed ? undefined : this.enter(describe(), isUntraced);
    } catch (error) {
      reportTrouble('inbound.message', messages.messageNotTraced(), error);
    }
    if (ctx === undefined) return handle();
    const work = workIn(ctx);
    if (!(work instanceof Arrived)) return keepContext(context.with(ctx, handle), ctx);
    const running = work.run(ctx);
    let result: T;
    try {
      result = running.run(handle);
    } catch (thrown) {
      running.fail(thrown);
      throw thrown;
    }
    return follow(result, running);
  }

  /** Whether headers carry the context of a sender. */
  hasContext(headers: InboundMessage['headers']): boolean {
    const spanContext = trace.getSpanContext(incomingContext(this.application, { headers }));
    return spanContext !== undefined && isSpanContextValid(spanContext);
  }

  /** Ends the spans of what is still being handled; what arrives later is handled without. */
  close(): void {
    this.isClosed = true;
    for (const arrived of [...this.open]) arrived.end();
  }

  /** The context of what arrived; `undefined` where there is nothing to carry. */
  private enter(arrival: Arrival, isUntraced: boolean): Context | undefined {
    const { application } = this;
    const { message } = arrival;
    const incoming = incomingContext(application, message);
    const caller = trusted(application, message, incoming);
    if (!application.isEnabled) {
      if (caller === SLIM_ROOT && !isAnyoneEnlisted()) return undefined;
      return untracedContext(new UntracedRequest(application, message, caller));
    }
    if (isUntraced || this.isIgnored(message)) return untracedContext(new UntracedRequest(application, message, caller));
    // A link where the sender is not believed, or where the options want messages to begin a trace of their own.
    const { adopted } = arrival;
    if (adopted !== undefined) {
      const active = context.active();
      const links = linksTo(incoming);
      if (links !== undefined) adopted.addLinks(links);
      return withWork(active, new Arrived(application, adopted, caller, arrival, this.open));
    }
    const isLinked = caller !== incoming || (arrival.kind === SpanKind.CONSUMER && application.inbound.messageOrigin === 'link');
    const parent = isLinked ? trace.deleteSpan(caller) : caller;
    const span = application.unsampledSpan(parent) ?? this.start(arrival, parent, isLinked ? linksTo(incoming) : undefined);
    const arrived = new Arrived(application, span, caller, arrival, this.open);
    return withWork(trace.setSpan(parent, span), arrived);
  }

  private start(arrival: Arrival, parent: Context, links: Link[] | undefined): Span {
    const { name, kind } = arrival;
    const all = arrival.links === undefined ? links : [...(links ?? []), ...arrival.links];
    return this.application.tracer.startSpan(name, { kind, attributes: arrival.attributes(), links: all }, parent);
  }
}

/** One arrival from its handler's start to the end of what the handler results in. */
class Arrived extends ServedWork {
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

class ArrivalSpan extends RunningSpan {
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

/** Interceptors, and what is below them, run when the stream that they have made is subscribed to. */
function keepContext<T>(result: T, ctx: Context): T {
  if (result instanceof Promise) return result.then((value: unknown) => keepContext(value, ctx)) as T;
  return isObservable(result) ? followObservable(result as never, () => new RunningSpan(NO_SPAN, ctx)) : result;
}

function follow<T>(result: T, running: ArrivalSpan): T {
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
    return followObservable(result as never, () => (running.hasEnded ? undefined : running));
  }
  running.end();
  return result;
}
