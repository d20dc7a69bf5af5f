/** What a CLIENT span of HTTP is called and carries (semantic conventions for HTTP client spans, stable). */
import type { Attributes } from '@opentelemetry/api';
import type { OutboundRequest, OutboundResponse } from '../tracing.options.js';
import type { ResolvedOutboundOptions } from '../tracing.resolution.js';
import { addHeaders, addMethod, methodInName, redactQuery } from './http.js';

/** An outgoing call as its span describes it. */
export interface ClientRequest extends OutboundRequest {
  /** The Unix domain socket the call goes through, which then is its server's address. */
  readonly socketPath?: string | undefined;
}

/** The connection a call goes over; whatever an exit cannot tell is left out. */
export interface ClientConnection {
  readonly peerAddress?: string | undefined;
  readonly peerPort?: number | undefined;
  /** As node:http writes it: `1.0`, `1.1`, `2.0`. */
  readonly protocolVersion?: string | undefined;
}

/** What is known once there is an answer. */
export interface ClientAnswer extends ClientConnection {
  readonly statusCode: number;
  /** Redirects that were followed below the span. */
  readonly redirects?: number | undefined;
}

/** The method, or `HTTP` where it is not a known one: the URL never becomes part of the name. */
export function clientSpanName(method: string, known: ReadonlySet<string>): string {
  return methodInName(method, known);
}

/** All that is known before the request is sent, so that samplers see it. */
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

/** All that is known when the response headers have arrived. */
export function clientResponseAttributes(
  answer: ClientAnswer,
  resends: number,
  readHeaders: () => OutboundResponse['headers'],
  options: ResolvedOutboundOptions,
): Attributes {
  const { statusCode, redirects } = answer;
  const attributes: Attributes = {};
  // Adapters that people write answer with anything.
  if (Number.isInteger(statusCode)) attributes['http.response.status_code'] = statusCode;
  if (isClientFailure(statusCode)) attributes['error.type'] = String(statusCode);
  if (redirects !== undefined && redirects > 0) attributes['http.request.resend_count'] = resends + redirects;
  addNetwork(attributes, answer);
  const { captureResponseHeaders } = options;
  if (captureResponseHeaders.length > 0) {
    const headers = readHeaders();
    addHeaders(attributes, 'response', captureResponseHeaders, name => headers[name]);
  }
  return attributes;
}

/** The connection a request goes over, where that is known before there is an answer. */
export function clientNetworkAttributes(connection: ClientConnection): Attributes {
  const attributes: Attributes = {};
  addNetwork(attributes, connection);
  return attributes;
}

/** Whether an answer fails its CLIENT span: 4xx and 5xx do. */
export function isClientFailure(statusCode: number): boolean {
  return statusCode >= 400;
}

/** The port of a URL, with the default of its scheme filled in. */
export function portOf(url: URL): number {
  return url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
}

/** `url.full`: credentials and the values of sensitive query keys are replaced by `REDACTED`. */
function redactedUrl(url: URL, sensitiveKeys: readonly string[]): string {
  const given = url.search.slice(1);
  const query = given === '' ? '' : redactQuery(given, sensitiveKeys);
  const hasCredentials = url.username !== '' || url.password !== '';
  if (!hasCredentials && query === given) return url.href;
  const credentials = hasCredentials ? 'REDACTED:REDACTED@' : '';
  return `${url.protocol}//${credentials}${url.host}${url.pathname}${query === '' ? '' : `?${query}`}${url.hash}`;
}

/** An IPv6 address goes without the brackets that URLs put around it. */
function bareHost(hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
}

function addNetwork(attributes: Attributes, { peerAddress, peerPort, protocolVersion }: ClientConnection): void {
  if (peerAddress !== undefined) attributes['network.peer.address'] = peerAddress;
  if (peerPort !== undefined) attributes['network.peer.port'] = peerPort;
  if (protocolVersion !== undefined) attributes['network.protocol.version'] = protocolVersion === '2.0' ? '2' : protocolVersion;
}
