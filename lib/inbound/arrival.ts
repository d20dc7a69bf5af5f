/**
 * What reaches the application, or a handler in it, other than over HTTP: a call, a message, a job, an event, a tick. Its span is opened,
 * its handler runs in it, and it ends with what the handler results in.
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
import { isAnyoneEnlisted, isSuppressed, type TracingApplication, withWork, workIn } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import type { InboundMessage } from '../tracing.options.js';
import { incomingContext, linksTo, trusted } from './caller.js';
import { ServedWork } from './served-work.js';
import { UntracedRequest } from './untraced-request.js';

/** One call, message or job as its transport describes it. */
export interface Arrival {
  /** What rules see; its headers carry the sender's context, unless it is sent {@link within} the process. */
  readonly message: InboundMessage;
  readonly kind: SpanKind.SERVER | SpanKind.CONSUMER | SpanKind.INTERNAL;
  /** The sender's context where it is in this process: it is believed, and what is not traced there is not traced here. @default none */
  readonly within?: Context | undefined;
  /** What the sender's span is to this one. @default `inbound.messageOrigin` for messages, else the parent */
  readonly origin?: 'parent' | 'link' | undefined;
  /** The method that serves, where it is known before it is called. */
  readonly handler?: { readonly className: string; readonly method: string } | undefined;
  /** One of few. */
  readonly name: string;
  /** Asked only for a span that may record. */
  attributes(): Attributes;
  /** Marks the span by what its handler threw. @default `error.type`, the exception and the status `ERROR` */
  readonly fail?: ((span: Span, thrown: unknown) => void) | undefined;
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
    if (!(work instanceof Arrived)) return context.with(ctx, handle);
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

  /** Ends the spans of what is still being handled; what arrives later is handled without. */
  close(): void {
    this.isClosed = true;
    for (const arrived of [...this.open]) arrived.end();
  }

  /** The context of what arrived; `undefined` where there is nothing to carry. */
  private enter(arrival: Arrival, isUntraced: boolean): Context | undefined {
    const { application } = this;
    const { message, within } = arrival;
    if (within !== undefined && (!application.isEnabled || workIn(within)?.relay !== undefined || isSuppressed(within))) return undefined;
    const incoming = within ?? incomingContext(application, message);
    const caller = within ?? trusted(application, message, incoming);
    if (!application.isEnabled) {
      if (caller === SLIM_ROOT && !isAnyoneEnlisted()) return undefined;
      return untracedContext(new UntracedRequest(application, message, caller));
    }
    if (isUntraced || this.isIgnored(message)) return untracedContext(new UntracedRequest(application, message, caller));
    // A link where the sender is not believed, or where the options want messages to begin a trace of their own.
    const isLinked = caller !== incoming || this.originOf(arrival) === 'link';
    const parent = isLinked ? trace.deleteSpan(caller) : caller;
    const span = application.unsampledSpan(parent) ?? this.start(arrival, parent, isLinked ? linksTo(incoming) : undefined);
    const arrived = new Arrived(application, span, caller, arrival, this.open);
    return withWork(trace.setSpan(parent, span), arrived);
  }

  private originOf({ origin, kind }: Arrival): 'parent' | 'link' {
    return origin ?? (kind === SpanKind.CONSUMER ? this.application.inbound.messageOrigin : 'parent');
  }

  private start(arrival: Arrival, parent: Context, links: Link[] | undefined): Span {
    const { name, kind, handler } = arrival;
    const code = handler === undefined ? undefined : codeAttributes(handler.className, handler.method);
    return this.application.tracer.startSpan(name, { kind, attributes: { ...arrival.attributes(), ...code }, links }, parent);
  }
}

/** One arrival from its handler's start to the end of what the handler results in. */
class Arrived extends ServedWork {
  private thrown: unknown = nothingThrown;
  private isServed: boolean;
  private running: RunningSpan | undefined;

  constructor(
    readonly application: TracingApplication,
    readonly span: Span,
    private readonly caller: Context,
    private readonly arrival: Arrival,
    private readonly open: Set<Arrived>,
  ) {
    super();
    // A controller's method that the known handler calls does not serve.
    this.isServed = arrival.handler !== undefined;
    if (span.isRecording()) open.add(this);
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
    (this.arrival.fail ?? recordFailure)(this.span, original);
  }

  end(): void {
    this.running?.end();
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
