/** What the clients of Nest's transports have in common, and what each of them says about itself; one file per transport. */
import type { Attributes } from '@opentelemetry/api';
import type { Observable } from 'rxjs';
import type { ServerAddress } from '../conventions/rpc.js';

/** A client of @nestjs/microservices, as far as it matters here; the package need not be installed. */
export interface ClientProxy {
  readonly options?: Readonly<Record<string, unknown>>;
  send(pattern: unknown, data: unknown): Observable<unknown>;
  emit(pattern: unknown, data: unknown): Observable<unknown>;
  connect(): Promise<unknown>;
  normalizePattern(pattern: unknown): string;
}

export interface ClientTransport {
  readonly system: string;
  readonly protocol: 'rpc' | 'messaging';
  /** The transport's word for sending a message. */
  readonly operation: string;
  serverOf(client: ClientProxy): ServerAddress | undefined;
  /** Where a message of that pattern goes. @default the pattern */
  destination?(client: ClientProxy, pattern: unknown): string | undefined;
  /** Further attributes, asked only for a span that may record. */
  readonly attributes?: (client: ClientProxy, pattern: unknown) => Attributes;
  /** Methods that send at once, whoever subscribes to what they return. @default emit */
  readonly hot?: readonly string[];
  /** Puts the headers of the active context on whatever the client sends; returns what ends it. */
  carry(client: ClientProxy): () => void;
}

/** Whether a client has all of these members: classes may come from another copy of the package, and bundlers rename them. */
export function hasMembers(client: object, ...names: string[]): boolean {
  return names.every(name => name in client);
}
