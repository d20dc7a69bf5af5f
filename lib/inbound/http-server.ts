/** Where HTTP requests enter: hooks into the server, the request hook and the route hook of one Nest application's HTTP adapter. */
import type { EventEmitter } from 'node:events';
import { type Context, context, createContextKey, type Span, trace } from '@opentelemetry/api';
import type { AbstractHttpAdapter, ApplicationConfig } from '@nestjs/core';
import { anyRule } from '../local/ignore-rules.js';
import { reportTrouble } from '../local/trouble.js';
import { isSuppressed, type TracingApplication, workIn, withWork } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import { DeclaredRoutes, type Route } from './declared-routes.js';
import { requestHeaderAttributes } from '../conventions/http-server.js';
import {
  type Entrance,
  type FastifyRequest,
  type IncomingMessage,
  nameTrace,
  openServerRequest,
  type OutgoingMessage,
  ServerRequest,
} from './server-request.js';
import type { InboundRequest } from '../tracing.options.js';
import { UntracedRequest } from './untraced-request.js';

type RequestHook = (request: unknown, response: unknown, done: (error?: unknown) => void) => unknown;

/** The request hook of Nest's adapters (since 11.1.4) holds one function. */
interface HookSlot {
  onRequestHook?: RequestHook;
  setOnRequestHook?(hook: RequestHook | undefined): void;
}

interface FastifyReply {
  getHeader(name: string): number | string | string[] | undefined;
}

const TRACED_SERVER = Symbol.for('nestjs-tracing/server');
const RPC_METADATA = createContextKey('OpenTelemetry SDK Context Key RPC_METADATA');
const SERVER_KIND = 1;

/** Traces what enters through one HTTP adapter; everything it sets is chained to what was there and can be undone. */
export class HttpServerTracing implements Entrance {
  readonly open = new Set<ServerRequest>();
  private readonly undo: (() => void)[] = [];
  private isClosed = false;
  private readonly polled: { readonly server: object; readonly base: string }[] = [];

  private readonly routes: DeclaredRoutes;
  private readonly isIgnored: (request: InboundRequest) => boolean;

  constructor(
    private readonly application: TracingApplication,
    config: ApplicationConfig,
  ) {
    this.routes = new DeclaredRoutes(config, route => this.route(route));
    this.isIgnored = anyRule(application.inbound.ignore, pathOf, 'inbound.ignore');
  }

  /** Before routes are registered: Nest takes its copy of the hooks then. An application without HTTP has no adapter. */
  hookAdapter(adapter: AbstractHttpAdapter | null | undefined): void {
    if (adapter === null || adapter === undefined) return;
    const slot = adapter as unknown as HookSlot;
    if (typeof slot.setOnRequestHook === 'function') {
      const previous = slot.onRequestHook;
      const hook: RequestHook = (request, response, done) =>
        this.enterHook(request, response, previous === undefined ? done : () => previous.call(adapter, request, response, done));
      slot.setOnRequestHook(hook);
      this.undo.push(() => {
        if (slot.onRequestHook === hook) slot.setOnRequestHook?.(previous);
      });
    }
    this.routes.follow(adapter);
    this.undo.push(() => this.routes.stop());
  }

  /** Before the server listens, when routes are registered: the `request` event is the earliest moment of a request. */
  hookServer(server: (EventEmitter & { [TRACED_SERVER]?: true }) | undefined): void {
    this.routes.stop();
    if (server === undefined || server === null || typeof server.emit !== 'function' || server[TRACED_SERVER]) return;
    const { emit } = server;
    const hadOwnEmit = Object.hasOwn(server, 'emit');
    // What is inherited is looked up each time: instrumentation-http comes and goes on the prototype.
    const below = hadOwnEmit ? { emit } : (Object.getPrototypeOf(server) as EventEmitter);
    const enter = this.enterServer.bind(this);
    const tracedEmit = function (this: EventEmitter, event: string | symbol, ...args: unknown[]): boolean {
      if (event !== 'request') return below.emit.call(this, event, ...args);
      return enter(this, below.emit, args[0] as IncomingMessage, args[1] as OutgoingMessage);
    };
    server.emit = tracedEmit;
    server[TRACED_SERVER] = true;
    this.undo.push(() => {
      delete server[TRACED_SERVER];
      if (server.emit !== tracedEmit) return;
      if (hadOwnEmit) server.emit = emit;
      else delete (server as { emit?: unknown }).emit;
    });
  }

  /** Requests below `path` of `server` are polls: how a transport of sockets moves its messages, each of which has a span of its own. */
  leaveToSockets(server: object, path: string): void {
    const base = path.replace(/\/+$/, '');
    this.polled.push({ server, base });
  }

  private isPoll(server: object, url: string | undefined): boolean {
    return this.polled.some(({ server: polled, base }) => {
      if (polled !== server || url?.startsWith(base) !== true) return false;
      const next = url[base.length];
      return next === undefined || next === '/' || next === '?';
    });
  }

  /** Ends the spans of requests that are still open and takes every hook out again. */
  close(): void {
    this.isClosed = true;
    for (const request of [...this.open]) request.close();
    for (const step of this.undo.splice(0).reverse()) step();
  }

  private enterServer(server: EventEmitter, emit: EventEmitter['emit'], request: IncomingMessage, response: OutgoingMessage): boolean {
    if (this.polled.length > 0 && this.isPoll(server, request.url)) return emit.call(server, 'request', request, response);
    if (this.isClosed || isInstrumented(server)) return emit.call(server, 'request', request, response);
    const ctx = this.openRequest(request, response);
    return ctx === undefined
      ? emit.call(server, 'request', request, response)
      : context.with(ctx, () => emit.call(server, 'request', request, response));
  }

  /** Requests that reached the framework without the server above: injected ones, other servers, other instrumentations. */
  private enterHook(adapterRequest: unknown, adapterResponse: unknown, done: () => unknown): unknown {
    if (this.isClosed) return done();
    const request = rawOf<IncomingMessage>(adapterRequest);
    const response = rawOf<OutgoingMessage>(adapterResponse);
    const work = workIn();
    if (work instanceof ServerRequest && work.request === request) {
      this.askFastify(work, adapterRequest, adapterResponse);
      return done();
    }
    if (work instanceof UntracedRequest && work.request === request) return done();
    // A handshake that a plugin of Fastify routes like a request: its response lasts as long as the socket.
    if (isHandshake(request)) return done();
    const active = context.active();
    // A request that is injected within another one is a request of its own.
    const foreign = work === undefined ? foreignServerSpan() : undefined;
    if (foreign !== undefined) return this.enterForeign(foreign, active, request, response, done);
    if (isSuppressed(active)) return done();
    const ctx = this.openRequest(request, response);
    if (ctx === undefined) return done();
    const opened = workIn(ctx);
    // Injected responses never report writableFinished; 'finish' tells that they are complete.
    if (opened instanceof ServerRequest) {
      response.on('finish', () => opened.close(true));
      this.askFastify(opened, adapterRequest, adapterResponse);
    }
    return context.with(ctx, done);
  }

  /** Another instrumentation has opened the span: it is completed, and ended by who opened it. */
  private enterForeign(span: Span, active: Context, request: IncomingMessage, response: OutgoingMessage, done: () => unknown): unknown {
    const { application } = this;
    if (this.isIgnored(request)) return context.with(withWork(active, { application, relay: active }), done);
    const { captureRequestHeaders } = application.inbound;
    if (captureRequestHeaders.length > 0) span.setAttributes(requestHeaderAttributes(request, captureRequestHeaders));
    nameTrace(application, span, response);
    const serverRequest = new ServerRequest(application, span, active, request, response, 'foreign', this);
    response.on('finish', () => serverRequest.close(true));
    return context.with(withWork(active, serverRequest), done);
  }

  isNestPath(path: string): boolean {
    return this.routes.includes(path);
  }

  /** Fastify knows the template of a route from the start, which counts where Nest did not register it, and keeps headers to itself. */
  private askFastify(work: ServerRequest, request: unknown, reply: unknown): void {
    if (request === work.request) return;
    work.frameworkRequest = request as FastifyRequest;
    const { captureResponseHeaders, onResponse } = this.application.inbound;
    if (captureResponseHeaders.length === 0 && onResponse === undefined) return;
    work.frameworkHeaders = name => (reply as FastifyReply).getHeader(name);
  }

  private openRequest(request: IncomingMessage, response: OutgoingMessage) {
    try {
      return openServerRequest(this.application, request, response, this.isIgnored, this);
    } catch (error) {
      reportTrouble('inbound.http', messages.requestNotTraced(), error);
      return undefined;
    }
  }

  private route(route: Route): void {
    const work = workIn();
    if (!(work instanceof ServerRequest) || work.relay !== undefined) return;
    if (route.isUntraced && route.isDecided) {
      work.abandon();
      return;
    }
    if (route.isDecided) work.routed(route.path, route.attributes, true);
    else work.perhapsRouted(route.path);
    const metadata = context.active().getValue(RPC_METADATA) as { route?: string } | undefined;
    if (metadata !== undefined) metadata.route = route.path;
  }
}

function pathOf({ url = '/' }: InboundRequest): string {
  const mark = url.indexOf('?');
  return mark < 0 ? url : url.slice(0, mark);
}

function isHandshake({ headers }: IncomingMessage): boolean {
  const { upgrade } = headers;
  return typeof upgrade === 'string' && upgrade.toLowerCase() === 'websocket';
}

/** Whether OpenTelemetry's instrumentation-http will open the span inside the original `emit`. */
function isInstrumented(server: EventEmitter): boolean {
  const prototype = Object.getPrototypeOf(server) as { emit?: { __wrapped?: boolean } } | null;
  return prototype?.emit?.__wrapped === true;
}

/** The server span another instrumentation has opened for this request. */
function foreignServerSpan(): Span | undefined {
  const ctx = context.active();
  const metadata = ctx.getValue(RPC_METADATA) as { span?: Span } | undefined;
  if (metadata?.span !== undefined) return metadata.span;
  const span: (Span & { readonly kind?: number }) | undefined = trace.getSpan(ctx);
  return span?.kind === SERVER_KIND && span.isRecording() ? span : undefined;
}

/** Fastify hands over its own request and reply; the ones of Node are in `raw`. */
function rawOf<T extends object>(value: unknown): T {
  const { raw } = value as T & { readonly raw?: T };
  return raw ?? (value as T);
}
