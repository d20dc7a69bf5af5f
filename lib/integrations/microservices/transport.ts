/** The interfaces by which each Nest transport describes its server and client. Each transport implements them in its own file. */
import type { Attributes } from '@opentelemetry/api';
import type { Observable } from 'rxjs';
import type { MessageInTransit, MessageOperation } from '../../conventions/messaging.js';
import { memberAt } from '../../conventions/peer.js';
import type { ServerAddress } from '../../conventions/rpc.js';
import type { InboundRequest } from '../../options/tracing-options.js';
import { type Method, replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';

/** The used members of a server or client of @nestjs/microservices. The package need not be installed. */
interface TransportEnd {
  readonly options?: Readonly<Record<string, unknown>>;
  normalizePattern(pattern: unknown): string;
}

export interface RpcServer extends TransportEnd {
  /** A value of Nest's enum `Transport`. Custom strategies may have none. */
  readonly transportId?: unknown;
  addHandler(pattern: unknown, callback: unknown, isEventHandler?: boolean, extras?: unknown): void;
  getHandlers(): Map<unknown, unknown>;
}

export interface ClientProxy extends TransportEnd {
  send(pattern: unknown, data: unknown): Observable<unknown>;
  emit(pattern: unknown, data: unknown): Observable<unknown>;
  connect(): Promise<unknown>;
}

/** Common members of both ends. */
export interface Transport<End extends TransportEnd = TransportEnd> {
  readonly system: string;
  readonly protocol: 'rpc' | 'messaging';
  serverOf?(end: End): ServerAddress | undefined;
  /** Returns the socket, or undefined before the connection. A server with many sockets returns that of the current message. */
  connectionOf?(end: End): unknown;
  /** Returns the connection's name at the broker. Some brokers assign it on connection. */
  clientIdOf?(end: End): unknown;
}

export interface ServerTransport extends Transport<RpcServer> {
  /** The transport's term for passing a message to its handler. */
  readonly operation: string;
  /** True if messages come in for which there is no handler. @default false */
  readonly takesAnything?: boolean;
  /** The name of the library's official instrumentation. If it has opened the span of a message, this library opens no second one. */
  readonly instrumentation?: string;
  /** Reads an incoming message. `args` are the handler's arguments: the data and Nest's transport context. */
  read(server: RpcServer, registered: string, args: readonly unknown[]): ReadMessage;
  /** Installs what {@link read} needs. Returns the undo function. */
  watch?(server: RpcServer): Undo;
}

/** An incoming call or message, as its transport describes it. */
export interface ReadMessage {
  /** The actual topic or subject, even if the handler is registered for a pattern with wildcards. */
  readonly destination: string;
  /** Compared with rules if several kinds of messages share one destination. @default the destination */
  readonly pattern?: string | undefined;
  /** The registered pattern, without a prefix for the subscription. @default the registered pattern */
  readonly template?: string | undefined;
  readonly headers: InboundRequest['headers'];
  readonly isAnonymous?: boolean;
  readonly isTemporary?: boolean;
  readonly conversationId?: unknown;
  readonly messageId?: unknown;
  readonly consumerGroup?: string | undefined;
  /** The caller's socket, if each caller has its own. */
  readonly caller?: { readonly destroyed?: unknown } | undefined;
  /** Returns further attributes. Called only if the span may record. */
  readonly attributes?: () => Attributes;
}

export interface ClientTransport extends Transport<ClientProxy> {
  /** Clients are recognized by these members. Classes may come from another copy of the package, and bundlers rename them. */
  readonly members: readonly string[];
  /** The transport's term for sending a message. */
  readonly operation: string;
  /** Returns the ids of a message that was just sent. The packet of a request has an id, by which Nest finds its answer. */
  idsOf?(packet: { readonly id?: unknown; readonly data?: unknown }): Pick<MessageInTransit, 'conversationId' | 'messageId'>;
  /** Returns the destination of messages with that pattern. @default the pattern */
  destination?(client: ClientProxy, pattern: unknown): string | undefined;
  /** Describes the queue, if the client sends to one. */
  queueOf?(client: ClientProxy): Pick<MessageOperation, 'isAnonymous' | 'isTemporary'>;
  /** Returns further attributes. Called only if the span may record. */
  attributes?(client: ClientProxy, pattern: unknown): Attributes;
  /** Methods that send at once, even if no code subscribes to the result. @default emit */
  readonly hot?: readonly string[];
  /** Makes the client send the headers of the active context with each message. Returns the undo function. */
  carry(client: ClientProxy): Undo;
}

/** Wraps the methods by which a client passes packets to its transport, for requests and for events. */
export function replaceSending(client: ClientProxy, wrap: (send: Method) => Method): Undo {
  return undoAll(['publish', 'dispatchEvent'].map(name => replaceMethod(client, name, wrap)));
}

/** Installs something on a client's current connection. A client that connects again gets a new connection. */
export class OnConnection {
  private connection: unknown;
  private release: Undo = () => undefined;

  constructor(private readonly install: (connection: object) => Undo) {}

  hold(connection: unknown): void {
    if (connection === this.connection || typeof connection !== 'object' || connection === null) return;
    this.release();
    this.connection = connection;
    this.release = this.install(connection);
  }

  readonly undo: Undo = () => this.release();
}

/** Calls a method of Nest's transport context. Returns undefined if it does not exist: custom strategies may pass any context. */
export function fromContext(ctx: unknown, method: string): unknown {
  const read = memberAt(ctx, method);
  return typeof read === 'function' ? (read.call(ctx) as unknown) : undefined;
}

/** Like {@link fromContext}, but returns strings only. */
export function textFrom(ctx: unknown, method: string): string | undefined {
  return textOf(fromContext(ctx, method));
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
