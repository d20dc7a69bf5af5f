/** Reads the handshake of a gateway's client, with any adapter: its address, namespace or path, and headers. */
import type { SocketClient } from './attributes.js';
import type { Carrier, CarrierSearch } from '../../propagation/payload-carrier.js';

/** The data of a client at its handshake. */
export interface Handshake {
  readonly system: 'socket.io' | 'websocket';
  /** The namespace or path. */
  readonly place: string;
  /** The namespace or path for span names. Undefined if a pattern declares it, as it may then have many values. */
  readonly declaredPlace: string | undefined;
  /** The carrier of the client's context, by default the headers. */
  readonly headers: Carrier;
  readonly client: SocketClient;
}

interface Request {
  readonly url?: unknown;
  readonly headers?: unknown;
  readonly socket?: { readonly remoteAddress?: unknown };
}

interface SocketIoHandshake extends Request {
  readonly auth?: unknown;
  readonly query?: unknown;
  readonly address?: unknown;
}

interface AnyClient {
  readonly handshake?: SocketIoHandshake;
  readonly nsp?: { readonly name?: unknown };
  readonly request?: Request;
  readonly upgradeReq?: Request;
}

interface AnyServer {
  readonly name?: unknown;
  /** Set on namespaces of socket.io that match a pattern. */
  readonly children?: unknown;
  readonly path?: unknown;
  readonly options?: { readonly path?: unknown };
}

/** Reads the handshake of a client. `args`: the arguments of the adapter's callback, with `ws` the client and its request. */
export function handshakeOf(server: unknown, args: readonly unknown[], search: CarrierSearch): Handshake {
  const client = args[0] as AnyClient;
  const { handshake } = client;
  if (isRecord(handshake)) {
    const place = textOf(client.nsp?.name) ?? '/';
    const headers = recordOf(handshake.headers);
    return {
      system: 'socket.io',
      place,
      declaredPlace: isRecord(server) && isRecord((server as AnyServer).children) ? undefined : place,
      headers: search.inObject(handshake.auth) ?? search.inObject(headers) ?? search.inObject(handshake.query) ?? headers,
      client: { address: textOf(handshake.address), userAgent: textOf(headers['user-agent']) },
    };
  }
  const request = args.slice(1).find(isRequest) ?? [client.request, client.upgradeReq].find(isRequest);
  const headers = recordOf(request?.headers);
  const place = placeOf(server);
  return {
    system: 'websocket',
    place,
    declaredPlace: place,
    headers: search.inObject(headers) ?? search.inObject(queryOf(request?.url)) ?? headers,
    client: { address: textOf(request?.socket?.remoteAddress), userAgent: textOf(headers['user-agent']) },
  };
}

/** Returns the HTTP server and the path that clients of socket.io poll. Returns undefined for other servers. */
export function pollingOf(server: unknown): { readonly httpServer: object; readonly path: string } | undefined {
  if (!isRecord(server)) return undefined;
  const io: unknown = isRecord(server['server']) ? server['server'] : server;
  const { httpServer, path } = io as { httpServer?: unknown; path?: unknown };
  if (!isRecord(httpServer) || typeof path !== 'function') return undefined;
  const name: unknown = path.call(io);
  return typeof name === 'string' ? { httpServer, path: name } : undefined;
}

function placeOf(server: unknown): string {
  const { path, options } = (isRecord(server) ? server : {}) as AnyServer;
  return textOf(path) ?? textOf(options?.path) ?? '/';
}

function isRequest(value: unknown): value is Request {
  return isRecord(value) && isRecord(value['headers']);
}

/** Returns the query of a URL. Browsers cannot set headers on a WebSocket, so they send their context there. */
function queryOf(url: unknown): unknown {
  const mark = typeof url === 'string' ? url.indexOf('?') : -1;
  return mark < 0 ? undefined : Object.fromEntries(new URLSearchParams((url as string).slice(mark + 1)));
}

function recordOf(value: unknown): Carrier {
  return isRecord(value) ? (value as Carrier) : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
