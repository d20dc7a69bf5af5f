/** Attributes of HTTP CLIENT spans (semantic conventions for HTTP client spans, stable). */
import type { Attributes } from '@opentelemetry/api';
import { addHeaders, addMethod, portOf, redactQuery } from '../../conventions/http.js';
import type { ResolvedOutboundOptions } from '../../options/resolved-options.js';
import type { OutboundRequest, OutboundResponse } from '../../options/tracing-options.js';

/** The parts of an outgoing call that its span describes. */
export interface ClientRequest extends OutboundRequest {
  /** The path of the Unix domain socket, if the call uses one. It becomes `server.address`. */
  readonly socketPath?: string | undefined;
}

/** The connection of a call. A member is undefined if the library does not report it. */
export interface ClientConnection {
  readonly peerAddress?: string | undefined;
  readonly peerPort?: number | undefined;
  /** In the format of node:http: `1.0`, `1.1`, `2.0`. */
  readonly protocolVersion?: string | undefined;
}

/** The parts of a response that its span describes. */
export interface ClientAnswer extends ClientConnection {
  readonly statusCode: number;
  /** How many redirects were followed within the span. */
  readonly redirects?: number | undefined;
}

/** Returns the attributes that are known before the request is sent: samplers see these. */
export function clientRequestAttributes(
  request: ClientRequest,
  resends: number,
  readHeader: (name: string) => string | readonly string[] | undefined,
  options: ResolvedOutboundOptions,
): Attributes {
  const { url, socketPath } = request;
  const attributes: Attributes = {};
  addMethod(attributes, request.method, options.knownMethods);
  if (socketPath === undefined) {
    attributes['server.address'] = bareHost(url.hostname);
    attributes['server.port'] = portOf(url);
  } else {
    attributes['server.address'] = socketPath;
  }
  attributes['url.full'] = redactedUrl(url, options.redactQueryKeys);
  if (resends > 0) attributes['http.request.resend_count'] = resends;
  if (options.captureRequestHeaders.length > 0) addHeaders(attributes, 'request', options.captureRequestHeaders, readHeader);
  return attributes;
}

/** Returns the attributes that are known when the response headers come in. */
export function clientResponseAttributes(
  answer: ClientAnswer,
  resends: number,
  readHeaders: () => OutboundResponse['headers'],
  options: ResolvedOutboundOptions,
): Attributes {
  const { statusCode, redirects } = answer;
  const attributes: Attributes = {};
  // A custom adapter may return anything.
  if (Number.isInteger(statusCode)) attributes['http.response.status_code'] = statusCode;
  if (isClientFailure(statusCode)) attributes['error.type'] = String(statusCode);
  if (redirects !== undefined && redirects > 0) attributes['http.request.resend_count'] = resends + redirects;
  addConnection(attributes, answer);
  const { captureResponseHeaders } = options;
  if (captureResponseHeaders.length > 0) {
    const headers = readHeaders();
    addHeaders(attributes, 'response', captureResponseHeaders, name => headers[name]);
  }
  return attributes;
}

/** Returns true for a 4xx or 5xx status: it makes the CLIENT span fail. */
export function isClientFailure(statusCode: number): boolean {
  return statusCode >= 400;
}

/** Returns `url.full`. Replaces credentials and the values of sensitive query keys by `REDACTED`. */
function redactedUrl(url: URL, sensitiveKeys: readonly string[]): string {
  const given = url.search.slice(1);
  const query = given === '' ? '' : redactQuery(given, sensitiveKeys);
  const hasCredentials = url.username !== '' || url.password !== '';
  if (!hasCredentials && query === given) return url.href;
  const credentials = hasCredentials ? 'REDACTED:REDACTED@' : '';
  return `${url.protocol}//${credentials}${url.host}${url.pathname}${query === '' ? '' : `?${query}`}${url.hash}`;
}

/** Removes the brackets that URLs put around an IPv6 address. */
function bareHost(hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
}

/** Adds and returns the attributes of the connection. It may be known before there is a response. */
export function addConnection(attributes: Attributes, { peerAddress, peerPort, protocolVersion }: ClientConnection): Attributes {
  if (peerAddress !== undefined) attributes['network.peer.address'] = peerAddress;
  if (peerPort !== undefined) attributes['network.peer.port'] = peerPort;
  if (protocolVersion !== undefined) attributes['network.protocol.version'] = protocolVersion === '2.0' ? '2' : protocolVersion;
  return attributes;
}
