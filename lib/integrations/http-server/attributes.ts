/** Names and attributes of HTTP SERVER spans (semantic conventions for HTTP server spans, stable). */
import { isIP } from 'node:net';
import type { Attributes } from '@opentelemetry/api';
import { addHeaders, addMethod, methodInName, redactQuery } from '../../conventions/http.js';
import { peerOf } from '../../conventions/peer.js';
import type { ResolvedInboundOptions } from '../../options/resolved-options.js';
import type { IncomingMessage } from './http-messages.js';

/** Returns `{method} {route}`, or `{method}` if the route is unknown. */
export function serverSpanName(method: string | undefined, route: string | undefined, known: ReadonlySet<string>): string {
  const word = methodInName(method ?? 'GET', known);
  return route === undefined ? word : `${word} ${route}`;
}

/** Returns the attributes that are known when the request comes in: samplers see these. */
export function serverRequestAttributes(request: IncomingMessage, options: ResolvedInboundOptions): Attributes {
  const { headers } = request;
  const peer = peerOf(request.socket);
  const target = request.originalUrl ?? request.url ?? '/';
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
    const proxied = forwarded(headers);
    scheme = proxied.scheme ?? scheme;
    host = proxied.host ?? host;
    client = proxied.client ?? client;
  }
  attributes['url.scheme'] = scheme;
  if (host !== undefined && host !== '') {
    const server = serverOf(host);
    if (server.address !== undefined) {
      attributes['server.address'] = server.address;
      attributes['server.port'] = server.port ?? (scheme === 'https' ? 443 : 80);
    }
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

/** Returns the captured request headers alone, for a span that was opened elsewhere. */
export function requestHeaderAttributes({ headers }: IncomingMessage, names: readonly string[]): Attributes {
  const attributes: Attributes = {};
  addHeaders(attributes, 'request', names, name => headers[name]);
  return attributes;
}

export function routeAttributes(route: string): Attributes {
  return { 'http.route': route };
}

/** Returns the attributes that are known when the response is over. `statusCode` is undefined if it was not sent. */
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

interface Server {
  readonly address: string | undefined;
  readonly port: number | undefined;
}

const NO_SERVER: Server = { address: undefined, port: undefined };
let lastHost = '';
let lastServer = NO_SERVER;

/** Splits `host[:port]`. Caches the last result, because nearly all requests to a server name the same host. */
function serverOf(host: string): Server {
  if (host === lastHost) return lastServer;
  lastHost = host;
  if (hostOf(host) === undefined) return (lastServer = NO_SERVER);
  const colon = host.lastIndexOf(':');
  // Only IPv6 addresses have several colons. An IPv6 address with a port is in brackets.
  const hasPort = colon > host.lastIndexOf(']') && (host.startsWith('[') || host.indexOf(':') === colon);
  const port = hasPort ? Number(host.slice(colon + 1)) : Number.NaN;
  const bare = hasPort ? host.slice(0, colon) : host;
  const address = bare.startsWith('[') && bare.endsWith(']') ? bare.slice(1, -1) : bare;
  lastServer = { address, port: Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined };
  return lastServer;
}

/** Returns the index where the path begins in an absolute-form target (`GET http://host/path`, RFC 9112 section 3.2.2). */
function startOfPath(target: string): number {
  const authority = target.indexOf('://');
  const mark = target.indexOf('?');
  if (authority < 0 || (mark >= 0 && mark < authority)) return 0;
  const slash = target.indexOf('/', authority + 3);
  if (slash >= 0 && (mark < 0 || slash < mark)) return slash;
  return mark < 0 ? target.length : mark;
}

type Header = string | string[] | undefined;

interface Forwarded {
  readonly client: string | undefined;
  readonly host: string | undefined;
  readonly scheme: 'http' | 'https' | undefined;
}

const NOTHING: Forwarded = { client: undefined, host: undefined, scheme: undefined };

/**
 * Reads `Forwarded` (RFC 7239) and `X-Forwarded-*`, in which proxies describe the original request. Any client can send these headers, so
 * only valid addresses, host names and the two schemes are accepted. Only the first element of a list is used: it describes the client, the
 * others describe proxies.
 */
function forwarded(headers: Readonly<Record<string, Header>>): Forwarded {
  const standard = single(headers['forwarded']);
  const [client, host, proto] = [headers['x-forwarded-for'], headers['x-forwarded-host'], headers['x-forwarded-proto']];
  if (standard === undefined && client === undefined && host === undefined && proto === undefined) return NOTHING;
  const parameters = standard === undefined ? undefined : firstElement(standard);
  return {
    client: addressOf(parameters?.get('for')) ?? addressOf(first(client)),
    host: hostOf(parameters?.get('host')) ?? hostOf(first(host)),
    scheme: schemeOf(parameters?.get('proto')) ?? schemeOf(first(proto)),
  };
}

/** Returns `host` with its port. Returns undefined if it is too long or has characters that names and addresses cannot have. */
function hostOf(host: string | undefined): string | undefined {
  if (host === undefined || host.length > MAX_HOST) return undefined;
  if (!host.startsWith('[')) return NAME.test(host) || isIP(host) === 6 ? host : undefined;
  const end = host.indexOf(']');
  return isIP(host.slice(1, end)) === 6 && PORT.test(host.slice(end + 1)) ? host : undefined;
}

/** Characters: the longest name, a colon and a port. */
const MAX_HOST = 253 + 6;
const NAME = /^[a-z0-9._~-]+(?::\d{0,5})?$/i;
const PORT = /^(?::\d{0,5})?$/;

/** Characters: the longest address, the longest zone of an interface, and a port. */
const MAX_NODE = 80;

/**
 * Returns the address in `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`. Returns undefined if it is hidden (`_name`)
 * or `unknown`.
 */
function addressOf(node: string | undefined): string | undefined {
  if (node === undefined || node.length > MAX_NODE) return undefined;
  const [, bracketed, plain = node] = /^\[([^\]]*)\](?::\w+)?$/.exec(node) ?? /^()([\d.]+):\w+$/.exec(node) ?? [];
  const address = bracketed || plain;
  if (isIP(address) === 0 || (bracketed && isIP(bracketed) !== 6)) return undefined;
  // A zone has a meaning only on the machine that wrote it.
  const zone = address.indexOf('%');
  return zone < 0 ? address : address.slice(0, zone);
}

function schemeOf(proto: string | undefined): 'http' | 'https' | undefined {
  const lower = proto?.toLowerCase();
  return lower === 'http' || lower === 'https' ? lower : undefined;
}

/** Matches `name=token` or `name="quoted"`, up to the next pair, the next element or the end. */
const PAIR = /\s*([\w!#$%&'*+.^`|~-]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;\s]*))\s*([;,]|$)/y;

/** Returns the parameters of the first element. Stops at a malformed one. */
function firstElement(text: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  PAIR.lastIndex = 0;
  for (let pair = PAIR.exec(text); pair !== null; pair = PAIR.exec(text)) {
    const [, name = '', quoted, token = '', end] = pair;
    parameters.set(name.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? token);
    if (end !== ';') break;
  }
  return parameters;
}

function first(value: Header): string | undefined {
  const text = single(value);
  if (text === undefined) return undefined;
  const comma = text.indexOf(',');
  return (comma < 0 ? text : text.slice(0, comma)).trim().replace(/^"(.*)"$/, '$1') || undefined;
}

function single(value: Header): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}
