/** The one place where an outgoing call becomes a CLIENT span and carries headers, whatever kind of exit it leaves through. */
import {
  type Context,
  context,
  createContextKey,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  type TextMapSetter,
  trace,
} from '@opentelemetry/api';
import { recordFailure } from '../conventions/failure.js';
import {
  type ClientAnswer,
  type ClientConnection,
  clientNetworkAttributes,
  type ClientRequest,
  clientRequestAttributes,
  clientResponseAttributes,
  clientSpanName,
  isClientFailure,
} from '../conventions/http-client.js';
import { guarded, reportTrouble } from '../local/trouble.js';
import { applicationIn, isSuppressed, relayIn, type TracingApplication } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import type { OutboundResponse } from '../tracing.options.js';
import { callRulesOf } from './call-rules.js';

/** A kind of exit: how to read and write the calls that leave through it. */
export interface Exit<Call, Answer> {
  /** What is called; `undefined` where nothing goes over the network, or where it cannot be told. */
  request(call: Call): ClientRequest | undefined;
  /** Whether another instrumentation makes the span of this call. */
  isTracedElsewhere(call: Call, parent: Context, application: TracingApplication): boolean;
  readonly headers: TextMapGetter<Call> & TextMapSetter<Call>;
  /** What an answer says about the wire. */
  answer(answer: Answer): ClientAnswer;
  /** By lower-case name. */
  responseHeaders(answer: Answer): OutboundResponse['headers'];
}

const CALL = createContextKey('nestjs-tracing/client-call');

/** The span of a call that is under way; it ends once, whatever is reported. */
export class ClientSpan<Call = unknown, Answer = unknown> {
  private isOver = false;

  constructor(
    private readonly span: Span,
    private readonly application: TracingApplication,
    private readonly exit: Exit<Call, Answer>,
    private readonly request: ClientRequest,
    private readonly resends: number,
    private readonly isCarried: boolean,
  ) {}

  /** `ctx` in which whatever carries this span's id onwards is known to be this call and gets no second span. */
  mark(ctx: Context): Context {
    return ctx.setValue(CALL, this);
  }

  /** The connection is known, though there is no answer. */
  sentOver(connection: ClientConnection): void {
    this.span.setAttributes(clientNetworkAttributes(connection));
  }

  /** The response headers have arrived. */
  answered(answer: Answer): void {
    this.end(() => {
      const { application, exit, request, resends, span } = this;
      const { onResponse } = application.outbound;
      const facts = exit.answer(answer);
      const readHeaders = () => exit.responseHeaders(answer);
      span.setAttributes(clientResponseAttributes(facts, resends, readHeaders, application.outbound));
      if (isClientFailure(facts.statusCode)) span.setStatus({ code: SpanStatusCode.ERROR });
      if (onResponse === undefined) return;
      const response = { statusCode: facts.statusCode, headers: readHeaders() };
      guarded('outbound.onResponse', () => onResponse(span, response, request), undefined);
    });
  }

  /** The call broke down, perhaps while `answer` was being received. */
  failed(error: unknown, answer?: Answer): void {
    this.end(() => {
      const { application, exit, resends, span } = this;
      if (answer !== undefined) {
        const readHeaders = () => exit.responseHeaders(answer);
        span.setAttributes(clientResponseAttributes(exit.answer(answer), resends, readHeaders, application.outbound));
      }
      recordFailure(span, error);
    });
  }

  /** The caller gave up on purpose, which is no failure of the call. */
  cancelled(): void {
    this.end(() => undefined);
  }

  /** Whether `call` is this one, further down on its way. */
  isSameAs<Inner>(call: Inner, { headers }: Exit<Inner, never>): boolean {
    if (this.isOver) return false;
    return !this.isCarried || callerOf(call, headers, this.application)?.spanId === this.span.spanContext().spanId;
  }

  private end(complete: () => void): void {
    if (this.isOver) return;
    this.isOver = true;
    try {
      complete();
    } catch (error) {
      reportTrouble('outbound', messages.callNotTraced(), error);
    }
    try {
      this.span.end();
    } catch (error) {
      reportTrouble('span-end', messages.spanNotEnded(), error);
    }
  }
}

/**
 * Opens the span of a call that is about to leave and writes the headers; `undefined` where no span records, and then there is nothing
 * to report. Never throws.
 */
export function openClientSpan<Call, Answer>(
  exit: Exit<Call, Answer>,
  call: Call,
  resends = 0,
  parent: Context = context.active(),
): ClientSpan<Call, Answer> | undefined {
  try {
    const application = applicationIn(parent);
    if (application === undefined) return undefined;
    const relay = relayIn(parent);
    if (relay !== undefined) {
      passOn(relay, application, exit, call);
      return undefined;
    }
    if (!application.isEnabled || isSuppressed(parent)) return undefined;
    const outer = parent.getValue(CALL) as ClientSpan | undefined;
    if (outer?.isSameAs(call, exit) || exit.isTracedElsewhere(call, parent, application)) return undefined;
    return open(application, parent, exit, call, resends);
  } catch (error) {
    reportTrouble('outbound', messages.callNotTraced(), error);
    return undefined;
  }
}

/** What the headers of `call` name as its parent. */
export function callerOf<Call>(call: Call, headers: TextMapGetter<Call>, { propagator }: TracingApplication): SpanContext | undefined {
  const caller = trace.getSpanContext(propagator.extract(ROOT_CONTEXT, call, headers));
  return caller !== undefined && isSpanContextValid(caller) ? caller : undefined;
}

function open<Call, Answer>(
  application: TracingApplication,
  parent: Context,
  exit: Exit<Call, Answer>,
  call: Call,
  resends: number,
): ClientSpan<Call, Answer> | undefined {
  const { outbound } = application;
  let request: ClientRequest | undefined;
  let isCarried = true;
  const rules = callRulesOf(outbound);
  if (rules !== undefined) {
    request = exit.request(call);
    if (request === undefined || rules.isIgnored(request)) return undefined;
    isCarried = rules.receivesHeaders(request);
  }
  const unsampled = application.unsampledSpan(parent);
  if (unsampled !== undefined) {
    if (isCarried) inject(application, trace.setSpan(parent, unsampled), exit, call);
    return undefined;
  }
  request ??= exit.request(call);
  if (request === undefined) return undefined;
  const readHeader = (name: string) => exit.headers.get(call, name);
  const attributes = clientRequestAttributes(request, resends, readHeader, outbound);
  const span = application.tracer.startSpan(
    clientSpanName(request.method, outbound.knownMethods),
    { kind: SpanKind.CLIENT, attributes },
    parent,
  );
  const { onRequest } = outbound;
  const isRecording = span.isRecording();
  if (isRecording && onRequest !== undefined) {
    const described = request;
    guarded('outbound.onRequest', () => onRequest(span, described), undefined);
  }
  // Last, so that no hook and nobody else's headers can come between the span and what travels.
  if (isCarried) inject(application, trace.setSpan(parent, span), exit, call);
  return isRecording ? new ClientSpan(span, application, exit, request, resends, isCarried) : undefined;
}

/** An untraced unit of work passes its caller's context on. */
function passOn<Call>(relay: Context, application: TracingApplication, exit: Exit<Call, never>, call: Call): void {
  const rules = callRulesOf(application.outbound);
  const request = rules && exit.request(call);
  if (rules === undefined || (request !== undefined && !rules.isIgnored(request) && rules.receivesHeaders(request))) {
    inject(application, relay, exit, call);
  }
}

function inject<Call>({ propagator }: TracingApplication, ctx: Context, { headers }: Exit<Call, never>, call: Call): void {
  try {
    propagator.inject(ctx, call, headers);
  } catch (error) {
    reportTrouble('propagators', messages.callNotTraced(), error);
  }
}
