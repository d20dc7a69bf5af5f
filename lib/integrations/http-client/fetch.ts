/** Traces calls through global fetch and undici. Patches nothing: undici's diagnostics channels announce each request that is sent. */
import diagnostics, { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { TLSSocket } from 'node:tls';
import { type Context, context, trace } from '@opentelemetry/api';
import { messages } from '../../options/messages.js';
import type { OutboundResponse } from '../../options/tracing-options.js';
import { reportTrouble } from '../../options/trouble.js';
import { applicationIn, type TracingApplication } from '../../spans/work.js';
import type { Undo } from '../../wrapping/replace-method.js';
import { installOnce } from '../../wrapping/shared-installation.js';
import type { ClientConnection, ClientRequest } from './attributes.js';
import { callerOf, type HttpCall, type HttpLibrary, startHttpCall } from './http-call.js';
import { Redirects } from './redirects.js';

const CREATE = 'undici:request:create';

/** The request in the messages of the channels (undici 5 and newer, and Node itself). */
interface UndiciRequest {
  readonly origin: string | URL;
  readonly path: string;
  readonly method: string;
  /** Alternating names and values. In undici 5: one text, as it is sent. */
  headers: unknown[] | string;
  readonly upgrade?: unknown;
  addHeader?(name: string, value: string): unknown;
}

interface UndiciResponse {
  readonly statusCode: number;
  /** Alternating names and values, as bytes. */
  readonly headers: readonly (Buffer | string)[];
}

const undici: HttpLibrary<UndiciRequest, UndiciAnswer> = {
  request: requestOf,
  isTracedElsewhere,
  headers: { keys: headerNames, get: readHeader, set: writeHeader },
  answer: ({ connection, response }) => ({ statusCode: response.statusCode, ...connection }),
  responseHeaders: ({ response }) => headersOf(response),
};

interface UndiciAnswer {
  readonly response: UndiciResponse;
  readonly connection: ClientConnection | undefined;
}

interface Flight {
  readonly call: HttpCall<UndiciRequest, UndiciAnswer>;
  readonly parent: Context;
  readonly resends: number;
  /** Undefined until the request is sent. */
  connection: ClientConnection | undefined;
}

/** Kept on the request itself: if members of a WeakMap change with every call, V8 moves all of them to the old generation. */
const FLIGHT = Symbol('nestjs-tracing/flight');
type TracedRequest = UndiciRequest & { [FLIGHT]?: Flight | undefined };

const redirects = new Redirects();

const onCreate = guard(created);
const listeners: Readonly<Record<string, (message: unknown) => void>> = {
  [CREATE]: onCreate,
  'undici:client:sendHeaders': guard(sent),
  'undici:request:headers': guard(answered),
  'undici:request:error': guard(failed),
};

const LISTENING = Symbol.for('nestjs-tracing/fetch');

/** Listens for one more application. All share one subscription, because the channels are global to the process. @internal */
export function traceFetch(): Undo {
  return installOnce(globalThis, LISTENING, listen);
}

function listen(): Undo {
  const held = diagnostics as { [name: symbol]: unknown };
  for (const [name, listener] of Object.entries(listeners)) {
    // Keeps the channel alive until the process ends. Node 20 and early 22 may collect a channel and create a second one of the same name.
    // undici then publishes to one and we listen to the other (nodejs/node#59910).
    held[Symbol.for(`nestjs-tracing/${name}`)] ??= channel(name);
    subscribe(name, listener);
  }
  return () => {
    for (const [name, listener] of Object.entries(listeners)) unsubscribe(name, listener);
  };
}

function created({ request }: { readonly request: TracedRequest }): void {
  // A proxy tunnel (CONNECT) is no call. For an upgrade, no channel reports the end.
  if (request.method === 'CONNECT' || request.upgrade) return;
  const parent = context.active();
  if (applicationIn(parent)?.outbound.fetch !== true) return;
  const resends = redirects.resendsOf(parent, () => requestOf(request)?.url.href);
  const call = startHttpCall(undici, request, resends, parent);
  if (call !== undefined) request[FLIGHT] = { call, parent, resends, connection: undefined };
}

function sent({ request, socket }: { readonly request: TracedRequest; readonly socket: Partial<TLSSocket> }): void {
  const flight = request[FLIGHT];
  if (flight === undefined) return;
  const { alpnProtocol, remoteAddress, remotePort } = socket;
  flight.connection = { peerAddress: remoteAddress, peerPort: remotePort, protocolVersion: alpnProtocol === 'h2' ? '2' : '1.1' };
}

function answered({ request, response }: { readonly request: TracedRequest; readonly response: UndiciResponse }): void {
  const flight = request[FLIGHT];
  // After 1xx, the final response is still to come.
  if (flight === undefined || response.statusCode < 200) return;
  request[FLIGHT] = undefined;
  const { call, connection, parent, resends } = flight;
  redirects.answered(
    parent,
    () => call.request()?.url,
    response.statusCode,
    () => headersOf(response).location,
    resends,
  );
  call.answered({ response, connection });
}

function failed({ request, error }: { readonly request: TracedRequest; readonly error: unknown }): void {
  const flight = request[FLIGHT];
  if (flight === undefined) return;
  request[FLIGHT] = undefined;
  if (flight.connection !== undefined) flight.call.sentOver(flight.connection);
  if (isCancellation(error)) flight.call.cancelled();
  else flight.call.failed(error);
}

/**
 * Returns true if the caller aborted the request. The error is then an `AbortError` or the argument of `abort()`. Unlike failures of Node
 * and undici, that has no `code`. Returns false for AbortSignal.timeout(): a missed deadline is a failure.
 */
function isCancellation(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return true;
  const { code, name } = error as { code?: unknown; name?: unknown };
  return code === 'UND_ERR_ABORTED' || (typeof code !== 'string' && name !== 'TimeoutError');
}

/**
 * Returns true if instrumentation-undici makes the span of this request. If its listener runs before ours, the request carries a span id
 * that no other code can have made. If it runs after ours, we leave this request to it, and run last from the next request on.
 */
function isTracedElsewhere(request: UndiciRequest, parent: Context, application: TracingApplication): boolean {
  // Node calls listeners in the order of this undocumented list.
  const subscribers = (channel(CREATE) as { _subscribers?: unknown })._subscribers;
  if (Array.isArray(subscribers)) {
    if (subscribers.length === 1) return false;
    const place = subscribers.indexOf(onCreate);
    const after = subscribers.slice(place + 1) as Function[];
    if (after.length > 0) {
      unsubscribe(CREATE, onCreate);
      subscribe(CREATE, onCreate);
    }
    if (after.some(({ name }) => name === 'bound onRequestCreated')) return true;
    if (place <= 0) return false;
  }
  const announced = callerOf(request, undici.headers, application);
  if (announced === undefined) return false;
  const active = trace.getSpanContext(parent);
  return active === undefined || (announced.traceId === active.traceId && announced.spanId !== active.spanId);
}

function guard<T>(listener: (message: T) => void): (message: unknown) => void {
  return message => {
    try {
      listener(message as T);
    } catch (error) {
      reportTrouble('outbound', messages.outboundNotTraced(), error);
    }
  };
}

function requestOf({ method, origin, path }: UndiciRequest): ClientRequest | undefined {
  // For a proxy, `path` is a full URL. A path that starts with two slashes must not be parsed as a host.
  const target = path.startsWith('/') ? String(origin) + path : path;
  try {
    return { method, url: new URL(target) };
  } catch {
    return undefined;
  }
}

function headerNames({ headers }: UndiciRequest): string[] {
  if (typeof headers === 'string') return headers.match(/^[^:\r\n]+/gm) ?? [];
  return headers.filter((name, index): name is string => index % 2 === 0 && typeof name === 'string');
}

function readHeader({ headers }: UndiciRequest, name: string): string | string[] | undefined {
  if (typeof headers === 'string') return headerLine(name).exec(headers)?.[1];
  const index = headerIndex(headers, name);
  if (index < 0) return undefined;
  const value = headers[index + 1];
  return Array.isArray(value) ? value.map(String) : String(value);
}

/** Writes a header. Replaces a header of the same name, or else both would be sent. */
function writeHeader(request: UndiciRequest, name: string, value: string): void {
  const { headers } = request;
  if (typeof headers === 'string') {
    const line = headerLine(name);
    if (line.test(headers)) request.headers = headers.replace(line, () => `${name}: ${value}`);
    else request.headers = `${headers}${name}: ${value}\r\n`;
    return;
  }
  const index = headerIndex(headers, name);
  if (index >= 0) headers[index + 1] = value;
  else if (typeof request.addHeader === 'function') request.addHeader(name, value);
  // undici 6.11.0 had no addHeader().
  else headers.push(name, value);
}

function headersOf({ headers }: UndiciResponse): OutboundResponse['headers'] {
  const all: Record<string, string | string[]> = {};
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = String(headers[i]).toLowerCase();
    const value = String(headers[i + 1]);
    const former = all[name];
    all[name] = former === undefined ? value : Array.isArray(former) ? [...former, value] : [former, value];
  }
  return all;
}

/** Finds the last header called `name`: instrumentations add theirs after the user's. */
function headerIndex(headers: readonly unknown[], name: string): number {
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    const key = headers[i];
    if (typeof key === 'string' && key.length === name.length && key.toLowerCase() === name.toLowerCase()) return i;
  }
  return -1;
}

function headerLine(name: string): RegExp {
  return new RegExp(`^${name}: ?([^\\r\\n]*)`, 'im');
}
