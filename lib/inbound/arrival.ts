/**
 * What reaches the application other than over HTTP: a call, a message, a job. Its span is opened, its handler runs in it, and it ends with
 * what the handler results in.
 */
import { type Context, context, isSpanContextValid, type Link, type Span, SpanKind, trace } from '@opentelemetry/api';
import { isObservable } from 'rxjs';
import { followObservable } from '../local/follow-observable.js';
import { anyRule } from '../local/ignore-rules.js';
import { NO_SPAN } from '../local/run-in-span.js';
import { RunningSpan } from '../local/running-span.js';
import { SLIM_ROOT, untracedContext } from '../local/slim-context.js';
import { reportTrouble } from '../local/trouble.js';
import { isAnyoneEnlisted, type TracingApplication, withWork, workIn } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import type { InboundMessage } from '../tracing.options.js';
import { type Arrival, Arrived, followResult } from './arrived.js';
import { incomingContext, linksTo, trusted } from './caller.js';
import { UntracedRequest } from './untraced-request.js';

export type { Arrival } from './arrived.js';

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
    return followResult(result, running);
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

/** Interceptors, and what is below them, run when the stream that they have made is subscribed to. */
function keepContext<T>(result: T, ctx: Context): T {
  if (result instanceof Promise) return result.then((value: unknown) => keepContext(value, ctx)) as T;
  return isObservable(result) ? followObservable(result as never, () => new RunningSpan(NO_SPAN, ctx)) : result;
}
