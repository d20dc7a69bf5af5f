/** The arguments of a method of @grpc/grpc-js, read as that reads them: a request or none, then Metadata, options and callback or fewer. */

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

/** A client of @grpc/grpc-js. Its own reading of arguments fills in Metadata: so nobody has to import the class. */
export interface GrpcClient {
  getChannel?(): { getTarget?(): unknown };
  checkOptionalUnaryResponseArguments?(...args: unknown[]): { metadata: Metadata; options?: unknown; callback: Callback };
  checkMetadataAndOptions?(...args: unknown[]): { metadata: Metadata; options: unknown };
}

export interface ReadCall {
  /** What the Metadata of the user holds, where there is one. */
  existing(): object | undefined;
  /** The same arguments with `headers` in the Metadata, which is not the user's then, and with another callback. */
  args(headers: Record<string, string> | undefined, replace: (callback: Callback) => Callback): unknown[];
}

/** `undefined` where the arguments make no call: then the method is left to say so itself. */
export function readCall(client: GrpcClient, method: GrpcMethod, given: readonly unknown[]): ReadCall | undefined {
  const count = method.requestStream ? 0 : 1;
  const request = given.slice(0, count);
  const others = given.slice(count);
  const read = method.responseStream ? client.checkMetadataAndOptions?.(...others) : readUnary(client, others);
  if (read === undefined) return withoutMetadata(given);
  const { metadata, options, callback } = read as typeof read & { callback?: Callback };
  if (typeof options !== 'object' || options === null) return undefined;
  const isUsers = others.includes(metadata);
  return {
    existing: () => (isUsers ? metadata.getMap() : undefined),
    args: (headers, replace) => {
      const sent = headers === undefined ? metadata : stamped(isUsers ? copyOf(metadata) : metadata, headers);
      return [...request, sent, options, ...(callback === undefined ? [] : [replace(callback)])];
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

/** The context cannot travel; the outcome can still be seen. */
function withoutMetadata(given: readonly unknown[]): ReadCall {
  return {
    existing: () => undefined,
    args: (_headers, replace) => given.map(value => (typeof value === 'function' ? replace(value as Callback) : value)),
  };
}

/** With what else the user keeps on it, which `clone()` leaves out. */
function copyOf(metadata: Metadata): Metadata {
  const copy = metadata.clone();
  for (const key of Object.keys(metadata)) {
    if (!Object.hasOwn(copy, key))
      Object.defineProperty(copy, key, { value: metadata[key], writable: true, configurable: true, enumerable: true });
  }
  return copy;
}

function stamped(metadata: Metadata, headers: Record<string, string>): Metadata {
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}
