/** Calls that leave through global fetch or undici: nothing is patched, their diagnostics channels announce each request on the wire. */
import diagnostics, { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { type Context, context, trace } from '@opentelemetry/api';
import type { ClientConnection } from '../conventions/http-client.js';
import { reportTrouble } from '../local/trouble.js';
import { applicationIn, type TracingApplication } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import { callerOf, type ClientSpan, type Exit, openClientSpan } from './client-span.js';
import { otherListeners } from './other-instrumentation.js';
import {
  headerNames,
  headersOf,
  readHeader,
  redirectOf,
  requestOf,
  type UndiciRequest,
  type UndiciResponse,
  type UndiciSocket,
  writeHeader,
} from './undici-request.js';

const CREATE = 'undici:request:create';

const undiciExit: Exit<UndiciRequest, UndiciAnswer> = {
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

/** A request under way. */
interface Flight {
  readonly span: ClientSpan<UndiciRequest, UndiciAnswer>;
  readonly parent: Context;
  readonly resends: number;
  /** Known once the request is on the wire. */
  connection: ClientConnection | undefined;
}

/** A redirect that was answered: the request that follows it in the same context is the same call, sent again. */
interface Redirect {
  readonly href: string;
  readonly resends: number;
}

const flights = new WeakMap<object, Flight>();
const redirects = new WeakMap<Context, Redirect>();

const listeners: Readonly<Record<string, (message: unknown) => void>> = {
  [CREATE]: guard(created),
  'undici:client:sendHeaders': guard(sent),
  'undici:request:headers': guard(answered),
  'undici:request:error': guard(failed),
};

const LISTENING = Symbol.for('nestjs-tracing/fetch');

interface Listening {
  holders: number;
  stop(): void;
}

/** Listens on behalf of one more application; the channels are the process's, so one subscription serves all. @internal */
export function traceFetch(): () => void {
  const place = globalThis as { [LISTENING]?: Listening | undefined };
  const listening = (place[LISTENING] ??= listen());
  listening.holders += 1;
  let isHeld = true;
  return () => {
    if (!isHeld) return;
    isHeld = false;
    listening.holders -= 1;
    if (listening.holders > 0) return;
    listening.stop();
    place[LISTENING] = undefined;
  };
}

function listen(): Listening {
  holdChannels();
  for (const [name, listener] of Object.entries(listeners)) subscribe(name, listener);
  return {
    holders: 0,
    stop() {
      for (const [name, listener] of Object.entries(listeners)) unsubscribe(name, listener);
    },
  };
}

/**
 * Keeps the channels for as long as the process runs, whichever copy of this file comes first. Node 20 and early 22 forget a
 * channel that was collected and made anew: undici then writes to one and we listen to another (nodejs/node#59910).
 */
function holdChannels(): void {
  const held = diagnostics as { [name: symbol]: unknown };
  for (const name of Object.keys(listeners)) held[Symbol.for(`nestjs-tracing/${name}`)] ??= channel(name);
}

function created({ request }: { readonly request: UndiciRequest }): void {
  // A tunnel through a proxy is no call, and nothing reports the end of an upgrade.
  if (request.method === 'CONNECT' || request.upgrade) return;
  const parent = context.active();
  if (applicationIn(parent)?.outbound.fetch !== true) return;
  const resends = resendsOf(request, parent);
  const span = openClientSpan(undiciExit, request, resends, parent);
  if (span !== undefined) flights.set(request, { span, parent, resends, connection: undefined });
}

function sent({ request, socket }: { readonly request: UndiciRequest; readonly socket: UndiciSocket }): void {
  const flight = flights.get(request);
  if (flight === undefined) return;
  const { alpnProtocol, remoteAddress, remotePort } = socket;
  flight.connection = { peerAddress: remoteAddress, peerPort: remotePort, protocolVersion: alpnProtocol === 'h2' ? '2' : '1.1' };
}

function answered({ request, response }: { readonly request: UndiciRequest; readonly response: UndiciResponse }): void {
  const flight = flights.get(request);
  // 1xx: the answer is yet to come.
  if (flight === undefined || response.statusCode < 200) return;
  flights.delete(request);
  const url = response.statusCode < 400 && response.statusCode >= 300 ? requestOf(request)?.url : undefined;
  const href = url && redirectOf(response, url);
  if (href !== undefined) redirects.set(flight.parent, { href, resends: flight.resends + 1 });
  flight.span.answered({ response, connection: flight.connection });
}

function failed({ request, error }: { readonly request: UndiciRequest; readonly error: unknown }): void {
  const flight = flights.get(request);
  if (flight === undefined) return;
  flights.delete(request);
  if (flight.connection !== undefined) flight.span.sentOver(flight.connection);
  if (isCancellation(error)) flight.span.cancelled();
  else flight.span.failed(error);
}

/**
 * The caller's signal leaves its reason: an `AbortError`, or whatever was given to `abort()`, which unlike the failures of Node and undici
 * has no code. AbortSignal.timeout() is a deadline that was missed, not a change of mind.
 */
function isCancellation(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return true;
  const { code, name } = error as { code?: unknown; name?: unknown };
  return code === 'UND_ERR_ABORTED' || (typeof code !== 'string' && name !== 'TimeoutError');
}

function resendsOf(request: UndiciRequest, parent: Context): number {
  const redirect = redirects.get(parent);
  if (redirect === undefined || requestOf(request)?.url.href !== redirect.href) return 0;
  // Followed: another call to the same URL is one of its own.
  redirects.delete(parent);
  return redirect.resends;
}

/**
 * instrumentation-undici hears of a request before us or after us. Before, it has left headers of a span that nobody else can have made.
 * After, it would open a second one: that request is left to it, and from the next on we come last.
 */
function isTracedElsewhere(request: UndiciRequest, parent: Context, application: TracingApplication): boolean {
  const others = otherListeners(CREATE, listeners[CREATE] as Function);
  if (others.after) comeLast();
  if (others.instrumentationAfter) return true;
  if (!others.before) return false;
  const announced = callerOf(request, undiciExit.headers, application);
  if (announced === undefined) return false;
  const active = trace.getSpanContext(parent);
  return active === undefined || (announced.traceId === active.traceId && announced.spanId !== active.spanId);
}

function comeLast(): void {
  const listener = listeners[CREATE];
  if (listener === undefined) return;
  unsubscribe(CREATE, listener);
  subscribe(CREATE, listener);
}

function guard<T>(listener: (message: T) => void): (message: unknown) => void {
  return message => {
    try {
      listener(message as T);
    } catch (error) {
      reportTrouble('outbound', messages.callNotTraced(), error);
    }
  };
}
