/**
 * What reaches the application other than over HTTP: a call, a message, a job. Its span is opened, its handler runs in it, and it ends with
 * what the handler results in.
 */
import { type Attributes, type Context, context, type Link, type Span, SpanKind, trace } from '@opentelemetry/api';
import { isObservable } from 'rxjs';
import { codeAttributes } from '../conventions/code.js';
import { recordFailure } from '../conventions/failure.js';
import { followObservable } from '../local/follow-observable.js';
import { anyRule } from '../local/ignore-rules.js';
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
  /**
   * Marks the span by what its handler threw, before filters and transports made `outcome` of it.
   * @default `error.type`, the exception and the status `ERROR`
   */
  readonly fail?: ((span: Span, thrown: unknown, outcome: unknown) => void) | undefined;
  /** Marks the span of what is still under way when the application ends. @default unmarked */
  readonly interrupt?: ((span: Span) => void) | undefined;
  /** The span that another instrumentation has opened for it: it is completed here, and ended by who opened it. */
  readonly openedElsewhere?: Span | undefined;
}

/** What was let in: where to handle it, and its span unless it is untraced or somebody else's. */
export interface Accepted {
  readonly context: Context;
  readonly running?: RunningSpan;
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
    const accepted = this.accept(describe, isUntraced);
    if (accepted === undefined) return handle();
    const { running } = accepted;
    if (running === undefined) return context.with(accepted.context, handle);
    let result: T;
    try {
      result = running.run(handle);
    } catch (thrown) {
      running.fail(thrown);
      throw thrown;
    }
    return follow(result, running);
  }

  /**
   * Opens the span of what arrived, for entrances that know themselves when it is over. `undefined` where there is nothing to carry. Never
   * throws.
   */
  accept(describe: () => Arrival, isUntraced = false): Accepted | undefined {
    try {
      const ctx = this.isClosed ? undefined : this.enter(describe(), isUntraced);
      if (ctx === undefined) return undefined;
      const work = workIn(ctx);
      return work instanceof Arrived && !work.isOthers ? { context: ctx, running: work.run(ctx) } : { context: ctx };
    } catch (error) {
      reportTrouble('inbound.message', messages.messageNotTraced(), error);
      return undefined;
    }
  }

  /** Ends the spans of what is still being handled; what arrives later is handled without. */
  close(): void {
    this.isClosed = true;
    for (const arrived of [...this.open]) arrived.end();
  }

  /** The context of what arrived; `undefined` where there is nothing to carry. */
  private enter(arrival: Arrival, isUntraced: boolean): Context | undefined {
    const { application } = this;
    const { message, openedElsewhere } = arrival;
    if (openedElsewhere !== undefined) return this.adopt(openedElsewhere, arrival, isUntraced);
    const incoming = incomingContext(application, message);
    const caller = trusted(application, message, incoming);
    if (!application.isEnabled) {
      if (caller === SLIM_ROOT && !isAnyoneEnlisted()) return undefined;
      return untracedContext(new UntracedRequest(application, message, caller));
    }
    if (isUntraced || this.isIgnored(message)) return untracedContext(new UntracedRequest(application, message, caller));
    // A link where the sender is not believed, or where the options want messages to begin a trace of their own.
    const isLinked = caller !== incoming || (arrival.kind === SpanKind.CONSUMER && application.inbound.messageOrigin === 'link');
    const parent = isLinked ? trace.deleteSpan(caller) : caller;
    const span = application.unsampledSpan(parent) ?? this.start(arrival, parent, isLinked ? linksTo(incoming) : undefined);
    const arrived = new Arrived(application, span, caller, arrival, this.open);
    return withWork(trace.setSpan(parent, span), arrived);
  }

  private adopt(span: Span, arrival: Arrival, isUntraced: boolean): Context | undefined {
    const { application } = this;
    if (!application.isEnabled) return undefined;
    const active = context.active();
    if (isUntraced || this.isIgnored(arrival.message)) return withWork(active, { application, relay: active });
    return withWork(active, new Arrived(application, span, active, arrival, this.open));
  }

  private start(arrival: Arrival, parent: Context, links: Link[] | undefined): Span {
    const { name, kind } = arrival;
    return this.application.tracer.startSpan(name, { kind, attributes: arrival.attributes(), links }, parent);
  }
}

/** One arrival from its handler's start to the end of what the handler results in. */
class Arrived extends ServedWork {
  private thrown: unknown = nothingThrown;
  private isServed = false;
  private running: RunningSpan | undefined;

  constructor(
    readonly application: TracingApplication,
    readonly span: Span,
    private readonly caller: Context,
    private readonly arrival: Arrival,
    private readonly open: Set<Arrived>,
  ) {
    super();
    if (span.isRecording() && !this.isOthers) open.add(this);
  }

  /** Whoever opened it ends it. */
  get isOthers(): boolean {
    return this.arrival.openedElsewhere !== undefined;
  }

  run(ctx: Context): RunningSpan {
    return (this.running = new ArrivalSpan(this.span, ctx, this));
  }

  enter(): boolean {
    const isFirst = !this.isServed;
    this.isServed = true;
    return isFirst;
  }

  handledBy(className: string, method: string): void {
    if (this.span.isRecording()) this.span.setAttributes(codeAttributes(className, method));
  }

  threw(thrown: unknown): void {
    this.thrown = thrown;
  }

  abandon(): void {
    this.relay ??= this.caller;
    this.open.delete(this);
  }

  /** Before filters and transports made something else of it, where that is known. */
  fail(thrown: unknown): void {
    const original = this.thrown === nothingThrown ? thrown : this.thrown;
    (this.arrival.fail ?? recordFailure)(this.span, original, thrown);
  }

  /** The application ends. */
  end(): void {
    const { running, arrival, span } = this;
    if (running === undefined || running.hasEnded) return;
    if (span.isRecording()) arrival.interrupt?.(span);
    running.end();
  }

  left(): void {
    this.open.delete(this);
  }
}

class ArrivalSpan extends RunningSpan {
  constructor(
    span: Span,
    ctx: Context,
    private readonly arrived: Arrived,
  ) {
    super(span, ctx);
  }

  override fail(thrown: unknown): void {
    if (this.hasEnded) return;
    try {
      if (this.span.isRecording()) this.arrived.fail(thrown);
    } catch (error) {
      reportTrouble('inbound.message', messages.messageNotTraced(), error);
    }
    this.end();
  }

  override end(): void {
    this.arrived.left();
    if (this.arrived.relay === undefined) super.end();
  }
}

function follow<T>(result: T, running: RunningSpan): T {
  if (result instanceof Promise) {
    return result.then(
      (value: unknown) => follow(value, running),
      (thrown: unknown) => {
        running.fail(thrown);
        throw thrown;
      },
    ) as T;
  }
  if (isObservable(result)) return followObservable(result as never, () => (running.hasEnded ? undefined : running));
  running.end();
  return result;
}
