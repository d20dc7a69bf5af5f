/** What leaves the application other than by HTTP: a call or message. Opens its span, and says which headers travel with it. */
import {
  type Attributes,
  type Context,
  context,
  createContextKey,
  defaultTextMapSetter,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  type SpanKind,
  trace,
} from '@opentelemetry/api';
import { anyRule } from '../local/ignore-rules.js';
import { NO_SPAN } from '../local/run-in-span.js';
import { RunningSpan } from '../local/running-span.js';
import { reportTrouble } from '../local/trouble.js';
import { applicationIn, isSuppressed, relayIn, type TracingApplication } from '../local/work.js';
import { messageHeaderGetter } from '../propagation/message-headers.js';
import { messages } from '../tracing.messages.js';
import type { OutboundMessage } from '../tracing.options.js';
import type { ResolvedOutboundOptions } from '../tracing.resolution.js';

/** One call or message as its transport describes it. */
export interface Departure {
  /** What rules see. */
  readonly message: OutboundMessage;
  readonly kind: SpanKind.CLIENT | SpanKind.PRODUCER;
  /** One of few. */
  readonly name: string;
  /** Asked only for a span that may record. */
  attributes(): Attributes;
}

/** The span of one sending; it tells when it is over. */
export class DepartureSpan extends RunningSpan {
  onEnd: (() => void) | undefined;

  override end(): void {
    this.onEnd?.();
    super.end();
  }
}

/** Set where a message is to carry no headers. */
const WITHHELD = createContextKey('nestjs-tracing/headers-withheld');

/** The span of what is about to leave. */
const DEPARTING = createContextKey('nestjs-tracing/departing');

/**
 * Opens the span of what is about to leave, and says in which context to send it; where nothing is traced, a span that does not record and
 * the context as it is. Never throws.
 */
export function openDeparture(describe: () => Departure, parent: Context = context.active()): DepartureSpan {
  try {
    const application = applicationIn(parent);
    if (application === undefined) return new DepartureSpan(NO_SPAN, parent);
    const isTraced = application.isEnabled && !isSuppressed(parent) && relayIn(parent) === undefined;
    if (!isTraced && application.outbound.ignoreMessages.length === 0) return new DepartureSpan(NO_SPAN, parent);
    const departure = describe();
    if (isIgnored(application, departure.message)) return new DepartureSpan(NO_SPAN, parent.setValue(WITHHELD, true));
    if (!isTraced) return new DepartureSpan(NO_SPAN, parent);
    const span = application.unsampledSpan(parent) ?? start(application, departure, parent);
    return new DepartureSpan(span, trace.setSpan(parent, span).setValue(DEPARTING, span));
  } catch (error) {
    reportTrouble('outbound.message', messages.messageNotSentTraced(), error);
    return new DepartureSpan(NO_SPAN, parent);
  }
}

/** The span of what is about to leave, as long as no other span has been opened in it. */
export function departingSpan(ctx: Context = context.active()): Span | undefined {
  const span = trace.getSpan(ctx);
  return span !== undefined && span === ctx.getValue(DEPARTING) ? span : undefined;
}

/** Whether what is about to leave has its span already, or is to have none: nobody else need open one. */
export function isDecided(ctx: Context = context.active()): boolean {
  return departingSpan(ctx) !== undefined || ctx.getValue(WITHHELD) === true;
}

/**
 * What travels with a message that leaves in `ctx`; `undefined` for nothing. `existing` are the headers that it has already: a trace context
 * that the user put there stays, and the span is linked to it. Never throws.
 */
export function outgoingHeaders(existing?: object, ctx: Context = context.active()): Record<string, string> | undefined {
  try {
    const application = applicationIn(ctx);
    if (application === undefined || ctx.getValue(WITHHELD) === true) return undefined;
    const relay = relayIn(ctx);
    if (relay === undefined && (!application.isEnabled || isSuppressed(ctx))) return undefined;
    const { propagator } = application;
    const others =
      existing === undefined ? undefined : trace.getSpanContext(propagator.extract(ROOT_CONTEXT, existing, messageHeaderGetter));
    if (others !== undefined && isSpanContextValid(others)) {
      trace.getSpan(ctx)?.addLink({ context: others });
      return undefined;
    }
    const headers: Record<string, string> = {};
    propagator.inject(relay ?? ctx, headers, defaultTextMapSetter);
    if (existing !== undefined && messageHeaderGetter.get(existing, BAGGAGE) !== undefined) Reflect.deleteProperty(headers, BAGGAGE);
    return Object.keys(headers).length === 0 ? undefined : headers;
  } catch (error) {
    reportTrouble('propagators', messages.messageNotSentTraced(), error);
    return undefined;
  }
}

/** What a user wrote there stays. */
const BAGGAGE = 'baggage';

function start({ tracer }: TracingApplication, departure: Departure, parent: Context) {
  return tracer.startSpan(departure.name, { kind: departure.kind, attributes: departure.attributes() }, parent);
}

/** Whether `outbound.ignoreMessages` names the message. */
function isIgnored({ outbound }: TracingApplication, message: OutboundMessage): boolean {
  if (outbound.ignoreMessages.length === 0) return false;
  let rule = rules.get(outbound);
  if (rule === undefined) {
    rule = anyRule(outbound.ignoreMessages, ({ destination }) => destination, 'outbound.ignoreMessages');
    rules.set(outbound, rule);
  }
  return rule(message);
}

const rules = new WeakMap<ResolvedOutboundOptions, (message: OutboundMessage) => boolean>();
