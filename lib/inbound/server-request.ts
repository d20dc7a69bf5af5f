/** One HTTP request from its arrival to the close of its response: opens its SERVER span, completes it as things become known, ends it once. */
import { type Attributes, type Context, type Span, SpanKind, SpanStatusCode, trace, TraceFlags } from '@opentelemetry/api';
import { codeAttributes } from '../conventions/code.js';
import { errorType, exceptionMessage, markFailure, recordExceptionAt } from '../conventions/failure.js';
import {
  routeAttributes,
  type ServerMessage,
  serverRequestAttributes,
  serverResponseAttributes,
  serverSpanName,
} from '../conventions/http-server.js';
import { SLIM_ROOT, untracedContext } from '../local/slim-context.js';
import { guarded, reportTrouble } from '../local/trouble.js';
import { isAnyoneEnlisted, type TracingApplication, withWork } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import type { InboundRequest } from '../tracing.options.js';
import { callerOfUntraced, incomingContext, linksTo, trusted } from './caller.js';
import { ServedWork } from './served-work.js';
import { UntracedRequest } from './untraced-request.js';

/** The request as node:http, node:http2 and injection hand it over. */
export interface IncomingMessage extends ServerMessage, InboundRequest {
  readonly aborted?: boolean;
  readonly errored?: unknown;
  /** Express: the layer that answered. */
  readonly route?: { readonly path?: unknown };
  readonly baseUrl?: string;
}

/** Fastify's own request; it puts `routeOptions` together whenever they are read. */
export interface FastifyRequest {
  readonly routeOptions?: { readonly url?: string };
}

/** The response as node:http, node:http2 and injection hand it over. */
export interface OutgoingMessage {
  statusCode: number;
  readonly headersSent: boolean;
  readonly writableEnded: boolean;
  /** Absent on HTTP/2. */
  readonly writableFinished?: boolean;
  readonly errored?: unknown;
  setHeader(name: string, value: string): unknown;
  removeHeader(name: string): void;
  getHeader(name: string): number | string | readonly string[] | undefined;
  on(event: 'close' | 'finish', listener: () => void): unknown;
}

type BrokenSocket = { readonly errored?: unknown } | null | undefined;
type HeaderValue = number | string | readonly string[] | undefined;

/** Whether a request's span was opened here, or by another instrumentation and is completed here. */
type Ownership = 'own' | 'foreign';

/** Set while there is a viewer. */
const URL_HEADER = 'x-trace-url';
const SEVERAL = 'GraphQL Operations';
const nothingThrown = Symbol('nothing thrown');

export class ServerRequest extends ServedWork {
  private thrown: unknown = nothingThrown;
  private thrownAt = 0;
  private hasRoute = false;
  private hasHandler = false;
  private isOver = false;
  /** Kept, as a response that is over has let go of its socket. */
  private readonly socket: BrokenSocket;
  /** How many operations it carries that have a name of their own. */
  private nameCount = 0;
  private answered: { readonly thrown: unknown; readonly isRecorded: boolean } | undefined = undefined;
  private undecided: string | undefined = undefined;
  /** Whether a handler has been entered: what it calls itself is its own affair. */
  private isServed = false;
  /** Reads headers that the framework below keeps to itself. */
  frameworkHeaders: ((name: string) => HeaderValue) | undefined = undefined;
  /** The request as Fastify sees it. */
  frameworkRequest: FastifyRequest | undefined = undefined;

  constructor(
    readonly application: TracingApplication,
    readonly span: Span,
    private readonly caller: Context,
    readonly request: IncomingMessage,
    private readonly response: OutgoingMessage,
    private readonly ownership: Ownership,
    private readonly entrance: Entrance,
  ) {
    super();
    this.socket = request.socket as BrokenSocket;
    if (!span.isRecording()) return;
    entrance.open.add(this);
    response.on('close', () => this.close());
    const { onRequest } = application.inbound;
    if (onRequest !== undefined) guarded('inbound.onRequest', () => onRequest(span, request), undefined);
  }

  /** The route is known, right before Nest's guards run; `attributes` are those of the route and, if it is decided, of its handler. */
  override routed(route: string, attributes: Attributes = routeAttributes(route), hasHandler = false): void {
    this.hasRoute = true;
    this.hasHandler = hasHandler;
    this.undecided = undefined;
    if (!this.span.isRecording()) return;
    this.span.setAttributes(attributes);
    if (this.nameCount === 0) this.span.updateName(serverSpanName(this.request.method, route, this.application.inbound.knownMethods));
  }

  /** Several operations in one request have no name in common. */
  override named(name: string, attributes: () => Attributes): void {
    this.nameCount += 1;
    if (!this.span.isRecording()) return;
    this.span.updateName(this.nameCount === 1 ? name : SEVERAL);
    if (this.nameCount === 1) this.span.setAttributes(attributes());
  }

  override answeredWith(thrown: unknown, isRecorded: boolean): void {
    this.answered ??= { thrown, isRecorded };
  }

  /** A header or host may still lead to another route. */
  perhapsRouted(route: string): void {
    this.undecided = route;
  }

  get isTaken(): boolean {
    return this.isServed;
  }

  enter(): boolean {
    const isFirst = !this.isServed;
    this.isServed = true;
    if (this.undecided !== undefined) this.routed(this.undecided);
    return isFirst;
  }

  handledBy(className: string, method: string): void {
    if (this.hasHandler) return;
    this.hasHandler = true;
    if (this.span.isRecording()) this.span.setAttributes(codeAttributes(className, method));
  }

  threw(thrown: unknown): void {
    if (this.thrown === thrown) return;
    this.thrown = thrown;
    this.thrownAt = Date.now();
  }

  abandon(): void {
    if (this.relay !== undefined) return;
    this.relay = this.caller;
    this.entrance.open.delete(this);
    const { responseHeader } = this.application.inbound;
    if (this.response.headersSent) return;
    if (responseHeader !== undefined) this.response.removeHeader(responseHeader);
    this.response.removeHeader(URL_HEADER);
  }

  /** The response has been sent, or nobody will receive it any more. */
  close(isFinished = false): void {
    if (this.isOver || this.relay !== undefined) return;
    this.isOver = true;
    this.entrance.open.delete(this);
    // Called by an event: whatever is thrown here would end the process.
    try {
      this.complete(isFinished);
    } catch (error) {
      reportTrouble('inbound.close', messages.requestNotTraced(), error);
    }
    try {
      if (this.ownership === 'own') this.span.end();
    } catch (error) {
      reportTrouble('span-end', messages.spanNotEnded(), error);
    }
  }

  /** Everything that is known when the response is over. */
  private complete(isFinished: boolean): void {
    const { span, request, response } = this;
    const { inbound } = this.application;
    if (this.undecided !== undefined && response.statusCode !== 404) this.routed(this.undecided);
    if (!this.hasRoute) this.routeWithoutNest();
    const { onResponse } = inbound;
    const isDropped = !isFinished && wasDropped(request, response, this.socket);
    const statusCode = isDropped && !response.headersSent ? undefined : response.statusCode;
    // An error status speaks for itself.
    const answered = statusCode !== undefined && statusCode < 400 && !isDropped ? this.answered : undefined;
    if (answered !== undefined) this.threw(answered.thrown);
    const failure = answered === undefined ? this.failureOf(statusCode, isDropped) : errorType(answered.thrown);
    const isRecorded = answered?.isRecorded === true || this.thrown === nothingThrown;
    if (failure !== undefined && !isRecorded) recordExceptionAt(span, this.thrown, this.thrownAt);
    const getHeader = (name: string) => this.frameworkHeaders?.(name) ?? response.getHeader(name);
    if (this.ownership === 'foreign') {
      if (answered !== undefined) markFailure(span, answered.thrown);
      span.setAttributes(serverResponseAttributes(undefined, undefined, getHeader, inbound));
      if (onResponse !== undefined)
        guarded('inbound.onResponse', () => onResponse(span, { statusCode: response.statusCode, getHeader }, request), undefined);
      return;
    }
    span.setAttributes(serverResponseAttributes(statusCode, failure, getHeader, inbound));
    if (failure !== undefined) {
      const message = this.thrown === nothingThrown ? undefined : exceptionMessage(this.thrown);
      span.setStatus(message ? { code: SpanStatusCode.ERROR, message } : { code: SpanStatusCode.ERROR });
    }
    if (onResponse !== undefined)
      guarded('inbound.onResponse', () => onResponse(span, { statusCode: response.statusCode, getHeader }, request), undefined);
  }

  /** `error.type` of a failed request: a 5xx, or a connection dropped before the response was complete. */
  private failureOf(statusCode: number | undefined, isDropped: boolean): string | undefined {
    if (isDropped) {
      const cause = this.response.errored ?? this.request.errored ?? this.socket?.errored;
      return isError(cause) ? errorType(cause) : 'ECONNRESET';
    }
    return statusCode !== undefined && statusCode >= 500 ? String(statusCode) : undefined;
  }

  /** A route that the framework below serves without Nest leaves its template on the request. */
  private routeWithoutNest(): void {
    const { route, baseUrl } = this.request;
    // Under a mounted router the template of the mount is unknown; what Nest registers beside routes are middleware and its 404.
    const isUsers = typeof route?.path === 'string' && !baseUrl && !this.entrance.isNestPath(route.path);
    const path = isUsers ? route.path : this.fastifyRoute();
    if (path !== undefined) this.routed(path);
  }

  private fastifyRoute(): string | undefined {
    const url = this.frameworkRequest?.routeOptions?.url;
    return url !== undefined && !this.entrance.isNestPath(url) ? url : undefined;
  }
}

/** What requests share with the server that they came in through. */
export interface Entrance {
  /** Requests whose span has not ended. */
  readonly open: Set<ServerRequest>;
  /** Whether a path, as the framework below knows it, was registered by Nest. */
  isNestPath(path: string): boolean;
}

/** Opens the SERVER span of a request; returns the context everything below runs in, `undefined` where there is nothing to carry. */
export function openServerRequest(
  application: TracingApplication,
  request: IncomingMessage,
  response: OutgoingMessage,
  isIgnored: (request: InboundRequest) => boolean,
  entrance: Entrance,
): Context | undefined {
  const { inbound } = application;
  if (!application.isEnabled) {
    const caller = trusted(application, request, incomingContext(application, request));
    // Beside an application that is traced, work that belongs to nobody would be taken for its.
    if (caller === SLIM_ROOT && !isAnyoneEnlisted()) return undefined;
    return untracedContext(new UntracedRequest(application, request, caller));
  }
  if (isIgnored(request)) return untracedContext(new UntracedRequest(application, request, callerOfUntraced(application, request)));

  const incoming = incomingContext(application, request);
  const caller = trusted(application, request, incoming);
  const span =
    application.unsampledSpan(caller) ??
    application.tracer.startSpan(
      serverSpanName(request.method, undefined, inbound.knownMethods),
      {
        kind: SpanKind.SERVER,
        attributes: serverRequestAttributes(request, inbound),
        links: caller === incoming ? undefined : linksTo(incoming),
      },
      caller,
    );
  nameTrace(application, span, response);
  const serverRequest = new ServerRequest(application, span, caller, request, response, 'own', entrance);
  return withWork(trace.setSpan(caller, span), serverRequest);
}

/** Tells the caller the id of the trace, if the options want that, and where it can be looked at, if it can. */
export function nameTrace({ inbound, traceUrlPrefix }: TracingApplication, span: Span, response: OutgoingMessage): void {
  if (inbound.responseHeader === undefined && traceUrlPrefix === undefined) return;
  const { traceId, traceFlags } = span.spanContext();
  if (inbound.responseHeader !== undefined) response.setHeader(inbound.responseHeader, traceId);
  const isShown = traceUrlPrefix !== undefined && span.isRecording() && (traceFlags & TraceFlags.SAMPLED) !== 0;
  if (isShown) response.setHeader(URL_HEADER, traceUrlPrefix + traceId);
}

/** On HTTP/2, and where the socket broke under a large body, `writableFinished` claims that all went well. */
function wasDropped(request: IncomingMessage, response: OutgoingMessage, socket: BrokenSocket): boolean {
  return !response.writableEnded || response.writableFinished === false || isError(socket?.errored) || isResetStream(request);
}

function isResetStream({ aborted, httpVersion }: IncomingMessage): boolean {
  return aborted === true && httpVersion === '2.0';
}

function isError(value: unknown): boolean {
  return value !== null && value !== undefined;
}
