/** Traces calls through `node:http` and `node:https`, such as those of got. Node's diagnostics channels announce requests and responses. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { errorMonitor, type EventEmitter } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import type { Server } from 'node:net';
import { type Context, context, trace } from '@opentelemetry/api';
import { messages } from '../../options/messages.js';
import { reportTrouble } from '../../options/trouble.js';
import { isSuppressed } from '../../propagation/context-values.js';
import { isBackground } from '../../spans/context.js';
import { applicationIn, workIn } from '../../spans/work.js';
import { replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { installOnce } from '../../wrapping/shared-installation.js';
import { type HttpCall, startHttpCall } from './http-call.js';
import { type NodeRequest, nodeRequests, withdrawHeaders } from './node-request.js';
import { Redirects } from './redirects.js';

const CREATED = 'http.client.request.created';
/** Despite its name, Node publishes it when the response headers have come. */
const ANSWERED = 'http.client.response.finish';

interface Flight {
  readonly call: HttpCall<NodeRequest, IncomingMessage>;
  readonly parent: Context;
  readonly resends: number;
  /** True after a time limit that the user set on the request or its socket. */
  hasTimedOut: boolean;
}

/** Kept on the request itself, which costs less than a WeakMap. */
const FLIGHT = Symbol('nestjs-tracing/flight');
type TracedRequest = NodeRequest & { [FLIGHT]?: Flight | undefined };

const redirects = new Redirects();

const LISTENING = Symbol.for('nestjs-tracing/node-http');

/** The servers of running applications. */
const ownServers = new Set<() => EventEmitter | undefined>();

/**
 * Listens for one more application, which has the HTTP server `server()`. All share one subscription, because the channels are global to
 * the process. @internal
 */
export function traceNodeHttp(server: () => EventEmitter | undefined = () => undefined): Undo {
  ownServers.add(server);
  return undoAll([() => ownServers.delete(server), installOnce(globalThis, LISTENING, listen)]);
}

function listen(): Undo {
  const onAnswer = guard(answered);
  subscribe(ANSWERED, onAnswer);
  return undoAll([() => unsubscribe(ANSWERED, onAnswer), listenForRequests(guard(created))]);
}

/** Node 22.12 and newer announce a request when it is made. */
function listenForRequests(onRequest: (message: { readonly request: object }) => void): Undo {
  if (Number.parseInt(process.versions.node) < 22) return replaceSteps(onRequest);
  const onCreated = onRequest as (message: unknown) => void;
  subscribe(CREATED, onCreated);
  return () => unsubscribe(CREATED, onCreated);
}

const ANNOUNCED = Symbol('nestjs-tracing/announced');

/**
 * Node 20 has no channel that comes before the headers are sent. There, the two methods are replaced that see each new request: the one by
 * which an agent takes it, and, if it has no such agent, the one that composes its headers. Node 20 is no longer developed, so they stay.
 */
function replaceSteps(onRequest: (message: { readonly request: object }) => void): Undo {
  const announce = (request: { [ANNOUNCED]?: boolean }): void => {
    if (request[ANNOUNCED] === true) return;
    request[ANNOUNCED] = true;
    onRequest({ request });
  };
  return undoAll([
    replaceMethod(http.Agent.prototype, 'addRequest', addRequest => {
      return function (request, ...rest) {
        addRequest.call(this, request, ...rest);
        announce(request as object);
      };
    }),
    replaceMethod(http.ClientRequest.prototype, '_storeHeader', storeHeader => {
      return function (...args) {
        storeHeader.apply(this, args);
        announce(this as object);
      };
    }),
  ]);
}

function created({ request }: { readonly request: TracedRequest }): void {
  // A proxy tunnel (CONNECT) is no call.
  if (request.method === 'CONNECT') return;
  const parent = context.active();
  if (applicationIn(parent)?.outbound.http !== true) return;
  const work = workIn(parent);
  if (work?.passthrough === undefined && isSuppressed(parent)) return;
  const isOutsideOfTrace = work === undefined && trace.getSpan(parent) === undefined;
  // Clients of WebSockets connect when they are made, and again and again.
  if (isOutsideOfTrace && (isBackground(parent) || isUpgrade(request) || isOwnServer(request))) return;
  const resends = redirects.resendsOf(parent, () => nodeRequests.request(request)?.url.href);
  const call = startHttpCall(nodeRequests, request, resends, parent);
  if (call === undefined) return;
  request[FLIGHT] = { call, parent, resends, hasTimedOut: false };
  // The channel for errors does not see those that a library emits itself.
  request.on(errorMonitor, onError).on('timeout', onTimeout).on('close', onClose);
}

function answered({ request, response }: { readonly request: TracedRequest; readonly response: IncomingMessage }): void {
  const { statusCode = 0 } = response;
  request[FLIGHT]?.call.describeHeaders();
  if (statusCode >= 300 && statusCode <= 308) withdrawHeaders(request);
  const flight = take(request);
  if (flight === undefined) return;
  const { call, parent, resends } = flight;
  redirects.answered(
    parent,
    () => call.request()?.url,
    statusCode,
    () => response.headers.location,
    resends,
  );
  call.answered(response);
}

function failed(request: TracedRequest, error: unknown): void {
  const flight = take(request);
  if (flight === undefined) return;
  const { call, hasTimedOut } = flight;
  call.describeHeaders();
  const { remoteAddress, remotePort } = request.socket ?? {};
  if (remoteAddress !== undefined) call.sentOver({ peerAddress: remoteAddress, peerPort: remotePort });
  const { cause, code, name, syscall } = (typeof error === 'object' ? (error ?? {}) : {}) as Record<string, unknown>;
  // AbortSignal.timeout() means a missed deadline. The caller did not cancel.
  if (typeof cause === 'object' && cause !== null && 'name' in cause && cause.name === 'TimeoutError') call.failed(cause);
  else if (name === 'AbortError') call.cancelled();
  // Node's error for destroy() without an error. If the server closes the connection, the request is not yet destroyed.
  else if (request.destroyed && code === 'ECONNRESET' && syscall === undefined && !hasTimedOut) call.cancelled();
  else call.failed(error);
}

/** No channel reports an upgrade, nor a request that is cancelled before it has a connection. */
function closed(request: TracedRequest): void {
  const flight = take(request);
  const { res } = request as { readonly res?: IncomingMessage | null };
  flight?.call.describeHeaders();
  if (res?.statusCode === 101) flight?.call.answered(res);
  else flight?.call.cancelled();
}

const reportError = guard(({ request, error }: { readonly request: TracedRequest; readonly error: unknown }) => failed(request, error));
const reportClose = guard(closed);

function onError(this: NodeRequest, error: unknown): void {
  reportError({ request: this, error });
}

function onTimeout(this: TracedRequest): void {
  const flight = this[FLIGHT];
  if (flight !== undefined) flight.hasTimedOut = true;
}

function onClose(this: NodeRequest): void {
  reportClose(this);
}

function take(request: TracedRequest): Flight | undefined {
  const flight = request[FLIGHT];
  if (flight !== undefined) request[FLIGHT] = undefined;
  return flight;
}

function isUpgrade(request: NodeRequest): boolean {
  return nodeRequests.headers.get(request, 'upgrade') !== undefined;
}

/** Returns true for a call to a server of this process, such as that of a test with supertest. Its server span is the root. */
function isOwnServer(request: NodeRequest): boolean {
  if (!LOOPBACK.has(request.host)) return false;
  const port = nodeRequests.request(request)?.url.port;
  for (const server of ownServers) {
    const own = server() as Partial<Server> | undefined;
    const address = own?.address?.();
    if (typeof address === 'object' && address !== null && String(address.port) === port) return true;
  }
  return false;
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '::1', '[::1]']);

function guard<T>(listener: (message: T) => void): (message: unknown) => void {
  return message => {
    try {
      listener(message as T);
    } catch (error) {
      reportTrouble('outbound', messages.outboundNotTraced(), error);
    }
  };
}
