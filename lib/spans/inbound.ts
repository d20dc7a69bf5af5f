/** Inbound operations: decides whether one is traced and in which trace, opens its span, and runs its handler. */
import { type Attributes, type Context, context, type Link, type Span, SpanKind, type TextMapGetter, trace } from '@opentelemetry/api';
import { codeAttributes, codeName } from '../conventions/code.js';
import { anyRule } from '../options/ignore-rules.js';
import { messages } from '../options/messages.js';
import type { InboundMessage, InboundRequest } from '../options/tracing-options.js';
import { guarded, reportTrouble } from '../options/trouble.js';
import { asked } from '../propagation/context-values.js';
import { headerGetter, messageHeaderGetter } from '../propagation/message-headers.js';
import { LazyContext, linksTo, SLIM_ROOT } from './context.js';
import type { SpanFacts } from './facts.js';
import { InFlightOperations } from './in-flight.js';
import { type Inbound, InboundWork, type Opening, type OperationEnding } from './inbound-work.js';
import { isUntraced } from './run-in-span.js';
import { runTracked } from './track.js';
import { type FinalSpanOptions, isAnyoneEnlisted, type TracingApplication, UntracedWork } from './work.js';

/** An inbound operation, as its integration describes it. */
export interface InboundOperation extends OperationEnding {
  readonly kind: SpanKind.SERVER | SpanKind.CONSUMER | SpanKind.INTERNAL;
  /** The name of the span, of low cardinality. */
  readonly name: string;
  /** Called only for a span that may record. The result must not be changed later. */
  attributes(): Attributes;
  /** Called in place of {@link attributes} for a span of the built-in tracer. @default the attributes */
  facts?(): SpanFacts;
  /** The message that rules receive. Its headers carry the caller's context, unless that is in {@link within}. */
  readonly message: InboundMessage | InboundRequest;
  /** Returns true if a rule ignores the operation. @default applies `inbound.ignoreMessages` to {@link message} */
  isIgnored?(): boolean;
  /** The context of a caller in this process. It is trusted. If it is untraced, so is the operation. @default none */
  readonly within?: Context | undefined;
  /** What the caller's span becomes. @default `inbound.messageOrigin` for messages, else the parent */
  readonly origin?: 'parent' | 'link' | undefined;
  /** Further links, in addition to the one to the caller. */
  readonly links?: readonly Link[] | undefined;
  /** The handler, if it is known before it is called. */
  readonly handler?: { readonly className: string; readonly method: string } | undefined;
  /** The official instrumentation that may have opened the active span. We add attributes to it and do not end it. */
  readonly instrumentation?: string | undefined;
  /** The span that another instrumentation has opened. We add attributes to it and do not end it. */
  readonly openedElsewhere?: Span | undefined;
  /** True if that instrumentation always continues the caller's trace. @default false */
  readonly isContinuedElsewhere?: boolean | undefined;
  /** Creates the work of the operation. @default work that ends with the handler's result */
  createWork?(opening: Opening): InboundWork;
}

/**
 * Opens the work of an operation; its handler must run in the context of the work. Returns undefined if nothing is traced or passed on.
 * @internal
 */
export function startInbound(
  inbound: InboundOperations,
  operation: InboundOperation,
  isHidden = false,
): InboundWork | UntracedWork | undefined {
  const { application } = inbound;
  const { isEnabled } = application;
  const { message, within, kind } = operation;
  if (within !== undefined && (!isEnabled || isUntraced(within))) return undefined;
  const foreign = foreignSpan(operation);
  if (foreign !== undefined) return isEnabled ? adopt(inbound, operation, foreign, isHidden) : undefined;
  if (isEnabled && (isHidden || inbound.isIgnored(operation))) {
    return new UntracedWork(application, within ?? callerOfUntraced(application, message));
  }
  const incoming = within ?? incomingContext(application, message);
  const caller = within ?? trusted(application, message, incoming);
  if (!isEnabled) {
    // If another application of the process is traced, calls without work would count as that application's.
    return caller === SLIM_ROOT && !isAnyoneEnlisted() ? undefined : new UntracedWork(application, caller);
  }
  const origin = operation.origin ?? (kind === SpanKind.CONSUMER ? application.inbound.messageOrigin : 'parent');
  // The caller's span becomes a link if the caller is not trusted, or if options start a new trace for each message.
  const isLinked = caller !== incoming || origin === 'link';
  const base = isLinked ? trace.deleteSpan(caller) : caller;
  const parent = isKeptFor(application, operation) ? asked(base) : base;
  // A message from a queue has a link to the span that sent it, even if that span is the parent.
  const hasLink = isLinked || (kind === SpanKind.CONSUMER && within === undefined);
  const span =
    application.unsampledSpan(parent, true) ?? startSpan(application, operation, parent, hasLink ? linksTo(incoming) : undefined);
  return workOf(inbound, operation, span, parent, caller, false);
}

/** Opens work with another instrumentation's span. Adds attributes to the span, but does not end it. */
function adopt(inbound: InboundOperations, operation: InboundOperation, span: Span, isHidden: boolean): InboundWork | UntracedWork {
  const { application } = inbound;
  const active = context.active();
  if (isHidden || inbound.isIgnored(operation)) return new UntracedWork(application, active, active);
  if (span.isRecording()) {
    span.setAttributes(attributesOf(operation));
    if (isKeptFor(application, operation)) application.keepTrace(active);
    // Some instrumentations do not continue the caller's trace. Their span gets a link to the caller.
    const [link] = operation.isContinuedElsewhere === true ? [] : linksTo(incomingContext(application, operation.message));
    if (link !== undefined && link.context.traceId !== span.spanContext().traceId) span.addLink(link);
  }
  return workOf(inbound, operation, span, active, active, true);
}

/** Returns true if the caller sent the header of `inbound.keepHeader` with the secret. */
function isKeptFor({ inbound: { keepHeader } }: TracingApplication, { message }: InboundOperation): boolean {
  if (keepHeader === undefined) return false;
  const value: unknown = getterOf(message).get(message.headers, keepHeader.name);
  return value !== undefined && keepHeader.matches(value);
}

function workOf(
  inbound: Inbound,
  operation: InboundOperation,
  span: Span,
  parent: Context,
  caller: Context,
  isForeign: boolean,
): InboundWork {
  const opening = { span, parent, caller, isForeign };
  return operation.createWork?.(opening) ?? new InboundWork(inbound, opening, operation.handler !== undefined, operation);
}

function startSpan({ tracer }: TracingApplication, operation: InboundOperation, parent: Context, links: Link[] | undefined): Span {
  const { name, kind } = operation;
  const all = operation.links === undefined ? links : [...(links ?? []), ...operation.links];
  const facts = tracer.takesFacts === true ? operation.facts?.() : undefined;
  const attributes = facts === undefined ? attributesOf(operation) : undefined;
  const options: FinalSpanOptions = { kind, attributes, facts, links: all, areAttributesFinal: true };
  return tracer.startSpan(name, options, parent);
}

function attributesOf(operation: InboundOperation): Attributes {
  const { handler } = operation;
  const own = operation.attributes();
  return handler === undefined ? own : { ...own, ...codeAttributes(codeName(handler.className, handler.method)) };
}

/** Returns the span that another instrumentation has opened for the operation, if any. It may have ended. */
function foreignSpan({ openedElsewhere, instrumentation, kind }: InboundOperation): Span | undefined {
  if (openedElsewhere !== undefined || instrumentation === undefined) return openedElsewhere;
  const span: (Span & Partial<MadeSpan>) | undefined = trace.getActiveSpan();
  return span?.kind === kind && span.instrumentationScope?.name === instrumentation ? span : undefined;
}

interface MadeSpan {
  readonly kind: SpanKind;
  readonly instrumentationScope: { readonly name: string };
}

/** Reads the context from the headers, trusted or not. Returns `SLIM_ROOT` if they carry none. */
function incomingContext({ propagator }: TracingApplication, message: Pick<InboundRequest | InboundMessage, 'headers'>): Context {
  return propagator.extract(SLIM_ROOT, message.headers, getterOf(message));
}

function getterOf(message: object): TextMapGetter<InboundRequest['headers']> {
  return 'system' in message ? messageHeaderGetter : headerGetter;
}

/** Returns `incoming` if its caller is trusted, else `SLIM_ROOT`. */
function trusted({ inbound }: TracingApplication, message: InboundRequest, incoming: Context): Context {
  const { trust } = inbound;
  if (incoming === SLIM_ROOT || trust === true) return incoming;
  const isTrusted = trust !== false && guarded('inbound.trust', () => trust(message), false) === true;
  return isTrusted ? incoming : SLIM_ROOT;
}

/** Returns the caller's context for an untraced operation. Most of these never use it, so headers are read on first use. */
function callerOfUntraced(application: TracingApplication, message: InboundRequest): Context {
  const read = () => trusted(application, message, incomingContext(application, message));
  // A user's function is called now, while the request is available.
  return typeof application.inbound.trust === 'function' ? read() : new LazyContext(read);
}

/** The inbound operations of one application. @internal */
export class InboundOperations implements Inbound {
  readonly inFlight = new InFlightOperations<InboundWork>('handler');
  /** True after {@link close}. Operations that come in later are handled without tracing. */
  isClosed = false;
  /** Returns true if a rule of `inbound.ignoreMessages` matches the message. */
  readonly isIgnoredMessage: (message: InboundMessage) => boolean;
  private handlers = 0;

  constructor(readonly application: TracingApplication) {
    this.isIgnoredMessage = anyRule(application.inbound.ignoreMessages, ({ destination }) => destination, 'inbound.ignoreMessages');
  }

  /**
   * Calls `handle` in the work of an operation. Returns or throws exactly what `handle` does, and ends the work with it. `isHidden`: true
   * if the operation must not be traced.
   */
  run<T>(describe: () => InboundOperation, handle: () => T, isHidden = false): T {
    const work = this.start(describe, isHidden);
    return work === undefined ? handle() : runTracked(work, handle);
  }

  /** Does what {@link startInbound} does, for integrations that end the work themselves. Never throws. */
  start(describe: () => InboundOperation, isHidden = false): InboundWork | UntracedWork | undefined {
    try {
      return this.isClosed ? undefined : startInbound(this, describe(), isHidden);
    } catch (error) {
      reportTrouble('inbound.message', messages.messageNotTraced(), error);
      return undefined;
    }
  }

  isIgnored(operation: InboundOperation): boolean {
    return operation.isIgnored?.() ?? this.isIgnoredMessage(operation.message as InboundMessage);
  }

  /** Returns true if the headers carry a caller's context. */
  hasContext(headers: InboundMessage['headers']): boolean {
    return this.linksTo(headers).length > 0;
  }

  /** Returns the link to the caller whose context the headers carry, as a list, which may be empty. */
  linksTo(headers: InboundMessage['headers']): Link[] {
    return linksTo(incomingContext(this.application, { headers }));
  }

  /** Makes closing wait for a handler that runs until `settled`, although its span has ended. */
  waitFor(settled: PromiseLike<unknown>): void {
    this.handlers += 1;
    const done = (): void => void (this.handlers -= 1);
    settled.then(done, done);
  }

  /** True if a handler is still running. */
  get isAtWork(): boolean {
    return this.handlers > 0 || this.inFlight.all().some(work => work.isUnderWay);
  }

  /** Ends the spans of operations in flight. Later operations are handled without tracing. */
  close(): void {
    this.isClosed = true;
    for (const work of this.inFlight.all()) work.cutOff();
  }
}
