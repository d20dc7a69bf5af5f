/** How the clients of Nest's transports are told apart, where they send to, and where headers go on what they send. */
import type { Attributes } from '@opentelemetry/api';
import type { Observable } from 'rxjs';
import { type ServerAddress, serverAddress } from '../conventions/rpc.js';
import { replaceMethod, undoAll } from '../local/replace-method.js';
import { kafka } from './client-kafka.js';
import { outgoingHeaders } from './departure.js';

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
  destination?(client: ClientProxy, pattern: unknown): string;
  /** Further attributes, asked only for a span that may record. */
  attributes?(client: ClientProxy): Attributes;
  /** Methods that send at once, whoever subscribes to what they return. @default emit */
  readonly hot?: readonly string[];
  /** Puts the headers of the active context on whatever the client sends; returns what ends it. */
  carry(client: ClientProxy): () => void;
}

const METHODS = ['dispatchEvent', 'publish', 'emit', 'send', 'connect', 'normalizePattern'] as const;

/** Whether something is a client proxy, of whichever copy of @nestjs/microservices; no getter is asked. */
export function isClientProxy(value: unknown): value is ClientProxy {
  return typeof value === 'object' && value !== null && METHODS.every(name => hasMethod(value, name));
}

function hasMethod(value: object, name: string): boolean {
  for (let owner: object | null = value; owner !== null; owner = Object.getPrototypeOf(owner) as object | null) {
    const property = Object.getOwnPropertyDescriptor(owner, name);
    if (property !== undefined) return typeof property.value === 'function';
  }
  return false;
}

export function transportOf(client: ClientProxy): ClientTransport {
  return transports.find(([recognises]) => recognises(client))?.[1] ?? custom;
}

const tcp: ClientTransport = {
  system: 'nestjs.tcp',
  protocol: 'rpc',
  operation: 'call',
  serverOf: client => serverAddress(Reflect.get(client, 'host'), Reflect.get(client, 'port')),
  carry: carryInEnvelope,
};

const redis: ClientTransport = {
  system: 'redis',
  protocol: 'messaging',
  operation: 'publish',
  serverOf: ({ options }) => serverAddress(options?.['host'] ?? 'localhost', options?.['port'] ?? 6379),
  carry: carryInEnvelope,
};

/** Clients of the user's: they are given `metadata`, as Nest's own dispatch hook would give it. */
const custom: ClientTransport = {
  system: 'nestjs.custom',
  protocol: 'rpc',
  operation: 'call',
  serverOf: () => undefined,
  carry: carryInEnvelope,
};

const has = (client: object, ...names: string[]): boolean => names.every(name => name in client);

/** Known by their members: classes may come from another copy of the package, and bundlers rename them. */
const transports: readonly (readonly [(client: ClientProxy) => boolean, ClientTransport])[] = [
  [client => has(client, 'socketClass', 'host', 'port'), tcp],
  [client => has(client, 'createRetryStrategy', 'subscriptionsCount'), redis],
  [client => has(client, 'subscribeToResponseOf', 'emitBatch', 'commitOffsets'), kafka],
];

interface Packet {
  data: unknown;
  metadata?: unknown;
}

/** `metadata` of the JSON envelope: Nest reads it from 12.0.4 on, this library on every version, and all others pass it over. */
function carryInEnvelope(client: ClientProxy): () => void {
  const stamped = (packet: unknown): unknown => {
    if (typeof packet !== 'object' || packet === null) return packet;
    const { metadata } = packet as Packet;
    const existing = typeof metadata === 'object' && metadata !== null ? metadata : undefined;
    const headers = outgoingHeaders(existing);
    if (headers !== undefined) (packet as Packet).metadata = { ...existing, ...headers };
    return packet;
  };
  return undoAll(
    ['publish', 'dispatchEvent'].map(name =>
      replaceMethod(client, name, send => {
        return function (packet, ...rest) {
          return send.call(this, stamped(packet), ...rest);
        };
      }),
    ),
  );
}
