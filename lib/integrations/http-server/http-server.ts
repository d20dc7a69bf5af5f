/** Opens the work of each request once, at the server's `request` event or in the framework's request hook. */
import type { EventEmitter } from 'node:events';
import { type Context, context, type Span, SpanKind, trace, TraceFlags } from '@opentelemetry/api';
import { anyRule } from '../../options/ignore-rules.js';
import { messages } from '../../options/messages.js';
import { reportTrouble } from '../../options/trouble.js';
import { isSuppressed } from '../../propagation/context-values.js';
import { inContext } from '../../spans/context.js';
import { type InboundOperation, type InboundOperations, startInbound } from '../../spans/inbound.js';
import type { InboundWork, Opening } from '../../spans/inbound-work.js';
import { type TracingApplication, UntracedWork, workIn } from '../../spans/work.js';
import { serverSpanName } from './attributes.js';
import type { DeclaredRoutes, FastifyRequest } from './declared-routes.js';
import { expressMount, pathname, strippedPath } from './express-route.js';
import type { IncomingMessage, OutgoingMessage } from './http-messages.js';
import type { RequestSeams } from './request-seams.js';
import {
  contextToReturnTo,
  emitInWork,
  MountedRequest,
  type RequestWork,
  requestWork,
  requestWorkIn,
  RPC_METADATA,
  type TracedRequest,
} from './request-work.js';
import { requestHeaderAttributes, ServerFacts } from './server-facts.js';
import { ServerRequest, URL_HEADER } from './server-request.js';

/** Traces the requests of one application. */
export class HttpServerTracing {
  readonly isIgnored: (request: IncomingMessage) => boolean;
  private readonly application: TracingApplication;
  private readonly polled: { readonly server: object; readonly base: string }[] = [];

  constructor(
    readonly inbound: InboundOperations,
    private readonly seams: RequestSeams,
    readonly routes: DeclaredRoutes,
  ) {
    this.application = inbound.application;
    const isIgnored = anyRule(this.application.inbound.ignore, ({ url = '/' }) => pathname(url), 'inbound.ignore');
    // In a mounted application, a rule may name the path that the application sees or the path that its clients see.
    this.isIgnored = request =>
      isIgnored(request) ||
      (request.originalUrl !== undefined &&
        request.originalUrl !== request.url &&
        isIgnored({ method: request.method, headers: request.headers, url: request.originalUrl }));
  }

  /** Opens no spans for requests below `path` of `server`: a socket transport polls there, and each of its messages has its own span. */
  leaveToSockets(server: object, path: string): void {
    this.polled.push({ server, base: path.replace(/\/+$/, '') });
  }

  private isPoll(server: object, url: string | undefined): boolean {
    return this.polled.some(({ server: polled, base }) => {
      if (polled !== server || url?.startsWith(base) !== true) return false;
      const next = url[base.length];
      return next === undefined || next === '/' || next === '?';
    });
  }

  /** Handles the server's `request` event. `emit` calls the framework. */
  enterServer(server: EventEmitter, emit: EventEmitter['emit'], request: IncomingMessage, response: OutgoingMessage): boolean {
    const isSkipped = this.inbound.isClosed || isInstrumented(server) || (this.polled.length > 0 && this.isPoll(server, request.url));
    const work = isSkipped ? undefined : this.openRequest(request, response);
    return work === undefined
      ? emit.call(server, 'request', request, response)
      : inContext(work.context, emit, server, 'request', request, response);
  }

  /** Handles the framework's request hook. Injected requests, and those of other servers and instrumentations, are opened only here. */
  enterHook(adapterRequest: unknown, adapterResponse: unknown, done: () => unknown): unknown {
    if (this.inbound.isClosed) return done();
    const request = rawOf<IncomingMessage>(adapterRequest);
    const response = rawOf<OutgoingMessage>(adapterResponse);
    const known = requestWorkIn(request, this.application);
    // If the outer application has tracing disabled, the mounted one opens the request.
    if (known !== undefined && (known.application.isEnabled || !this.application.isEnabled)) {
      return this.enterKnown(known, adapterRequest, adapterResponse, done);
    }
    // A Fastify plugin routes WebSocket handshakes like requests. Their response lasts as long as the socket.
    if (isHandshake(request)) return done();
    const active = context.active();
    // A request that is injected inside another request has its own span.
    const foreign = workIn(active) === undefined ? foreignServerSpan(active) : undefined;
    if (foreign === undefined && known === undefined && isSuppressed(active)) return done();
    const opened = this.openRequest(request, response, foreign);
    if (opened === undefined) return done();
    if (opened instanceof ServerRequest) {
      // Injected responses never set writableFinished. Their 'finish' event says that they are complete.
      response.on('finish', () => opened.close(true));
      if (foreign === undefined) {
        opened.mount = this.mountOf(request);
        this.askFastify(opened, adapterRequest, adapterResponse);
      }
    }
    return inContext(opened.context, done);
  }

  /** Handles a request that the server, or an outer application, has opened already. */
  private enterKnown(known: RequestWork, adapterRequest: unknown, adapterResponse: unknown, done: () => unknown): unknown {
    const request = rawOf<IncomingMessage>(adapterRequest);
    const response = rawOf<OutgoingMessage>(adapterResponse);
    const server = requestWork(request);
    if (server instanceof ServerRequest) this.askFastify(server, adapterRequest, adapterResponse);
    const ownContext = contextToReturnTo(known);
    const { inbound } = known;
    if (known.application === this.application || inbound === undefined || inbound.passthrough !== undefined) {
      return ownContext === undefined ? done() : context.with(ownContext, done);
    }
    const mounted = this.mount(inbound, ownContext ?? context.active(), request, response);
    let last: RequestWork = known;
    while (last.mounted !== undefined) last = last.mounted;
    last.mounted = mounted;
    return context.with(mounted.context, done);
  }

  /** Returns the work of a request in this mounted application. It shares the span of the outer application. */
  private mount(outer: TracedRequest, active: Context, request: IncomingMessage, response: OutgoingMessage): RequestWork {
    const { application } = this;
    if (this.isIgnored(request)) return new UntracedWork(application, active);
    const { captureRequestHeaders } = application.inbound;
    if (captureRequestHeaders.length > 0) outer.span.setAttributes(requestHeaderAttributes(request, captureRequestHeaders));
    nameTrace(application, outer.span, response);
    return new MountedRequest(application, outer, this.mountOf(request), active);
  }

  /** Returns the template of the mount path, or undefined if it is unknown. */
  private mountOf(request: IncomingMessage): string | undefined {
    const { framework } = this.seams;
    if (framework === undefined) return '';
    const server = requestWork(request);
    const outermost = server instanceof ServerRequest ? server.routes.seams : this.seams;
    const mount = expressMount(request, framework, outermost.framework);
    if (mount !== '' || request.originalUrl === undefined) return mount;
    const stripped = strippedPath(request.originalUrl, request.url ?? '/');
    return stripped === '' || outermost.mountPaths.has(stripped) ? stripped : undefined;
  }

  /** Keeps Fastify's own request and reply. They know the matched route, and headers that Node's response does not have. */
  private askFastify(work: ServerRequest, request: unknown, reply: unknown): void {
    if (request === work.request) return;
    work.fastifyRequest = request as FastifyRequest;
    work.fastifyReply = reply as Pick<OutgoingMessage, 'getHeader'>;
  }

  private openRequest(request: IncomingMessage, response: OutgoingMessage, foreign?: Span): RequestWork | undefined {
    try {
      const work = startInbound(this.inbound, new HttpOperation(this, request, response, foreign)) as RequestWork | undefined;
      if (work !== undefined && work.inbound === undefined && foreign === undefined) emitInWork(request, response, work);
      return work;
    } catch (error) {
      reportTrouble('inbound.http', messages.requestNotTraced(), error);
      return undefined;
    }
  }
}

class HttpOperation implements InboundOperation {
  readonly kind = SpanKind.SERVER;
  /** HTTP instrumentations read the same headers. */
  readonly isContinuedElsewhere = true;

  constructor(
    private readonly server: HttpServerTracing,
    readonly message: IncomingMessage,
    private readonly response: OutgoingMessage,
    readonly openedElsewhere: Span | undefined,
  ) {}

  get name(): string {
    return serverSpanName(this.message.method, undefined, this.server.inbound.application.inbound.knownMethods);
  }

  isIgnored(): boolean {
    return this.server.isIgnored(this.message);
  }

  attributes() {
    if (this.openedElsewhere === undefined) return this.facts().toAttributes();
    return requestHeaderAttributes(this.message, this.server.inbound.application.inbound.captureRequestHeaders);
  }

  facts(): ServerFacts {
    return new ServerFacts(this.message, this.server.inbound.application.inbound);
  }

  createWork(opening: Opening): InboundWork {
    const { server, message, response } = this;
    nameTrace(server.inbound.application, opening.span, response);
    return new ServerRequest(server.inbound, server.routes, opening, message, response);
  }
}

/** Sets the response headers for the trace id, if the options ask for it, and for the trace's URL, if a viewer shows the trace. */
function nameTrace({ inbound, traceUrlPrefix }: TracingApplication, span: Span, response: OutgoingMessage): void {
  if (inbound.responseHeader === undefined && traceUrlPrefix === undefined) return;
  const { traceId, traceFlags } = span.spanContext();
  if (inbound.responseHeader !== undefined) response.setHeader(inbound.responseHeader, traceId);
  const isShown = traceUrlPrefix !== undefined && span.isRecording() && (traceFlags & TraceFlags.SAMPLED) !== 0;
  if (isShown) response.setHeader(URL_HEADER, traceUrlPrefix + traceId);
}

function isHandshake({ headers }: IncomingMessage): boolean {
  const { upgrade } = headers;
  return typeof upgrade === 'string' && upgrade.toLowerCase() === 'websocket';
}

/** Returns true if OpenTelemetry's instrumentation-http will open the span inside the original `emit`. */
function isInstrumented(server: EventEmitter): boolean {
  const prototype = Object.getPrototypeOf(server) as { emit?: { __wrapped?: boolean } } | null;
  return prototype?.emit?.__wrapped === true;
}

/** Returns the server span that another instrumentation has opened for the request in `ctx`. */
function foreignServerSpan(ctx: Context): Span | undefined {
  const metadata = ctx.getValue(RPC_METADATA) as { span?: Span } | undefined;
  if (metadata?.span !== undefined) return metadata.span;
  const span: (Span & { readonly kind?: number }) | undefined = trace.getSpan(ctx);
  return span?.kind === SpanKind.SERVER && span.isRecording() ? span : undefined;
}

/** Returns Node's own request or response. Fastify passes its own objects and keeps Node's in `raw`. */
function rawOf<T extends object>(value: unknown): T {
  const { raw } = value as T & { readonly raw?: T };
  return raw ?? (value as T);
}
