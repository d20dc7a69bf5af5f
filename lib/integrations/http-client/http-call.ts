/** The CLIENT span of one outgoing HTTP call, made by any library: from the request to the response or the failure. */
import http from 'node:http';
import https from 'node:https';
import {
  type Attributes,
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
import { recordFailure } from '../../conventions/failure.js';
import { addHeaders, methodInName } from '../../conventions/http.js';
import type { OutboundResponse } from '../../options/tracing-options.js';
import { guarded } from '../../options/trouble.js';
import { type OutboundOperation, type OutboundWork, startOutbound } from '../../spans/outbound.js';
import { applicationIn, type TracingApplication } from '../../spans/work.js';
import {
  addConnection,
  type ClientAnswer,
  type ClientConnection,
  type ClientRequest,
  clientRequestAttributes,
  clientResponseAttributes,
  isClientFailure,
} from './attributes.js';

/** Reads and writes the calls of one HTTP library. */
export interface HttpLibrary<Call, Answer> {
  /** Returns the request. Returns undefined if nothing goes over the network, or if the URL cannot be read. */
  request(call: Call): ClientRequest | undefined;
  /** Returns true if another instrumentation makes the span of this call. */
  isTracedElsewhere(call: Call, parent: Context, application: TracingApplication): boolean;
  readonly headers: TextMapGetter<Call> & TextMapSetter<Call>;
  answer(answer: Answer): ClientAnswer;
  /** The keys are lower-case names. */
  responseHeaders(answer: Answer): OutboundResponse['headers'];
}

/** The call that is in flight in a context. */
const CALL = createContextKey('nestjs-tracing/http-call');

/**
 * Opens the span of an outgoing call and writes the headers. Returns undefined if no span records: then there is nothing to report.
 * `resends`: how often the call was sent before. Never throws.
 */
export function startHttpCall<Call, Answer>(
  library: HttpLibrary<Call, Answer>,
  call: Call,
  resends = 0,
  parent: Context = context.active(),
): HttpCall<Call, Answer> | undefined {
  const application = applicationIn(parent);
  if (application === undefined) return undefined;
  const started = new HttpCall(application, library, call, resends);
  started.work = startOutbound(application, started, parent);
  return started.work.span.isRecording() ? started : undefined;
}

/** The first report (response, failure or cancellation) ends the span. */
export class HttpCall<Call = unknown, Answer = unknown> implements OutboundOperation<Call> {
  /** Set by {@link startHttpCall}. */
  work!: OutboundWork;
  private described: ClientRequest | undefined;
  private isWithheld = false;

  constructor(
    private readonly application: TracingApplication,
    private readonly library: HttpLibrary<Call, Answer>,
    readonly carrier: Call,
    private readonly resends: number,
  ) {}

  get kind() {
    return SpanKind.CLIENT as const;
  }

  get name(): string {
    return methodInName(this.request()?.method ?? '', this.application.outbound.knownMethods);
  }

  get headers(): TextMapSetter<Call> {
    return this.library.headers;
  }

  request(): ClientRequest | undefined {
    return (this.described ??= this.library.request(this.carrier));
  }

  attributes(): Attributes {
    const request = this.request();
    if (request === undefined) return {};
    const readHeader = (name: string) => this.library.headers.get(this.carrier, name);
    return clientRequestAttributes(request, this.resends, readHeader, this.application.outbound);
  }

  /** One library may call another: a call that carries the span id of an outer call is the same call. */
  hasSpan(parent: Context): boolean {
    const { application, carrier, library } = this;
    const outer = parent.getValue(CALL) as HttpCall | undefined;
    return outer?.isSameAs(carrier, library) === true || library.isTracedElsewhere(carrier, parent, application);
  }

  opened(span: Span): void {
    const { onRequest } = this.application.outbound;
    const request = this.request();
    if (onRequest === undefined || request === undefined) return;
    guarded('outbound.onRequest', () => onRequest(span, request), undefined);
  }

  /** Returns `ctx` with a mark: an inner library that makes this same call opens no second span there. */
  mark(ctx: Context): Context {
    return ctx.setValue(CALL, this);
  }

  /** Reports that the call goes on without headers, to a host that must not get them. */
  withhold(): void {
    this.isWithheld = true;
  }

  /** Reports that the headers are final, as a library may add some after the request was made. */
  describeHeaders(): void {
    const { captureRequestHeaders } = this.application.outbound;
    if (captureRequestHeaders.length === 0) return;
    this.work.note(() => {
      const attributes: Attributes = {};
      addHeaders(attributes, 'request', captureRequestHeaders, name => this.library.headers.get(this.carrier, name));
      return attributes;
    });
  }

  /** Reports the connection of a call that gets no response. */
  sentOver(connection: ClientConnection): void {
    this.work.note(() => addConnection({}, connection));
  }

  /** Reports the response headers and ends the span. */
  answered(answer: Answer): void {
    this.work.endWith(span => {
      const { onResponse } = this.application.outbound;
      const facts = this.addAnswer(span, answer);
      if (isClientFailure(facts.statusCode)) span.setStatus({ code: SpanStatusCode.ERROR });
      const request = this.request();
      if (onResponse === undefined || request === undefined) return;
      const response = { statusCode: facts.statusCode, headers: this.library.responseHeaders(answer) };
      guarded('outbound.onResponse', () => onResponse(span, response, request), undefined);
    });
  }

  /** Reports a failure and ends the span. `answer` is set if its body broke off. */
  failed(error: unknown, answer?: Answer): void {
    this.work.endWith(span => {
      if (answer !== undefined) this.addAnswer(span, answer);
      recordFailure(span, error);
    });
  }

  /** Ends the span without an error: the caller cancelled the call. */
  cancelled(): void {
    this.work.end();
  }

  private addAnswer(span: Span, answer: Answer): ClientAnswer {
    const { application, library, resends } = this;
    const facts = library.answer(answer);
    span.setAttributes(clientResponseAttributes(facts, resends, () => library.responseHeaders(answer), application.outbound));
    return facts;
  }

  /** Returns true if `call` is this same call, made by an inner library. */
  private isSameAs<Inner>(call: Inner, { headers }: HttpLibrary<Inner, never>): boolean {
    const { application, work } = this;
    if (work.hasEnded) return false;
    return this.isWithheld || work.isWithheld || callerOf(call, headers, application)?.spanId === work.span.spanContext().spanId;
  }
}

/** Returns the span context in the headers of `call`, if it is valid. */
export function callerOf<Call>(call: Call, headers: TextMapGetter<Call>, { propagator }: TracingApplication): SpanContext | undefined {
  const caller = trace.getSpanContext(propagator.extract(ROOT_CONTEXT, call, headers));
  return caller !== undefined && isSpanContextValid(caller) ? caller : undefined;
}

/**
 * Returns true if instrumentation-http makes the spans of calls through `node:http`. It marks `http.request` when it wraps it, unless its
 * outgoing side is disabled. If the user tells it to ignore a call, that call has no span at all.
 */
export function isHttpInstrumented(): boolean {
  return isWrapped(http.request) || isWrapped(https.request);
}

function isWrapped(request: object): boolean {
  return '__wrapped' in request && request.__wrapped === true;
}
