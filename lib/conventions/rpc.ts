/** Names and attributes of RPC client and server spans (semantic conventions for RPC, stable). */
import type { Attributes } from '@opentelemetry/api';
import { addPeer } from './peer.js';

/** The address of the server of a call or message, as far as it is known. */
export interface ServerAddress {
  readonly address?: string | undefined;
  readonly port?: number | undefined;
}

/** Returns the address for a host and port of options or sockets. Invalid values are left out. */
export function serverAddress(host: unknown, port: unknown): ServerAddress {
  const number = Number(port);
  return { address: typeof host === 'string' ? host : undefined, port: Number.isInteger(number) && number > 0 ? number : undefined };
}

/**
 * Returns the address of a broker. `given` is a URL with or without a scheme, an object, or a list of these. Of a list, the first one
 * counts. Credentials are left out.
 */
export function serverAddressOf(given: unknown, defaultPort: number): ServerAddress | undefined {
  const url: unknown = Array.isArray(given) ? given[0] : given;
  if (typeof url === 'object' && url !== null) {
    const { hostname, host, port } = url as { hostname?: unknown; host?: unknown; port?: unknown };
    return serverAddress(hostname ?? host ?? 'localhost', port ?? defaultPort);
  }
  if (typeof url !== 'string') return undefined;
  if (known.has(url)) return known.get(url);
  const address = parsedAddress(url, defaultPort);
  // URLs come from settings, so there are few. Each broker has one default port.
  if (known.size < MAX_KNOWN) known.set(url, address);
  return address;
}

/** Each URL is parsed once, not for every message. */
const known = new Map<string, ServerAddress | undefined>();
const MAX_KNOWN = 100;

function parsedAddress(url: string, defaultPort: number): ServerAddress | undefined {
  try {
    const { hostname, port } = new URL(url.includes('://') ? url : `broker://${url}`);
    return serverAddress(hostname.replace(/^\[|\]$/g, '') || 'localhost', port || defaultPort);
  } catch {
    return undefined;
  }
}

/** Returns the address in a list with a single `host:port`. With several entries it is unknown which one was used. */
export function soleServerAddress(list: unknown): ServerAddress | undefined {
  const [entry, ...others] = Array.isArray(list) ? (list as unknown[]) : [];
  if (typeof entry !== 'string' || others.length > 0) return undefined;
  const [, host, port] = /^(?:\w+:\/\/)?(.*?)(?::(\d+))?$/.exec(entry) ?? [];
  return serverAddress(host, port);
}

const UNRECOGNISED = '_OTHER';
const MAX_ORIGINAL = 256;

/** Returns the name of a method or pattern. A value that Nest cannot write as text (`undefined`, symbol, function) has none. */
export function methodName(normalized: unknown): string {
  return typeof normalized === 'string' ? normalized : UNRECOGNISED;
}

/** Returns the method, or the system if the method is not known. */
export function rpcSpanName(system: string, method: string = UNRECOGNISED): string {
  return method === UNRECOGNISED ? system : method;
}

/** Returns the attributes of a call, for client and server. `connection` is the socket of the call, if it is known. */
export function rpcAttributes(system: string, method: string, server: ServerAddress | undefined, connection?: unknown): Attributes {
  const attributes: Attributes = { 'rpc.system.name': system, 'rpc.method': method };
  addServer(attributes, server);
  addPeer(attributes, connection);
  return attributes;
}

/** Returns the attributes of a call of an unknown method. Callers may send any name, so it does not become `rpc.method`. */
export function unknownMethodAttributes(
  system: string,
  called: string,
  server: ServerAddress | undefined,
  connection?: unknown,
): Attributes {
  return { ...rpcAttributes(system, UNRECOGNISED, server, connection), 'rpc.method_original': called.slice(0, MAX_ORIGINAL) };
}

/** Adds `server.address` and `server.port`. */
export function addServer(attributes: Attributes, server: ServerAddress | undefined): void {
  if (server?.address === undefined) return;
  attributes['server.address'] = server.address;
  if (server.port !== undefined) attributes['server.port'] = server.port;
}
