/** The work of one HTTP request until its response closes: completes its SERVER span step by step, and ends it once. */
import { type Attributes, type Context, SpanStatusCode } from '@opentelemetry/api';
import { codeAttributes, codeName } from '../../conventions/code.js';
import { errorType, exceptionMessage } from '../../conventions/exception.js';
import { markFailure, recordCutOff, recordExceptionOnce } from '../../conventions/failure.js';
import { messages } from '../../options/messages.js';
import { guarded, reportTrouble } from '../../options/trouble.js';
import { wallTime } from '../../spans/clock.js';
import { factsOf } from '../../spans/facts.js';
import type { InboundOperations } from '../../spans/inbound.js';
import { InboundWork, type Opening } from '../../spans/inbound-work.js';
import { capturedInput, type ParsedRequest } from './captured-input.js';
import { routeAttributes, serverResponseAttributes, serverSpanName } from './attributes.js';
import type { DeclaredRoutes, FastifyRequest } from './declared-routes.js';
import {
  Connection,
  erroredStream,
  hasLeft,
  type IncomingMessage,
  type OutgoingMessage,
  type Socket,
  wasDropped,
  watchSource,
} from './http-messages.js';
import { emitInWork, type RequestWork, setRequestWork, type TracedRequest } from './request-work.js';
import { ServerFacts } from './server-facts.js';

/** This response header is sent while a viewer is set. */
export const URL_HEADER = 'x-trace-url';
const SEVERAL = 'GraphQL Operations';

export class ServerRequest extends InboundWork implements TracedRequest, RequestWork {
  reached: Context | undefined = undefined;
  mounted: RequestWork | undefined = undefined;
  mount: string | undefined = '';
  finishListeners = 0;
  private thrownAt = 0;
  /** By `performance.now()`. Set if slow requests are recorded in more detail. */
  private startedAt = Number.NaN;
  /** True if an error came after the status was sent, so that the status does not show it. */
  private isErrorHidden = false;
  /** The status that was sent before that error. An exception filter may set another status, but no client receives it. */
  private sentStatus: number | undefined = undefined;
  /** True if that error came after the response began and before it was complete. */
  private isTruncated = false;
  private hasRoute = false;
  private hasHandler = false;
  /** Kept here because a response loses its socket when it is over. */
  private readonly socket: Socket | null | undefined;
  private readonly connection: Connection | undefined = undefined;
  /** How many named operations (of GraphQL) the request carries. */
  private nameCount = 0;
  /** The first error in the body of the answer. */
  private answered: { readonly thrown: unknown } | undefined = undefined;
  /** The route that matches by its path, while a header or the host may still select another one. */
  private undecided: { readonly route: string | undefined } | undefined = undefined;
  private isUnmatched = false;
  /** Settles when the handler is done. */
  private handling: PromiseLike<unknown> | undefined = undefined;
  /** Fastify's own request and reply. The reply has more headers than Node's response. */
  fastifyRequest: FastifyRequest | undefined = undefined;
  fastifyReply: Pick<OutgoingMessage, 'getHeader'> | undefined = undefined;

  constructor(
    private readonly requests: InboundOperations,
    /** The routes of the outermost application. */
    readonly routes: DeclaredRoutes,
    opening: Opening,
    readonly request: IncomingMessage,
    private readonly response: OutgoingMessage,
  ) {
    super(requests, opening, false);
    this.socket = request.socket;
    const { span, isForeign } = opening;
    // The instrumentation that opened the span also binds the listeners.
    if (isForeign) setRequestWork(request, this);
    else emitInWork(request, response, this);
    if (!span.isRecording()) {
      this.release();
      return;
    }
    if (isForeign) response.on('close', () => this.close());
    else this.connection = Connection.enter(request, this);
    const { onRequest, captureOnFailure } = this.application.inbound;
    if (captureOnFailure?.slowerThanMs !== undefined) this.startedAt = performance.now();
    if (onRequest !== undefined) guarded('inbound.onRequest', () => onRequest(span, request), undefined);
  }

  override routed(
    route: string | undefined,
    attributes: Attributes = route === undefined ? {} : routeAttributes(route),
    hasHandler = false,
  ): void {
    this.hasRoute = true;
    this.hasHandler = hasHandler;
    this.undecided = undefined;
    if (!this.span.isRecording()) return;
    this.add(attributes);
    if (route === undefined || this.nameCount > 0) return;
    this.span.updateName(serverSpanName(this.request.method, route, this.application.inbound.knownMethods));
  }

  perhapsRouted(route: string | undefined): void {
    this.undecided = { route };
  }

  decided(route: string | undefined, attributes: Attributes): void {
    if (this.undecided !== undefined) this.routed(route, attributes, true);
  }

  unmatched(): void {
    this.isUnmatched = true;
  }

  /** If the request has several operations, the span gets a generic name. */
  override named(name: string, attributes: () => Attributes): void {
    this.nameCount += 1;
    if (!this.span.isRecording()) return;
    this.span.updateName(this.nameCount === 1 ? name : SEVERAL);
    if (this.nameCount === 1) this.add(attributes());
  }

  override answeredWith(thrown: unknown): void {
    this.answered ??= { thrown };
  }

  override enter(): boolean {
    if (this.undecided !== undefined) this.routed(this.undecided.route);
    return super.enter();
  }

  override handledBy(className: string, method: string): void {
    if (this.hasHandler) return;
    this.hasHandler = true;
    if (this.span.isRecording()) this.add(codeAttributes(codeName(className, method)));
  }

  override threw(thrown: unknown): void {
    // After the status was sent, a further error is mostly "headers already sent".
    if (this.lastThrown === thrown || this.sentStatus !== undefined) return;
    super.threw(thrown);
    this.thrownAt = wallTime();
    const { request, response, socket } = this;
    if (!response.headersSent) return;
    this.sentStatus = response.statusCode;
    // If the client has left, that is the reason for the error.
    if (request.aborted === true || socket?.destroyed === true) return;
    this.isErrorHidden = true;
    this.isTruncated = !response.writableEnded;
  }

  override returned(settled?: PromiseLike<unknown>): void {
    this.handling = settled;
  }

  override handedOut(): void {
    if (this.span.isRecording()) this.response.on('pipe', source => watchSource(source, this));
  }

  sourceBroke(thrown: unknown): void {
    if (this.hasEnded || this.request.aborted === true || this.socket?.destroyed === true) return;
    this.threw(thrown);
    this.isErrorHidden = true;
  }

  override abandon(): void {
    if (this.passthrough !== undefined) return;
    super.abandon();
    const { responseHeader } = this.application.inbound;
    if (this.response.headersSent) return;
    if (responseHeader !== undefined) this.response.removeHeader(responseHeader);
    this.response.removeHeader(URL_HEADER);
  }

  /** True until the answer begins. After that it may continue for ever, so closing does not wait for it. */
  override get isUnderWay(): boolean {
    return !this.response.headersSent;
  }

  /** Always false: the response's `close` event tells the end. */
  override get isWatched(): boolean {
    return false;
  }

  override cutOff(): void {
    this.close();
  }

  override fail(thrown: unknown): void {
    this.threw(thrown);
    this.close();
  }

  override end(): void {
    this.close();
  }

  /** Ends the work. Called when the response is sent or its connection is closed. */
  close(isFinished = false): void {
    if (this.hasEnded || this.passthrough !== undefined) return;
    this.release();
    this.leave();
    // An event calls this, so an exception would end the process.
    try {
      this.complete(isFinished);
    } catch (error) {
      reportTrouble('inbound.close', messages.requestNotTraced(), error);
    }
    if (!this.isForeign) this.endSpan();
  }

  protected override leave(): void {
    super.leave();
    this.connection?.leave(this);
  }

  /** Adds attributes to the span that are not changed later. */
  private add(attributes: Attributes): void {
    const facts = factsOf(this.span);
    if (facts instanceof ServerFacts) facts.add(attributes);
    else this.span.setAttributes(attributes);
  }

  /** Adds everything to the span that is known when the response is over. */
  private complete(isFinished: boolean): void {
    const { span, request, response } = this;
    const { inbound } = this.application;
    if (!this.hasRoute && !this.isUnmatched) {
      // Nest has announced no route. If Fastify matched a Nest route for other hosts only, no route matched.
      const route = this.routes.matched(request, this.undecided === undefined ? this.fastifyRequest : undefined);
      if (route !== undefined) this.routed(route);
    }
    const { onResponse } = inbound;
    const isDropped = !isFinished && wasDropped(request, response, this.socket);
    const status = this.sentStatus ?? response.statusCode;
    const statusCode = isDropped && !response.headersSent ? undefined : status;
    // An error in the body matters only if the status is no error.
    const answered = statusCode !== undefined && statusCode < 400 && !isDropped ? this.answered : undefined;
    if (answered !== undefined) this.threw(answered.thrown);
    else if (isDropped && !this.isTruncated) {
      // The application may have destroyed the response with an error.
      const reason = response.errored ?? erroredStream(request) ?? undefined;
      if (reason !== undefined) this.threw(reason);
    }
    const failure = answered === undefined ? this.failureOf(statusCode, isDropped) : errorType(answered.thrown);
    if ((failure !== undefined || this.isErrorHidden) && this.hasThrown) recordExceptionOnce(span, this.lastThrown, this.thrownAt);
    const getHeader = (name: string) => this.fastifyReply?.getHeader(name) ?? response.getHeader(name);
    if (this.isForeign) {
      if (answered !== undefined || this.isTruncated) markFailure(span, this.lastThrown);
      span.setAttributes(serverResponseAttributes(undefined, undefined, getHeader, inbound));
    } else {
      this.add(serverResponseAttributes(statusCode, failure, getHeader, inbound));
      if (failure !== undefined) {
        const message = this.hasThrown ? exceptionMessage(this.lastThrown) : undefined;
        span.setStatus(message ? { code: SpanStatusCode.ERROR, message } : { code: SpanStatusCode.ERROR });
      }
      if (isDropped && this.isCutOff()) recordCutOff(span);
    }
    this.captureInput(failure !== undefined, statusCode);
    if (onResponse !== undefined)
      guarded('inbound.onResponse', () => onResponse(span, { statusCode: status, getHeader }, request), undefined);
  }

  /** Records what the request contained, if it failed or was slow and if the options ask for it. */
  private captureInput(hasFailed: boolean, statusCode = 0): void {
    const { captureOnFailure } = this.application.inbound;
    if (captureOnFailure === undefined) return;
    const { fromStatus, slowerThanMs = Infinity } = captureOnFailure;
    if (!hasFailed && statusCode < fromStatus && !(performance.now() - this.startedAt >= slowerThanMs)) return;
    const parsed: ParsedRequest = this.fastifyRequest ?? this.request;
    const { span, request } = this;
    guarded('inbound.captureOnFailure', () => span.setAttributes(capturedInput(request, parsed, captureOnFailure)), span);
  }

  /** Returns true if the closing application broke the connection. If it is still closing, it then waits for the handler. */
  private isCutOff(): boolean {
    if (this.requests.isClosed) return true;
    if (!this.application.isClosing || hasLeft(this.socket)) return false;
    if (this.handling !== undefined) this.requests.waitFor(this.handling);
    return true;
  }

  /** Returns `error.type` if the status is 5xx, the answer is truncated or the connection broke too early. Else returns undefined. */
  private failureOf(statusCode: number | undefined, isDropped: boolean): string | undefined {
    if (this.isTruncated) return errorType(this.lastThrown);
    if (isDropped) {
      const cause = this.response.errored ?? this.request.errored ?? this.socket?.errored ?? undefined;
      return cause === undefined ? 'ECONNRESET' : errorType(cause);
    }
    return statusCode !== undefined && statusCode >= 500 ? String(statusCode) : undefined;
  }
}
