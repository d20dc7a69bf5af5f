/** What is known of a request when it comes in, as plain values. Neither the request nor its headers are kept. */
import { isIP } from 'node:net';
import type { Attributes } from '@opentelemetry/api';
import { addHeaders, redactQuery } from '../../conventions/http.js';
import { type Peer, peerOf } from '../../conventions/peer.js';
import type { ResolvedInboundOptions } from '../../options/resolved-options.js';
import type { SpanFacts } from '../../spans/facts.js';
import { requestAttributes, type Server } from './attributes.js';
import type { IncomingMessage } from './http-messages.js';

/** The attributes of an HTTP SERVER span. Samplers see those that are known at the start. */
export class ServerFacts implements SpanFacts {
  private readonly method: string;
  private readonly target: string;
  private readonly peer: Peer;
  private readonly host: string | undefined;
  private readonly version: string | undefined;
  private readonly userAgent: string | undefined;
  private readonly proxied: Forwarded;
  private readonly captured: Attributes | undefined;
  private route: Attributes | undefined = undefined;
  private response: Attributes | undefined = undefined;

  constructor(
    request: IncomingMessage,
    private readonly options: ResolvedInboundOptions,
  ) {
    const { headers, method, httpVersion } = request;
    const userAgent = headers['user-agent'];
    const names = options.captureRequestHeaders;
    this.method = method ?? 'GET';
    this.target = request.originalUrl ?? request.url ?? '/';
    this.peer = peerOf(request.socket);
    this.host = single(headers[':authority']) ?? single(headers.host);
    this.version = httpVersion;
    this.userAgent = typeof userAgent === 'string' ? userAgent : undefined;
    this.proxied = options.trustForwardedHeaders ? forwarded(headers) : NOTHING;
    this.captured = names.length === 0 ? undefined : requestHeaderAttributes(request, names);
  }

  /** Adds attributes that are not changed later: those of the route, then those of the response. */
  add(attributes: Attributes): void {
    if (this.route === undefined) this.route = attributes;
    else this.response = this.response === undefined ? attributes : { ...this.response, ...attributes };
  }

  toAttributes(): Attributes {
    const { method, target, peer, proxied, version, userAgent, options } = this;
    const scheme = proxied.scheme ?? peer.scheme;
    const host = proxied.host ?? this.host;
    const client = proxied.client ?? peer.address;
    const start = target.charCodeAt(0) === 47 ? 0 : startOfPath(target);
    const mark = target.indexOf('?', start);
    const query = mark < 0 ? '' : target.slice(mark + 1);
    const attributes = requestAttributes({
      method,
      knownMethods: options.knownMethods,
      path: target.slice(start, mark < 0 ? undefined : mark) || '/',
      query: query === '' ? undefined : redactQuery(query, options.redactQueryKeys),
      scheme,
      server: host === undefined || host === '' ? NO_SERVER : serverOf(host),
      client,
      peer,
      version,
      userAgent,
    });
    return Object.assign(attributes, this.captured, this.route, this.response);
  }
}

/** Returns the captured request headers alone, for a span that was opened elsewhere. */
export function requestHeaderAttributes({ headers }: IncomingMessage, names: readonly string[]): Attributes {
  const attributes: Attributes = {};
  addHeaders(attributes, 'request', names, name => headers[name]);
  return attributes;
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
