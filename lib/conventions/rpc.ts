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

/** Attributes of a call, the same for client and server; `method` also is the name of the span. */
export function rpcAttributes(system: string, method: string, server: ServerAddress | undefined): Attributes {
  const attributes: Attributes = { 'rpc.system.name': system, 'rpc.method': method };
  addServer(attributes, server);
  return attributes;
}

/** `server.address` and `server.port`. */
export function addServer(attributes: Attributes, server: ServerAddress | undefined): void {
  if (server?.address === undefined) return;
  attributes['server.address'] = server.address;
  if (server.port !== undefined) attributes['server.port'] = server.port;
}
