/** Names and attributes of HTTP SERVER spans (semantic conventions for HTTP server spans, stable). */
import type { Attributes } from '@opentelemetry/api';
import { addHeaders, addMethod, methodInName } from '../../conventions/http.js';
import type { ResolvedInboundOptions } from '../../options/resolved-options.js';

/** Returns `{method} {route}`, or `{method}` if the route is unknown. */
export function serverSpanName(method: string | undefined, route: string | undefined, known: ReadonlySet<string>): string {
  const word = methodInName(method ?? 'GET', known);
  return route === undefined ? word : `${word} ${route}`;
}

/** The host and port that a client asked for. */
export interface Server {
  readonly address: string | undefined;
  readonly port: number | undefined;
}

/** What is known when a request comes in. */
export interface RequestValues {
  readonly method: string;
  readonly knownMethods: ReadonlySet<string>;
  readonly path: string;
  readonly query: string | undefined;
  readonly scheme: 'http' | 'https';
  readonly server: Server;
  readonly client: string | undefined;
  readonly peer: Server;
  /** As Node names it: `1.1`, `2.0`. */
  readonly version: string | undefined;
  readonly userAgent: string | undefined;
}

export function requestAttributes(values: RequestValues): Attributes {
  const { method, knownMethods, path, query, scheme, server, client, peer, version, userAgent } = values;
  const attributes: Attributes = {};
  addMethod(attributes, method, knownMethods);
  attributes['url.path'] = path;
  if (query !== undefined) attributes['url.query'] = query;
  attributes['url.scheme'] = scheme;
  if (server.address !== undefined) {
    attributes['server.address'] = server.address;
    attributes['server.port'] = server.port ?? (scheme === 'https' ? 443 : 80);
  }
  if (client !== undefined) attributes['client.address'] = client;
  if (peer.address !== undefined) attributes['network.peer.address'] = peer.address;
  if (peer.port !== undefined) attributes['network.peer.port'] = peer.port;
  if (version !== undefined) attributes['network.protocol.version'] = version === '2.0' ? '2' : version;
  if (userAgent !== undefined) attributes['user_agent.original'] = userAgent;
  return attributes;
}

export function routeAttributes(route: string): Attributes {
  return { 'http.route': route };
}

/**
 * Returns the attributes that are known when the response is over. They are not to be changed. `statusCode` is undefined if it was not
 * sent.
 */
export function serverResponseAttributes(
  statusCode: number | undefined,
  errorType: string | undefined,
  read: (name: string) => number | string | readonly string[] | undefined,
  options: ResolvedInboundOptions,
): Attributes {
  if (errorType === undefined && options.captureResponseHeaders.length === 0) return statusAttributes(statusCode);
  const attributes = { ...statusAttributes(statusCode) };
  if (errorType !== undefined) attributes['error.type'] = errorType;
  if (options.captureResponseHeaders.length > 0) addHeaders(attributes, 'response', options.captureResponseHeaders, read);
  return attributes;
}

const NO_STATUS: Attributes = {};
/** An application may set any number as status. */
const MAX_STATUS = 599;
const byStatus: Attributes[] = [];

function statusAttributes(statusCode: number | undefined): Attributes {
  if (statusCode === undefined) return NO_STATUS;
  if (!(statusCode >= 0 && statusCode <= MAX_STATUS)) return { 'http.response.status_code': statusCode };
  return (byStatus[statusCode] ??= { 'http.response.status_code': statusCode });
}
