/** Attributes of HTTP client and server spans: methods, redaction, captured headers (semantic conventions for HTTP). */
import type { Attributes } from '@opentelemetry/api';
import { percentDecoded } from '../options/environment.js';

/** Returns the method for the span name, or `HTTP` if the method is not known. */
export function methodInName(method: string, known: ReadonlySet<string>): string {
  return known.has(method) ? method : 'HTTP';
}

/** Adds `http.request.method`. An unknown method becomes `_OTHER`, with the original in `http.request.method_original`. */
export function addMethod(attributes: Attributes, method: string, known: ReadonlySet<string>): void {
  if (known.has(method)) {
    attributes['http.request.method'] = method;
  } else {
    attributes['http.request.method'] = '_OTHER';
    attributes['http.request.method_original'] = method;
  }
}

/** Replaces the values of sensitive keys in a query (without `?`) by `REDACTED`. Keys are case-sensitive. */
export function redactQuery(query: string, sensitiveKeys: readonly string[]): string {
  if (!sensitiveKeys.some(key => query.includes('%') || query.includes(key))) return query;
  return query
    .split('&')
    .map(pair => {
      const equals = pair.indexOf('=');
      const key = pair.slice(0, equals);
      return equals >= 0 && sensitiveKeys.includes(percentDecoded(key)) ? `${key}=REDACTED` : pair;
    })
    .join('&');
}

/** Adds `http.<side>.header.<name>` for each of `names` (lower case), as a list of values. */
export function addHeaders(
  attributes: Attributes,
  side: 'request' | 'response',
  names: readonly string[],
  read: (name: string) => string | number | readonly string[] | undefined,
): void {
  for (const name of names) {
    const value = read(name);
    if (value !== undefined) attributes[`http.${side}.header.${name}`] = typeof value === 'object' ? [...value] : [String(value)];
  }
}

/** Adds a part of the request's input. Headers are recorded like those of `captureRequestHeaders`. */
export function addInput(attributes: Attributes, part: 'header' | 'query' | 'param' | 'body', name: string, text: string): void {
  if (part === 'header') attributes[`http.request.header.${name}`] = [text];
  else attributes[`nestjs.request.${part}.${name}`] = text;
}

/** Returns the port of a URL, or the default port of its scheme. */
export function portOf(url: URL): number {
  return url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
}
