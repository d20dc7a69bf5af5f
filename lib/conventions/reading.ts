/** The other direction: what those who look at spans (viewer, testing) read out of attributes that the conventions put there. */
import type { Attributes } from '@opentelemetry/api';

/** `service.name` of a resource, `unknown_service` where it has none. @internal */
export function serviceName(resource: Attributes): string {
  return text(resource['service.name']) ?? 'unknown_service';
}

/** What the other side answered, short: an HTTP status code, an RPC status other than `OK`. @internal */
export function answer(attributes: Attributes): string | undefined {
  const rpc = text(attributes['rpc.status_code']);
  return text(attributes['http.response.status_code']) ?? (rpc === 'OK' ? undefined : rpc);
}

/**
 * What a name leaves open: host and path of a call, the path of a request that no route took. Never the query.
 * @internal
 */
export function target(attributes: Attributes): string | undefined {
  const url = text(attributes['url.full']);
  if (url !== undefined) return url.replace(/^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?/i, '').replace(/[?#].*$/s, '');
  return attributes['http.route'] === undefined ? text(attributes['url.path']) : undefined;
}

/** Host and port of the other side of a call. @internal */
export function peer(attributes: Attributes): string | undefined {
  const address = text(attributes['server.address']);
  const port = text(attributes['server.port']);
  return address === undefined || port === undefined ? address : `${address}:${port}`;
}

/** `error.type` of a span. @internal */
export function errorTypeOf(attributes: Attributes): string | undefined {
  return text(attributes['error.type']);
}

/** What an `exception` event says; `undefined` for any other event. @internal */
export function exceptionIn(event: {
  readonly name: string;
  readonly attributes?: Attributes | undefined;
}): { readonly type?: string; readonly message?: string; readonly stack?: string } | undefined {
  if (event.name !== 'exception') return undefined;
  const { attributes = {} } = event;
  const type = text(attributes['exception.type']);
  const message = text(attributes['exception.message']);
  const stack = text(attributes['exception.stacktrace']);
  return { ...(type && { type }), ...(message && { message }), ...(stack && { stack }) };
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}
