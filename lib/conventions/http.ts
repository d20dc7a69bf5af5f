/** What HTTP spans on both sides have in common: methods, redaction, captured headers (semantic conventions for HTTP). */
import type { Attributes, AttributeValue } from '@opentelemetry/api';

/** Methods that keep their name; `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS` replaces the list. */
export const KNOWN_METHODS: readonly string[] = ['CONNECT', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'QUERY', 'TRACE'];

/** Query keys whose values never reach a span unless the user says otherwise. */
export const SENSITIVE_QUERY_KEYS: readonly string[] = [
  'X-Amz-Signature',
  'X-Amz-Credential',
  'X-Amz-Security-Token',
  'AWSAccessKeyId',
  'Signature',
  'sig',
  'X-Goog-Signature',
];

/** The first word of an HTTP span's name: the method, or `HTTP` where it is not a known one. */
export function methodInName(method: string, known: ReadonlySet<string>): string {
  return known.has(method) ? method : 'HTTP';
}

/** Adds `http.request.method`, and the original where it is not a known one. */
export function addMethod(attributes: Attributes, method: string, known: ReadonlySet<string>): void {
  if (known.has(method)) {
    attributes['http.request.method'] = method;
  } else {
    attributes['http.request.method'] = '_OTHER';
    attributes['http.request.method_original'] = method;
  }
}

/** The query (without `?`) with the values of sensitive keys replaced by `REDACTED`; keys are compared exactly. */
export function redactQuery(query: string, sensitiveKeys: readonly string[]): string {
  if (sensitiveKeys.length === 0 || !sensitiveKeys.some(key => query.includes(key) || query.includes('%'))) return query;
  return query
    .split('&')
    .map(pair => {
      const equals = pair.indexOf('=');
      if (equals < 0) return pair;
      const key = pair.slice(0, equals);
      return sensitiveKeys.includes(decode(key)) ? `${key}=REDACTED` : pair;
    })
    .join('&');
}

type HeaderValue = string | number | readonly string[] | undefined;

/** Adds `http.<side>.header.<name>` for the names of an allow-list (lower case), each as a list of values. */
export function addHeaders(
  attributes: Attributes,
  side: 'request' | 'response',
  names: readonly string[],
  read: (name: string) => HeaderValue,
): void {
  for (const name of names) {
    const value = read(name);
    if (value !== undefined) attributes[`http.${side}.header.${name}`] = headerList(value);
  }
}

function headerList(value: Exclude<HeaderValue, undefined>): AttributeValue {
  return typeof value === 'string' || typeof value === 'number' ? [String(value)] : [...value];
}

function decode(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}
