/** What the servers of Nest's transports have in common, and what each of them says about a call or message; one file per transport. */
import type { Attributes, Span } from '@opentelemetry/api';
import type { ServerAddress } from '../conventions/rpc.js';
import type { InboundRequest } from '../tracing.options.js';

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
interface ReadMessage {
  /** What was called or sent to: the concrete one, where a pattern is registered. */
  readonly destination: string;
  /** What rules go by, where many kinds of messages share a destination. @default the destination */
  readonly pattern?: string | undefined;
  /** What was registered, without what only says how to subscribe. @default what was registered */
  readonly template?: string | undefined;
  readonly headers: InboundRequest['headers'];
  readonly conversationId?: string | undefined;
  readonly messageId?: string | undefined;
  readonly consumerGroup?: string | undefined;
  readonly clientId?: string | undefined;
  /** Further attributes, asked only for a span that may record. */
  readonly attributes?: () => Attributes;
}

export interface RpcTransport {
  readonly system: string;
  readonly protocol: 'rpc' | 'messaging';
  /** The transport's word for handing a message to its handler. */
  readonly operation: string;
  /** Whatever is sent comes in, also where there is no handler for it. @default false */
  readonly takesAnything?: boolean;
  /** The official instrumentation of the transport's library: where it has opened the span of a message, there is no second one. */
  readonly instrumentation?: string;
  /** `args` are those of the handler: for sockets and brokers the data and Nest's context of the transport. */
  read(server: RpcServer, registered: string, args: readonly unknown[]): ReadMessage;
  serverOf?(server: RpcServer): ServerAddress | undefined;
  /** Sets what is needed to read headers; returns what takes it out again. */
  watch?(server: RpcServer): () => void;
  fail?(span: Span, thrown: unknown): void;
}
