/** Reads the arguments of a @grpc/grpc-js client method: an optional request, then optional Metadata, options and callback. */

interface Metadata {
  readonly [key: string]: unknown;
  set(key: string, value: string): void;
  getMap(): object;
  clone(): Metadata;
}

export type Callback = (this: unknown, ...args: unknown[]) => unknown;

export interface GrpcMethod {
  (this: unknown, ...args: unknown[]): unknown;
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

/** A @grpc/grpc-js client. Its `check...` methods create missing Metadata, so we need not import that class. */
export interface GrpcClient {
  getChannel?(): { getTarget?(): unknown };
  checkOptionalUnaryResponseArguments?(...args: unknown[]): { metadata: Metadata; options?: unknown; callback: Callback };
  checkMetadataAndOptions?(...args: unknown[]): { metadata: Metadata; options: unknown };
}

interface ReadCall {
  /** The content of the user's Metadata. Undefined if the user passed none. */
  readonly existing?: object | undefined;
  /** Returns the arguments with `headers` in a copy of the Metadata, and with the callback replaced. */
  args(headers: Record<string, string> | undefined, replace: (callback: Callback) => Callback): unknown[];
}

/** Returns undefined if the arguments are invalid: the method itself then reports that. */
export function readCall(client: GrpcClient, method: GrpcMethod, given: readonly unknown[]): ReadCall | undefined {
  const count = method.requestStream ? 0 : 1;
  const others = given.slice(count);
  const read = method.responseStream ? client.checkMetadataAndOptions?.(...others) : readUnary(client, others);
  // The headers cannot be sent. The callback still reports the outcome.
  if (read === undefined)
    return { args: (_, replace) => given.map(value => (typeof value === 'function' ? replace(value as Callback) : value)) };
  const { metadata, options, callback } = read as typeof read & { callback?: Callback };
  if (typeof options !== 'object' || options === null) return undefined;
  const isUsers = others.includes(metadata);
  return {
    existing: isUsers ? metadata.getMap() : undefined,
    args: (headers, replace) => {
      const sent = isUsers && headers !== undefined ? copyOf(metadata) : metadata;
      for (const [name, value] of Object.entries(headers ?? {})) sent.set(name, value);
      return [...given.slice(0, count), sent, options, ...(callback === undefined ? [] : [replace(callback)])];
    },
  };
}

function readUnary(client: GrpcClient, others: readonly unknown[]) {
  try {
    return client.checkOptionalUnaryResponseArguments?.(...others);
  } catch {
    return undefined;
  }
}

/** Also copies the properties that the user has added: `clone()` omits these. */
function copyOf(metadata: Metadata): Metadata {
  const copy = metadata.clone();
  for (const key of Object.keys(metadata)) {
    if (!Object.hasOwn(copy, key))
      Object.defineProperty(copy, key, { value: metadata[key], writable: true, configurable: true, enumerable: true });
  }
  return copy;
}
