/** Reads the attributes that the other files of this folder write. The viewer and the testing tools use it. */
import type { Attributes } from '@opentelemetry/api';

/** Returns `service.name` of a resource, or `unknown_service`. @internal */
export function serviceName(resource: Attributes): string {
  return text(resource['service.name']) ?? 'unknown_service';
}

/** Returns the HTTP status code, or an RPC status other than `OK`. @internal */
export function answer(attributes: Attributes): string | undefined {
  const rpc = text(attributes['rpc.status_code']);
  return text(attributes['http.response.status_code']) ?? (rpc === 'OK' ? undefined : rpc);
}

/** Returns what the span name lacks: host and path of a call, or the path of a request without a route. Never the query. @internal */
export function target(attributes: Attributes): string | undefined {
  const url = text(attributes['url.full']);
  if (url !== undefined) return url.replace(/^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?/i, '').replace(/[?#].*$/s, '');
  return attributes['http.route'] === undefined ? text(attributes['url.path']) : undefined;
}

/** Returns host and port of the called server. @internal */
export function peer(attributes: Attributes): string | undefined {
  const address = text(attributes['server.address']);
  const port = text(attributes['server.port']);
  return address === undefined || port === undefined ? address : `${address}:${port}`;
}

/** Returns true for a call to a database. It carries no trace headers, so no other service has spans below it. @internal */
export function isDatabaseCall(attributes: Attributes): boolean {
  return attributes['db.system.name'] !== undefined || attributes['db.system'] !== undefined;
}

/** Returns `error.type` of a span. @internal */
export function errorTypeOf(attributes: Attributes): string | undefined {
  return text(attributes['error.type']);
}

/** Returns the data of an `exception` event. Returns undefined for any other event. @internal */
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
