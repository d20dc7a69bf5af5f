/** Outbound operations: applies the rules, opens the span, writes the headers, and ends the span with the result. */
import {
  type Attributes,
  type Context,
  context,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  type Span,
  type SpanKind,
  type TextMapSetter,
  trace,
} from '@opentelemetry/api';
import { recordFailure } from '../conventions/failure.js';
import { messages } from '../options/messages.js';
import type { OutboundMessage, OutboundRequest } from '../options/tracing-options.js';
import { reportTrouble } from '../options/trouble.js';
import { messageHeaderGetter } from '../propagation/message-headers.js';
import { isSuppressed, suppressed } from '../propagation/context-values.js';
import { contextOfSending, OUTBOUND, SLIM_ROOT, spanContextIn } from './context.js';
import { type InFlightOperation, NOWHERE } from './in-flight.js';
import { outboundRulesOf } from './outbound-rules.js';
import { NON_RECORDING_SPAN, type ResultShape, RunningSpan, shapeOf } from './running-span.js';
import { runTracked } from './track.js';
import { applicationIn, type FinalSpanOptions, passthroughIn, type TracingApplication } from './work.js';

/** An outgoing call, message or job, as its integration describes it. Costly members are getters, as they are not always read. */
export interface OutboundOperation<Carrier = unknown> {
  readonly kind: SpanKind.CLIENT | SpanKind.PRODUCER;
  /** The name of the span, of low cardinality. Name and attributes are read only for a span that may record. */
  readonly name: string;
  /** The result must not be changed later. */
  attributes(): Attributes;
  /** The message that `outbound.ignoreMessages` receives. Without it, `outbound.ignore` applies: the operation is an HTTP call. */
  readonly message?: OutboundMessage;
  /** Returns the HTTP request that `outbound.ignore` and `outbound.propagateTo` receive. Returns undefined if it goes to no host. */
  request?(): OutboundRequest | undefined;
  /** Replaces the rules of `outbound`, for an operation that is neither a message nor an HTTP call. Returns true if it gets no span. */
  isIgnored?(): boolean;
  /** Returns true if calling code or another instrumentation has opened the span already. */
  hasSpan?(parent: Context): boolean;
  /** Called with what a failed operation has thrown, before the span shows it. Must not throw. */
  failed?(thrown: unknown): void;
  /** Called with a span that records, before the headers are written. Must not throw. */
  opened?(span: Span): void;
  /** The carrier of the headers. Without it, the integration calls {@link outgoingHeaders} when it has the message. */
  readonly carrier?: Carrier;
  readonly headers?: TextMapSetter<Carrier>;
}

/** Where unfinished work is found again. */
interface OutboundList {
  add(member: OutboundWork): void;
  remove(member: OutboundWork): void;
}

/** An outbound operation in progress. If it is not traced, its span is a non-recording one. */
export class OutboundWork extends RunningSpan implements InFlightOperation {
  place = NOWHERE;
  looks = 0;
  /** Adds attributes that are known only after sending. */
  describe: ((span: Span, sent: unknown) => void) | undefined = undefined;
  /** Adds attributes of a failure. They win over those that every failure has. */
  describeFailure: ((span: Span, thrown: unknown) => void) | undefined = undefined;
  private list: OutboundList | undefined;
  private sending: Context | undefined;

  /** `parent`: the context that the operation derives from. `isWithheld`: true if the operation must not carry headers. */
  constructor(
    span: Span,
    parent: Context,
    readonly isWithheld = false,
    /** What the work does. Undefined if nothing is traced. */
    readonly operation?: Pick<OutboundOperation, 'failed'>,
  ) {
    super(span, parent);
  }

  /** The context to send in: the span is active in it, and {@link outgoingHeaders} finds this work in it. Made when it is first read. */
  override get context(): Context {
    if (this.sending !== undefined) return this.sending;
    const parent = super.context;
    if (this.span !== NON_RECORDING_SPAN) return (this.sending = contextOfSending(parent, this.span, this));
    return this.isWithheld ? (this.sending = parent.setValue(OUTBOUND, this)) : parent;
  }

  get isWatched(): boolean {
    return true;
  }

  get ownSpan(): Span {
    return this.span;
  }

  /** Its end always tells itself, unless the work is garbage-collected before. */
  look(): void {}

  /** Adds the work to `list`. It is removed when the span ends. */
  enter(list: OutboundList): void {
    this.list = list;
    list.add(this);
  }

  /** Adds further attributes to the span, if it records. Never throws. */
  note(attributes: () => Attributes): void {
    if (this.hasEnded) return;
    try {
      if (this.span.isRecording()) this.span.setAttributes(attributes());
    } catch (error) {
      reportTrouble('outbound', messages.outboundNotTraced(), error);
    }
  }

  /** Ends the span. Calls `describe` before, but only if the span records. Never throws. */
  endWith(describe: (span: Span) => void): void {
    if (this.hasEnded) return;
    try {
      if (this.span.isRecording()) describe(this.span);
    } catch (error) {
      reportTrouble('outbound', messages.outboundNotTraced(), error);
    }
    this.end();
  }

  override succeed(result: unknown, endTime?: number): void {
    const { describe } = this;
    if (describe === undefined) this.end(endTime);
    else this.endWith(span => describe(span, result));
  }

  override fail(thrown: unknown): void {
    this.endWith(span => {
      this.operation?.failed?.(thrown);
      recordFailure(span, thrown);
      this.describeFailure?.(span, thrown);
    });
  }

  override end(endTime?: number): void {
    this.list?.remove(this);
    super.end(endTime);
  }
}

/**
 * Opens the span of an outbound operation, and writes the headers into its carrier, if any. If nothing is traced, the span is a
 * non-recording one, and the context derives from `parent`. Never throws.
 */
export function startOutbound<Carrier>(
  application: TracingApplication | undefined,
  operation: OutboundOperation<Carrier>,
  parent: Context = context.active(),
): OutboundWork {
  try {
    if (application === undefined) return new OutboundWork(NON_RECORDING_SPAN, parent);
    // Untraced work passes its caller's context on.
    const passthrough = passthroughIn(parent);
    if (passthrough === undefined) {
      if (!application.isEnabled || isSuppressed(parent)) return new OutboundWork(NON_RECORDING_SPAN, parent);
      // The instrumentation that opened the span also writes the headers.
      if (operation.hasSpan?.(parent) === true) return new OutboundWork(NON_RECORDING_SPAN, parent, true);
    }
    const rules = outboundRulesOf(application.outbound);
    if (operation.isIgnored?.() ?? rules?.isIgnored(operation) === true) return new OutboundWork(NON_RECORDING_SPAN, parent, true);
    const isWithheld = rules?.receivesHeaders(operation) === false;
    if (passthrough !== undefined) {
      if (!isWithheld) write(application, operation, passthrough);
      return new OutboundWork(NON_RECORDING_SPAN, parent, isWithheld);
    }
    const span = application.unsampledSpan(parent) ?? open(application, operation, parent);
    if (span === undefined) return new OutboundWork(NON_RECORDING_SPAN, parent);
    const work = new OutboundWork(span, parent === ROOT_CONTEXT ? SLIM_ROOT : parent, isWithheld, operation);
    // Headers are written last, so that they replace those of hooks and other instrumentations.
    if (!isWithheld && operation.headers !== undefined) write(application, operation, work.context);
    return work;
  } catch (error) {
    reportTrouble('outbound', messages.outboundNotTraced(), error);
    return new OutboundWork(NON_RECORDING_SPAN, parent);
  }
}

/** Returns the operation that is being sent in `ctx`. Returns undefined if another span was opened inside it. */
export function outboundIn(ctx: Context = context.active()): OutboundWork | undefined {
  const work = ctx.getValue(OUTBOUND) as OutboundWork | undefined;
  return work !== undefined && work.span === trace.getSpan(ctx) ? work : undefined;
}

/**
 * Returns the trace headers for a message that is sent in `ctx`, or undefined if there are none. If the user has put a trace context into
 * the `existing` headers, it stays and the span gets a link to it. Never throws.
 */
export function outgoingHeaders(existing?: object, ctx: Context = context.active()): Record<string, string> | undefined {
  try {
    const application = applicationIn(ctx);
    if (application === undefined || (ctx.getValue(OUTBOUND) as OutboundWork | undefined)?.isWithheld === true) return undefined;
    const passthrough = passthroughIn(ctx);
    if (passthrough === undefined && (!application.isEnabled || isSuppressed(ctx))) return undefined;
    const { propagator } = application;
    const others = existing === undefined ? undefined : spanContextIn(propagator.extract(ROOT_CONTEXT, existing, messageHeaderGetter));
    if (others !== undefined) {
      trace.getSpan(ctx)?.addLink({ context: others });
      return undefined;
    }
    const headers: Record<string, string> = {};
    propagator.inject(passthrough ?? ctx, headers, defaultTextMapSetter);
    if (existing !== undefined && messageHeaderGetter.get(existing, BAGGAGE) !== undefined) Reflect.deleteProperty(headers, BAGGAGE);
    return Object.keys(headers).length === 0 ? undefined : headers;
  } catch (error) {
    reportTrouble('propagators', messages.outboundNotTraced(), error);
    return undefined;
  }
}

/** If the user has set this header, it stays unchanged. */
const BAGGAGE = 'baggage';

/**
 * Calls `send` with the span active, returns its value or promise unchanged, and ends the span with it. Calls `describe` with what was
 * sent, only for a span that records. @internal
 */
export function sendIn<T>(work: OutboundWork, send: () => T, describe: (span: Span, sent: unknown) => void): T {
  work.describe = describe;
  return runTracked(work, send, shapeOfSent);
}

/** A promise of any class is on its way already: the span ends with it, even if no caller awaits it. */
function shapeOfSent(sent: unknown): ResultShape {
  return sent instanceof Promise ? 'promise' : shapeOf(sent);
}

/**
 * Calls `send` with other instrumentations suppressed: they open no second span and do not change the headers. Suppresses nothing if this
 * application is disabled.
 */
export function withoutOtherSpans<T>(send: () => T): T {
  const active = context.active();
  return applicationIn(active)?.isEnabled === true ? context.with(suppressed(active), send) : send();
}

/** Returns undefined if nothing leaves the process. */
function open({ tracer }: TracingApplication, operation: OutboundOperation, parent: Context): Span | undefined {
  const isRequest = operation.message === undefined && operation.isIgnored === undefined;
  if (isRequest && operation.request?.() === undefined) return undefined;
  const { kind, name } = operation;
  const options: FinalSpanOptions = { kind, attributes: operation.attributes(), areAttributesFinal: true };
  const span = tracer.startSpan(name, options, parent);
  if (operation.opened !== undefined && span.isRecording()) operation.opened(span);
  return span;
}

function write<Carrier>({ propagator }: TracingApplication, { carrier, headers }: OutboundOperation<Carrier>, ctx: Context): void {
  if (headers === undefined) return;
  try {
    propagator.inject(ctx, carrier, headers);
  } catch (error) {
    reportTrouble('propagators', messages.outboundNotTraced(), error);
  }
}
