/** Reads context out of the headers of a message: values may be bytes, as Kafka's client hands them out, and names have any case. */
import type { TextMapGetter } from '@opentelemetry/api';

/** For {@link TextMapPropagator.extract}; an odd value reads as it is and is refused by the propagator. @internal */
export const messageHeaderGetter: TextMapGetter<unknown> = {
  get: (headers, name) => (isObject(headers) ? (text(valueOf(headers, name)) as string | string[] | undefined) : undefined),
  keys: headers => (isObject(headers) ? Object.keys(headers) : []),
};

type Carrier = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Carrier {
  return typeof value === 'object' && value !== null;
}

function valueOf(headers: Carrier, name: string): unknown {
  const value = headers[name];
  if (value !== undefined) return value;
  // As an own property: a carrier may have members of the same name.
  const written = Object.keys(headers).find(key => key.length === name.length && key.toLowerCase() === name);
  return written === undefined ? undefined : headers[written];
}

function text(value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString() : value;
}
