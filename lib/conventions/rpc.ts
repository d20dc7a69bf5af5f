/** What spans of remote procedure calls are called and carry (semantic conventions for RPC, stable), on either side. */
import type { Attributes } from '@opentelemetry/api';

/** Where a call or message goes, as far as it is known. */
export interface ServerAddress {
  readonly address?: string | undefined;
  readonly port?: number | undefined;
}

/** An address as options and sockets name it; what is no host name or port is left out. */
export function serverAddress(host: unknown, port: unknown): ServerAddress {
  const number = Number(port);
  return { address: typeof host === 'string' ? host : undefined, port: Number.isInteger(number) && number > 0 ? number : undefined };
}

/**
 * The address in a URL as brokers are given it: with or without a scheme, an object in its place, or a list, of which the first one counts.
 * Credentials are left out.
 */
export function serverAddressOf(given: unknown, defaultPort: number): ServerAddress | undefined {
  const url: unknown = Array.isArray(given) ? given[0] : given;
  if (typeof url === 'object' && url !== null) {
    const { hostname, host, port } = url as { hostname?: unknown; host?: unknown; port?: unknown };
    return serverAddress(hostname ?? host ?? 'localhost', port ?? defaultPort);
  }
  if (typeof url !== 'string') return undefined;
  try {
    const { hostname, port } = new URL(url.includes('://') ? url : `broker://${url}`);
    return serverAddress(hostname.replace(/^\[|\]$/g, '') || 'localhost', port || defaultPort);
  } catch {
    return undefined;
  }
}

/** The address in a list of `host:port`, where it has one entry only: which of several was talked to is not known. */
export function soleServerAddress(list: unknown): ServerAddress | undefined {
  const [entry, ...others] = Array.isArray(list) ? (list as unknown[]) : [];
  if (typeof entry !== 'string' || others.length > 0) return undefined;
  const [, host, port] = /^(?:\w+:\/\/)?(.*?)(?::(\d+))?$/.exec(entry) ?? [];
  return serverAddress(host, port);
}

const UNRECOGNISED = '_OTHER';
const MAX_ORIGINAL = 256;

/** What was called, or sent to; what Nest makes no text of (`undefined`, symbols, functions) has no name. */
export function methodName(normalized: unknown): string {
  return typeof normalized === 'string' ? normalized : UNRECOGNISED;
}

/** The method, as far as it is known. */
export function rpcSpanName(system: string, method: string = UNRECOGNISED): string {
  return method === UNRECOGNISED ? system : method;
}

/** Attributes of a call, the same for client and server. */
export function rpcAttributes(system: string, method: string, server: ServerAddress | undefined): Attributes {
  const attributes: Attributes = { 'rpc.system.name': system, 'rpc.method': method };
  addServer(attributes, server);
  return attributes;
}

/** Attributes of a call of a method that the server does not know; anybody may call it anything, so it is none of the method names. */
export function unknownMethodAttributes(system: string, called: string, server: ServerAddress | undefined): Attributes {
  return { ...rpcAttributes(system, UNRECOGNISED, server), 'rpc.method_original': called.slice(0, MAX_ORIGINAL) };
}

/** `server.address` and `server.port`. */
export function addServer(attributes: Attributes, server: ServerAddress | undefined): void {
  if (server?.address === undefined) return;
  attributes['server.address'] = server.address;
  if (server.port !== undefined) attributes['server.port'] = server.port;
}
