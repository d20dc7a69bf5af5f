/** Reads the headers that carry a context: in HTTP requests, messages, and jobs of a queue. */
import type { TextMapGetter } from '@opentelemetry/api';
import type { InboundRequest } from '../options/tracing-options.js';

/** Reads headers with lower-case names, as Node provides them. It does not check values: the propagator rejects invalid ones. @internal */
export const headerGetter: TextMapGetter<Readonly<Record<string, string | readonly string[] | undefined>> | undefined> = {
  get: (headers, name) => headers?.[name] as string | string[] | undefined,
  keys: headers => (headers === undefined ? [] : Object.keys(headers)),
};

/** Reads headers whose values may be bytes, as in Kafka, and whose names may have capital letters. @internal */
export const messageHeaderGetter: TextMapGetter<unknown> = {
  get: (headers, name) => (isObject(headers) ? (text(valueOf(headers, name)) as string | string[] | undefined) : undefined),
  keys: headers => (isObject(headers) ? Object.keys(headers) : []),
};

/** Returns headers with lower-case names, as propagators need them. Brokers keep the case of the sender. */
export function lowerCased(entries: Iterable<readonly [string, unknown]>): InboundRequest['headers'] {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of entries) headers[name.toLowerCase()] = value as string | string[];
  return headers;
}

function valueOf(headers: Readonly<Record<string, unknown>>, name: string): unknown {
  const value = headers[name];
  if (value !== undefined) return value;
  // Only own properties: a carrier may inherit members of the same name.
  const written = Object.keys(headers).find(key => key.length === name.length && key.toLowerCase() === name);
  return written === undefined ? undefined : headers[written];
}

function text(value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString() : value;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** The options of a job. They contain the headers as JSON text, in the same place as BullMQ's own telemetry. @internal */
export interface JobOptions {
  readonly telemetry?: { readonly metadata?: unknown; readonly omitContext?: boolean } | undefined;
}

/** Returns the headers in a job's options. Returns undefined if there are none or if they are not a JSON object. @internal */
export function headersFromJob(opts: JobOptions | undefined): Record<string, string> | undefined {
  const metadata = opts?.telemetry?.metadata;
  if (typeof metadata !== 'string') return undefined;
  try {
    const headers: unknown = JSON.parse(metadata);
    return isObject(headers) ? (headers as Record<string, string>) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Returns a copy of a job's options with the headers of `headersFor` added to the existing ones. Options stay unchanged if they have
 * `omitContext` or metadata in another format. @internal
 */
export function withJobHeaders<Options extends JobOptions>(
  opts: Options | undefined,
  headersFor: (existing: object | undefined) => Record<string, string> | undefined,
): Options | undefined {
  const telemetry = opts?.telemetry;
  if (telemetry?.omitContext === true) return opts;
  const existing = headersFromJob(opts);
  if (telemetry?.metadata !== undefined && existing === undefined) return opts;
  const headers = headersFor(existing);
  if (headers === undefined) return opts;
  return { ...opts, telemetry: { ...telemetry, metadata: JSON.stringify({ ...existing, ...headers }) } } as unknown as Options;
}
