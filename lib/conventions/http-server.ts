/** What a SERVER span of HTTP is called and carries (semantic conventions for HTTP server spans, stable). */
import type { Attributes } from '@opentelemetry/api';
import type { ResolvedInboundOptions } from '../tracing.resolution.js';
import { addHeaders, addMethod, methodInName, redactQuery } from './http.js';

/** The parts of an incoming request that its span is described by: node:http, node:http2 and injected requests all have them. */
export interface ServerMessage {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly httpVersion?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly socket?: PeerSocket | null | undefined;
}

const PEER = Symbol.for('nestjs-tracing/peer');

interface PeerSocket {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly encrypted?: boolean;
  [PEER]?: Peer;
}

/** `{method} {route}` where the route is known, else `{method}`. */
export function serverSpanName(method: string | undefined, route: string | undefined, known: ReadonlySet<string>): string {
  const word = methodInName(method ?? 'GET', known);
  return route === undefined ? word : `${word} ${route}`;
}

/** All that is known when the request arrives, so that samplers see it. */
export function serverRequestAttributes(request: ServerMessage, options: ResolvedInboundOptions): Attributes {
  const { headers } = request;
  const peer = peerOf(request.socket);
  const target = request.url ?? '/';
  const start = target.charCodeAt(0) === 47 ? 0 : startOfPath(target);
  const mark = target.indexOf('?', start);
  const attributes: Attributes = {};
  addMethod(attributes, request.method ?? 'GET', options.knownMethods);
  attributes['url.path'] = mark < 0 ? (start === 0 ? target : target.slice(start) || '/') : target.slice(start, mark) || '/';
  if (mark >= 0 && mark < target.length - 1) attributes['url.query'] = redactQuery(target.slice(mark + 1), options.redactQueryKeys);

  let scheme = peer.scheme;
  let host = single(headers[':authority']) ?? single(headers.host);
  let client = peer.address;
  if (options.trustForwardedHeaders) {
    const forwarded = single(headers.forwarded);
    scheme = schemeOf((forwarded && forwardedField(forwarded, 'proto')) ?? first(headers['x-forwarded-proto'])) ?? scheme;
    host = (forwarded && forwardedField(forwarded, 'host')) ?? first(headers['x-forwarded-host']) ?? host;
    client = withoutPort((forwarded && forwardedField(forwarded, 'for')) ?? first(headers['x-forwarded-for'])) ?? client;
  }
  attributes['url.scheme'] = scheme;
  if (host !== undefined && host !== '') {
    const server = serverOf(host);
    attributes['server.address'] = server.address;
    attributes['server.port'] = server.port ?? (scheme === 'https' ? 443 : 80);
  }
  if (client !== undefined) attributes['client.address'] = client;
  if (peer.address !== undefined) attributes['network.peer.address'] = peer.address;
  if (peer.port !== undefined) attributes['network.peer.port'] = peer.port;
  const version = request.httpVersion;
  if (version !== undefined) attributes['network.protocol.version'] = version === '2.0' ? '2' : version;
  const userAgent = headers['user-agent'];
  if (typeof userAgent === 'string') attributes['user_agent.original'] = userAgent;
  if (options.captureRequestHeaders.length > 0) addHeaders(attributes, 'request', options.captureRequestHeaders, name => headers[name]);
  return attributes;
}

/** The captured headers of a request whose span somebody else has opened. */
export function requestHeaderAttributes({ headers }: ServerMessage, names: readonly string[]): Attributes {
  const attributes: Attributes = {};
  addHeaders(attributes, 'request', names, name => headers[name]);
  return attributes;
}

/** The attribute that names the declared route. */
export function routeAttributes(route: string): Attributes {
  return { 'http.route': route };
}

/** All that is known when the response is over; `statusCode` only where its headers were sent. */
export function serverResponseAttributes(
  statusCode: number | undefined,
  errorType: string | undefined,
  read: (name: string) => number | string | readonly string[] | undefined,
  options: ResolvedInboundOptions,
): Attributes {
  const attributes: Attributes = {};
  if (statusCode !== undefined) attributes['http.response.status_code'] = statusCode;
  if (errorType !== undefined) attributes['error.type'] = errorType;
  if (options.captureResponseHeaders.length > 0) addHeaders(attributes, 'response', options.captureResponseHeaders, read);
  return attributes;
}

interface Peer {
  readonly address: string | undefined;
  readonly port: number | undefined;
  readonly scheme: 'http' | 'https';
}

const noPeer: Peer = { address: undefined, port: undefined, scheme: 'http' };
/**
 * Asked once per connection: the getters of a socket are system calls, and a closed socket no longer knows. Kept on the socket, as a look
 * into a WeakMap takes longer than all else here.
 */
function peerOf(socket: PeerSocket | null | undefined): Peer {
  if (socket === null || socket === undefined) return noPeer;
  return socket[PEER] ?? askPeer(socket);
}

function askPeer(socket: PeerSocket): Peer {
  const peer: Peer = { address: socket.remoteAddress, port: socket.remotePort, scheme: socket.encrypted ? 'https' : 'http' };
  Reflect.set(socket, PEER, peer);
  return peer;
}

interface Server {
  readonly address: string;
  readonly port: number | undefined;
}

let lastHost = '';
let lastServer: Server = { address: '', port: undefined };

/** Splits `host[:port]`; one answer is remembered, as nearly every request of a server names the same host. */
function serverOf(host: string): Server {
  if (host === lastHost) return lastServer;
  const colon = host.lastIndexOf(':');
  // An IPv6 address is written in brackets; without them several colons are all address.
  const hasPort = colon > host.lastIndexOf(']') && (host.startsWith('[') || host.indexOf(':') === colon);
  const port = hasPort ? Number(host.slice(colon + 1)) : Number.NaN;
  const bare = hasPort ? host.slice(0, colon) : host;
  const address = bare.startsWith('[') && bare.endsWith(']') ? bare.slice(1, -1) : bare;
  lastHost = host;
  lastServer = { address, port: Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined };
  return lastServer;
}

/** Where the path begins in an absolute-form target (`GET http://host/path`, RFC 9112 section 3.2.2). */
function startOfPath(target: string): number {
  const authority = target.indexOf('://');
  const mark = target.indexOf('?');
  if (authority < 0 || (mark >= 0 && mark < authority)) return 0;
  const slash = target.indexOf('/', authority + 3);
  if (slash >= 0 && (mark < 0 || slash < mark)) return slash;
  return mark < 0 ? target.length : mark;
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}

/** The first element of a comma-separated header: the one nearest to the client. */
function first(value: string | string[] | undefined): string | undefined {
  const text = single(value);
  if (text === undefined) return undefined;
  const comma = text.indexOf(',');
  return (comma < 0 ? text : text.slice(0, comma)).trim() || undefined;
}

/** A parameter of the first element of `Forwarded` (RFC 7239). */
function forwardedField(forwarded: string, name: 'for' | 'host' | 'proto'): string | undefined {
  const element = first(forwarded) ?? '';
  for (const pair of element.split(';')) {
    const equals = pair.indexOf('=');
    if (equals > 0 && pair.slice(0, equals).trim().toLowerCase() === name) {
      return (
        pair
          .slice(equals + 1)
          .trim()
          .replace(/^"|"$/g, '') || undefined
      );
    }
  }
  return undefined;
}

function schemeOf(proto: string | undefined): 'http' | 'https' | undefined {
  const lower = proto?.toLowerCase();
  return lower === 'http' || lower === 'https' ? lower : undefined;
}

function withoutPort(node: string | undefined): string | undefined {
  if (node === undefined) return undefined;
  if (node.startsWith('[')) return node.slice(1, node.indexOf(']') < 0 ? undefined : node.indexOf(']'));
  const colon = node.indexOf(':');
  return colon > 0 && node.indexOf(':', colon + 1) < 0 ? node.slice(0, colon) : node;
}
