/** How each of Nest's transports hands a call or message to its handlers, and where the sender's headers are. */
import type { Attributes, Span } from '@opentelemetry/api';
import { type ServerAddress, serverAddress } from '../conventions/rpc.js';
import type { InboundRequest } from '../tracing.options.js';
import { envelopeIn, watchEnvelopes } from './rpc-envelope.js';
import { kafka } from './rpc-kafka.js';

/** A server of @nestjs/microservices, as far as it matters here; the package need not be installed. */
export interface RpcServer {
  /** Of Nest's enumeration `Transport`; custom strategies may have none. */
  readonly transportId?: unknown;
  readonly options?: Readonly<Record<string, unknown>>;
  addHandler(pattern: unknown, callback: unknown, isEventHandler?: boolean, extras?: unknown): void;
  getHandlers(): Map<unknown, unknown>;
  normalizePattern(pattern: unknown): string;
}

/** What a transport says about one call or message. */
export interface ReadMessage {
  /** What was called or sent to: the concrete one, where a pattern is registered. */
  readonly destination: string;
  readonly headers: InboundRequest['headers'];
  readonly conversationId?: string | undefined;
  readonly messageId?: string | undefined;
  /** Further attributes, asked only for a span that may record. */
  attributes?(): Attributes;
}

export interface RpcTransport {
  readonly system: string;
  readonly protocol: 'rpc' | 'messaging';
  /** The transport's word for handing a message to its handler. */
  readonly operation: string;
  /** `args` are those of the handler: for sockets and brokers the data and Nest's context of the transport. */
  read(server: RpcServer, registered: string, args: readonly unknown[]): ReadMessage;
  serverOf?(server: RpcServer): ServerAddress | undefined;
  /** Sets what is needed to read headers; returns what takes it out again. */
  watch?(server: RpcServer): () => void;
  fail?(span: Span, thrown: unknown): void;
}

/** Transport of a server: Nest's own by their number, all others in the way that Nest prescribes for custom strategies. */
export function transportOf(server: RpcServer): RpcTransport {
  return transports.get(server.transportId) ?? custom;
}

const tcp: RpcTransport = {
  system: 'nestjs.tcp',
  protocol: 'rpc',
  operation: 'call',
  read: (_server, registered) => ({ destination: registered, headers: envelopeIn() }),
  serverOf: server => serverAddress(Reflect.get(server, 'host'), Reflect.get(server, 'port')),
  watch: watchEnvelopes,
};

const redis: RpcTransport = {
  system: 'redis',
  protocol: 'messaging',
  operation: 'process',
  read: (_server, registered, [, ctx]) => ({ destination: textFrom(ctx, 'getChannel') ?? registered, headers: envelopeIn() }),
  serverOf: ({ options }) => serverAddress(options?.['host'] ?? 'localhost', options?.['port'] ?? 6379),
  watch: watchEnvelopes,
};

/** Strategies of the user's: Nest's base class gives them `metadata` in the same envelope. */
const custom: RpcTransport = {
  system: 'nestjs.custom',
  protocol: 'rpc',
  operation: 'call',
  read: (_server, registered, [, ctx]) => ({ destination: registered, headers: metadataOf(ctx) ?? envelopeIn() }),
  watch: watchEnvelopes,
};

/** By the numbers of Nest's enumeration `Transport`. */
const transports = new Map<unknown, RpcTransport>([
  [0, tcp],
  [1, redis],
  [6, kafka],
]);

function metadataOf(ctx: unknown): InboundRequest['headers'] | undefined {
  const { getMetadata } = (typeof ctx === 'object' && ctx !== null ? ctx : {}) as { getMetadata?: unknown };
  const metadata: unknown = typeof getMetadata === 'function' ? getMetadata.call(ctx) : undefined;
  return typeof metadata === 'object' && metadata !== null ? (metadata as InboundRequest['headers']) : undefined;
}

function textFrom(ctx: unknown, method: string): string | undefined {
  const read: unknown = typeof ctx === 'object' && ctx !== null ? Reflect.get(ctx, method) : undefined;
  const text: unknown = typeof read === 'function' ? read.call(ctx) : undefined;
  return typeof text === 'string' ? text : undefined;
}
