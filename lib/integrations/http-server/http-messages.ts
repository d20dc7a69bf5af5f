/**
 * Describes requests and responses of node:http, node:http2 and injection. Detects responses that stop early, because the connection or
 * the stream of the body breaks.
 */
import { errorMonitor, type EventEmitter } from 'node:events';
import type { PeerSocket } from '../../conventions/peer.js';
import { messages } from '../../options/messages.js';
import type { InboundRequest } from '../../options/tracing-options.js';
import { reportTrouble } from '../../options/trouble.js';
import type { TracingApplication } from '../../spans/work.js';
import { hasMethods } from '../../wrapping/has-methods.js';
import { replaceMethod, type Undo } from '../../wrapping/replace-method.js';
import { requestWorkIn, type TracedRequest } from './request-work.js';

export interface IncomingMessage extends InboundRequest {
  /** Set by Express and middie, which remove the mount path from `url`. */
  readonly originalUrl?: string;
  /** Set by Express, like `body`. */
  readonly params?: unknown;
  readonly body?: unknown;
  readonly httpVersion?: string;
  readonly socket?: Socket | null;
  readonly aborted?: boolean;
  readonly errored?: unknown;
  /** HTTP/2 only. */
  readonly stream?: { readonly errored?: unknown };
}

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
  on(event: 'close' | 'finish' | 'pipe', listener: (source: unknown) => void): unknown;
}

const CONNECTION = Symbol('nestjs-tracing/connection');

export interface Socket extends PeerSocket {
  readonly errored?: unknown;
  readonly destroyed?: boolean;
  readonly readableEnded?: boolean;
  readonly closed?: boolean;
  /** Absent on the socket of an injected request. */
  readonly on?: EventEmitter['on'];
  [CONNECTION]?: Connection;
}

/** Does not trust a true `writableFinished`: it may be wrong on HTTP/2, and if the socket breaks under a large body. */
export function wasDropped(request: IncomingMessage, response: OutgoingMessage, socket: Socket | null | undefined): boolean {
  if (!response.writableEnded || response.writableFinished === false || (socket?.errored ?? null) !== null) return true;
  return request.aborted === true && isHttp2(request);
}

/** Returns true if the client has ended or reset the connection, false if this process has. */
export function hasLeft(socket: Socket | null | undefined): boolean {
  return socket?.readableEnded === true || (socket?.errored ?? null) !== null;
}

/** Returns the error with which the application destroyed the HTTP/2 stream: the response does not have it. */
export function erroredStream(request: IncomingMessage): unknown {
  const errored = isHttp2(request) ? request.stream?.errored : undefined;
  return (errored as { readonly code?: unknown } | null | undefined)?.code === 'ERR_HTTP2_STREAM_ERROR' ? undefined : errored;
}

function isHttp2({ httpVersion }: IncomingMessage): boolean {
  return httpVersion === '2.0';
}

interface Closable {
  close(): void;
}

/**
 * The requests in flight on one connection. A client may send several at once (pipelining). If the connection breaks, Node 20 and 22 close
 * only the response that is being sent. This class ends the other requests.
 */
export class Connection {
  /** Most connections carry one request at a time. */
  private first: Closable | undefined;
  /** Requests that came in while there was a first one. */
  private readonly others: Closable[] = [];

  /** Adds a request to its connection. Returns undefined if it needs none: on HTTP/2, each response hears of the end of its own stream. */
  static enter(request: IncomingMessage, work: Closable): Connection | undefined {
    const { socket } = request;
    if (isHttp2(request) || typeof socket?.on !== 'function') return undefined;
    let connection = socket[CONNECTION];
    if (connection === undefined) {
      connection = socket[CONNECTION] = new Connection();
      // One listener for the whole life of the connection, not one for each request.
      socket.on('close', connectionClosed);
    }
    if (connection.first === undefined) connection.first = work;
    else connection.others.push(work);
    // A request may have waited (for example with `Expect`) until after its client closed the connection.
    if (socket.closed === true) connection.break();
    return connection;
  }

  leave(work: Closable): void {
    if (this.first === work) {
      this.first = undefined;
      return;
    }
    const place = this.others.indexOf(work);
    if (place >= 0) this.others.splice(place, 1);
  }

  /** Ends the requests in the next tick. Node emits its own `close` events before that, so the application hears of them first. */
  break(): void {
    if (this.first === undefined && this.others.length === 0) return;
    process.nextTick(() => {
      const { first } = this;
      this.first = undefined;
      first?.close();
      for (const work of this.others.splice(0)) work.close();
    });
  }
}

function connectionClosed(this: Socket): void {
  this[CONNECTION]?.break();
}

interface Source {
  readonly errored?: unknown;
  once(event: typeof errorMonitor, listener: (thrown: unknown) => void): unknown;
}

/** Tells `work` if the stream of its response body breaks: only the stream itself reports that. Ignores an `answer` that is no stream. */
export function watchSource(answer: unknown, work: TracedRequest): void {
  // Nest's StreamableFile holds a stream.
  const source: unknown = hasMethods(answer, 'getStream', 'getHeaders') ? (answer as { getStream(): unknown }).getStream() : answer;
  if (!hasMethods(source, 'pipe', 'once') || !work.span.isRecording()) return;
  const { errored } = source as Source;
  if (errored !== undefined && errored !== null) work.sourceBroke(errored);
  // Not a listener for 'error': that would keep an unhandled error from ending the process.
  else (source as Source).once(errorMonitor, thrown => work.sourceBroke(thrown));
}

/** Watches the streams that Nest sends as responses through `adapter`. */
export function watchReplies(adapter: object, application: TracingApplication): Undo {
  return replaceMethod(adapter, 'reply', reply => {
    return function (...args) {
      if (mayBeStream(args[1])) watchReply(args[0], args[1], application);
      return reply.apply(this, args);
    };
  });
}

/** A cheap check: most answers are plain objects or arrays. */
function mayBeStream(answer: unknown): boolean {
  if (typeof answer !== 'object' || answer === null) return false;
  const prototype: unknown = Object.getPrototypeOf(answer);
  return prototype !== Object.prototype && prototype !== Array.prototype;
}

function watchReply(response: unknown, answer: unknown, application: TracingApplication): void {
  try {
    const { req, request } = response as { readonly req?: unknown; readonly request?: unknown };
    const work = requestWorkIn(req ?? request, application)?.inbound;
    if (work !== undefined) watchSource(answer, work);
  } catch (error) {
    reportTrouble('inbound.http', messages.requestNotTraced(), error);
  }
}
