/** What one request of undici tells about itself on its diagnostics channels, on every line from 5 on and in Node itself. */
import type { ClientRequest } from '../conventions/http-client.js';
import type { OutboundResponse } from '../tracing.options.js';

/** The request as the channels publish it. */
export interface UndiciRequest {
  readonly origin: string | URL;
  readonly path: string;
  readonly method: string;
  /** Name after value in one list; in undici 5 the text that goes over the wire. */
  headers: unknown[] | string;
  readonly upgrade?: unknown;
  addHeader?(name: string, value: string): unknown;
}

export interface UndiciResponse {
  readonly statusCode: number;
  /** Name after value, as bytes. */
  readonly headers: readonly (Buffer | string)[];
}

export interface UndiciSocket {
  readonly remoteAddress?: string;
  readonly remotePort?: number;
  readonly alpnProtocol?: string | false | null;
}

export function requestOf({ method, origin, path }: UndiciRequest): ClientRequest | undefined {
  // A proxy is asked for whole URLs. Two slashes at the start of a path must not be taken for a host.
  const target = path.startsWith('/') ? String(origin) + path : path;
  try {
    return { method, url: new URL(target) };
  } catch {
    return undefined;
  }
}

export function headerNames({ headers }: UndiciRequest): string[] {
  if (typeof headers === 'string')
    return headers
      .split('\r\n')
      .flatMap(line => line.split(':', 1))
      .filter(Boolean);
  return headers.filter((name, index): name is string => index % 2 === 0 && typeof name === 'string');
}

export function readHeader({ headers }: UndiciRequest, name: string): string | string[] | undefined {
  if (typeof headers === 'string') return headerLine(name).exec(headers)?.[1];
  const index = headerIndex(headers, name);
  if (index < 0) return undefined;
  const value = headers[index + 1];
  return Array.isArray(value) ? value.map(String) : String(value);
}

/** Replaces the header where the user has set it, or else there would be two of it on the wire. */
export function writeHeader(request: UndiciRequest, name: string, value: string): void {
  const { headers } = request;
  if (typeof headers === 'string') {
    const line = headerLine(name);
    if (line.test(headers)) request.headers = headers.replace(line, () => `${name}: ${value}`);
    else request.headers = `${headers}${name}: ${value}\r\n`;
    return;
  }
  const index = headerIndex(headers, name);
  if (index >= 0) headers[index + 1] = value;
  else if (typeof request.addHeader === 'function') request.addHeader(name, value);
  // undici 6.11.0 had no addHeader().
  else headers.push(name, value);
}

export function headersOf({ headers }: UndiciResponse): OutboundResponse['headers'] {
  const all: Record<string, string | string[]> = {};
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = String(headers[i]).toLowerCase();
    const value = String(headers[i + 1]);
    const former = all[name];
    all[name] = former === undefined ? value : Array.isArray(former) ? [...former, value] : [former, value];
  }
  return all;
}

/** Where a redirect sends the client, `undefined` where the response is none. */
export function redirectOf(response: UndiciResponse, url: URL): string | undefined {
  if (response.statusCode < 300 || response.statusCode > 308) return undefined;
  const { location } = headersOf(response);
  return typeof location === 'string' && URL.canParse(location, url.href) ? new URL(location, url).href : undefined;
}

/** The last one counts: those of instrumentations come after the user's. */
function headerIndex(headers: readonly unknown[], name: string): number {
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    const key = headers[i];
    if (typeof key === 'string' && key.length === name.length && key.toLowerCase() === name.toLowerCase()) return i;
  }
  return -1;
}

function headerLine(name: string): RegExp {
  return new RegExp(`^${name}: ?([^\\r\\n]*)`, 'im');
}
