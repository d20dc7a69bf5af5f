/**
 * What reaches the application, or a handler in it, other than over HTTP: a call, a message, a job, an event, a tick. Its span is opened,
 * its handler runs in it, and it ends with what the handler results in.
 */
import { type Attributes, type Context, context, isSpanContextValid, type Link, type Span, SpanKind, trace } from '@opentelemetry/api';
import { codeAttributes } from '../conventions/code.js';
import { anyRule } from '../local/ignore-rules.js';
import type { RunningSpan } from '../local/running-span.js';
import { SLIM_ROOT, untracedContext } from '../local/slim-context.js';
import { reportTrouble } from '../local/trouble.js';
import { isAnyoneEnlisted, isSuppressed, type TracingApplication, withWork, workIn } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import type { InboundMessage } from '../tracing.options.js';
import { Arrived, type Ending, follow, keepContext } from './arrived.js';
import { callerOfUntraced, incomingContext, linksTo, trusted } from './caller.js';
import { UntracedRequest } from './untraced-request.js';

/** One call, message or job as its transport describes it. */
export interface Arrival extends Ending {
  /** What rules see; its headers carry the sender's context, unless it is sent {@link within} the process. */
  readonly message: InboundMessage;
  readonly kind: SpanKind.SERVER | SpanKind.CONSUMER | SpanKind.INTERNAL;
  /** What `message` is called turns out later: rules are asked then, by {@link Arrivals.isIgnored}. @default false */
  readonly isNamedLater?: boolean | undefined;
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
  /** Beside those to an untrusted sender. */
  readonly links?: readonly Link[] | undefined;
  /** The official instrumentation that may have opened a span for it already, which then is active: it is completed, and not ended here. */
  readonly instrumentation?: string | undefined;
  /** The span that another instrumentation is known to have opened for it: it is completed here, and ended by who opened it. */
  readonly openedElsewhere?: Span | undefined;
}

/** What was let in: where to handle it, and its span unless it is untraced or somebody else's. */
export interface Accepted {
  readonly context: Context;
  readonly running?: RunningSpan;
}

/** The arrivals of one application. */
export class Arrivals {
  private readonly open = new Set<Arrived>();
  /** Whether rules want no span of a message. */
  readonly isIgnored: (message: InboundMessage) => boolean;
  /** What arrives from then on is handled without. */
  isClosed = false;

  constructor(private readonly application: TracingApplication) {
    this.isIgnored = anyRule(application.inbound.ignoreMessages, ({ destination }) => destination, 'inbound.ignoreMessages');
  }

  /** Calls `handle` in the span of what arrived, unless it is untraced; what it returns or throws passes unchanged. Never throws by itself. */
  serve<T>(describe: () => Arrival, handle: () => T, isUntraced = false): T {
    const ctx = this.contextOf(describe, isUntraced);
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

  /**
   * Opens the span of what arrived, for entrances that know themselves when it is over. `undefined` where there is nothing to carry. Never
   * throws.
   */
  accept(describe: () => Arrival, isUntraced = false): Accepted | undefined {
    const ctx = this.contextOf(describe, isUntraced);
    if (ctx === undefined) return undefined;
    const work = workIn(ctx);
    return work instanceof Arrived && !work.isForeign ? { context: ctx, running: work.run(ctx) } : { context: ctx };
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

  private contextOf(describe: () => Arrival, isUntraced: boolean): Context | undefined {
    try {
      return this.isClosed ? undefined : this.enter(describe(), isUntraced);
    } catch (error) {
      reportTrouble('inbound.message', messages.messageNotTraced(), error);
      return undefined;
    }
  }

  /** The context of what arrived; `undefined` where there is nothing to carry. */
  private enter(arrival: Arrival, isUntraced: boolean): Context | undefined {
    const { application } = this;
    const { message, within } = arrival;
    if (within !== undefined && (!application.isEnabled || workIn(within)?.relay !== undefined || isSuppressed(within))) return undefined;
    const foreign = foreignSpan(arrival, context.active());
    if (foreign !== undefined) return this.adopt(foreign, arrival, isUntraced);
    if (application.isEnabled && (isUntraced || (arrival.isNamedLater !== true && this.isIgnored(message)))) {
      return untracedContext(new UntracedRequest(application, message, within ?? callerOfUntraced(application, message)));
    }
    const incoming = within ?? incomingContext(application, message);
    const caller = within ?? trusted(application, message, incoming);
    if (!application.isEnabled) {
      if (caller === SLIM_ROOT && !isAnyoneEnlisted()) return undefined;
      return untracedContext(new UntracedRequest(application, message, caller));
    }
    // A link where the sender is not believed, or where the options want messages to begin a trace of their own.
    const isLinked = caller !== incoming || this.originOf(arrival) === 'link';
    const parent = isLinked ? trace.deleteSpan(caller) : caller;
    const span = application.unsampledSpan(parent) ?? this.start(arrival, parent, isLinked ? linksTo(incoming) : undefined);
    return withWork(trace.setSpan(parent, span), this.arrived(arrival, span, caller, false));
  }

  /** Another instrumentation has opened the span: it is completed, and ended by who opened it. */
  private adopt(span: Span, arrival: Arrival, isUntraced: boolean): Context | undefined {
    const { application } = this;
    const active = context.active();
    if (!application.isEnabled) return undefined;
    if (isUntraced || this.isIgnored(arrival.message)) return withWork(active, { application, relay: active });
    if (span.isRecording()) {
      span.setAttributes(arrival.attributes());
      // Not every instrumentation continues the sender's trace.
      const [link] = linksTo(incomingContext(application, arrival.message)) ?? [];
      if (link !== undefined && link.context.traceId !== span.spanContext().traceId) span.addLink(link);
    }
    return withWork(active, this.arrived(arrival, span, active, true));
  }

  private arrived(arrival: Arrival, span: Span, caller: Context, isForeign: boolean): Arrived {
    return new Arrived(this.application, span, caller, arrival, this.open, isForeign, arrival.handler !== undefined);
  }

  private originOf({ origin, kind }: Arrival): 'parent' | 'link' {
    return origin ?? (kind === SpanKind.CONSUMER ? this.application.inbound.messageOrigin : 'parent');
  }

  private start(arrival: Arrival, parent: Context, links: Link[] | undefined): Span {
    const { name, kind, handler } = arrival;
    const code = handler === undefined ? undefined : codeAttributes(handler.className, handler.method);
    const all = arrival.links === undefined ? links : [...(links ?? []), ...arrival.links];
    return this.application.tracer.startSpan(name, { kind, attributes: { ...arrival.attributes(), ...code }, links: all }, parent);
  }
}

/** The span that another instrumentation has opened for a message; it may have ended it, too. */
function foreignSpan({ openedElsewhere, instrumentation, kind }: Arrival, ctx: Context): Span | undefined {
  if (openedElsewhere !== undefined || instrumentation === undefined) return openedElsewhere;
  const span: (Span & Partial<MadeSpan>) | undefined = trace.getSpan(ctx);
  return span?.kind === kind && span.instrumentationScope?.name === instrumentation ? span : undefined;
}

/** A span as the SDK makes it. */
interface MadeSpan {
  readonly kind: SpanKind;
  readonly instrumentationScope: { readonly name: string };
}
