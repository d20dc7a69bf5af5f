/** Tells from what a call returned when the operation behind it is over. */

/**
 * `value`: now. `promise`: when it settles. `thenable`: when it settles, but it may start only when somebody calls its `then`.
 * `observable` and `generator`: they start when somebody subscribes or asks for the first value, and end with the consumer or the source.
 * @internal
 */
export type ResultShape = 'value' | 'promise' | 'thenable' | 'observable' | 'generator';

/** @internal */
export interface Thenable {
  then(onFulfilled?: unknown, onRejected?: unknown): unknown;
}

/** @internal */
export interface ObservableLike {
  subscribe(...observer: unknown[]): unknown;
}

/** @internal */
export interface GeneratorLike {
  next(...args: unknown[]): unknown;
  return(...args: unknown[]): unknown;
  throw(...args: unknown[]): unknown;
}

/** The shape of a result. Never throws: an object that cannot be looked at is a value. @internal */
export function shapeOf(result: unknown): ResultShape {
  if ((typeof result !== 'object' || result === null) && typeof result !== 'function') return 'value';
  try {
    if (isPlainPromise(result)) return 'promise';
    const members = result as Readonly<Record<PropertyKey, unknown>>;
    if (typeof members.then === 'function') return 'thenable';
    if (typeof members.subscribe === 'function' && typeof members.pipe === 'function') return 'observable';
    if (typeof members.next === 'function' && isGenerator(members)) return 'generator';
  } catch {
    // A getter or proxy that throws.
  }
  return 'value';
}

/** A promise that `await` takes as it is, without asking for its `then`. */
function isPlainPromise(result: object): boolean {
  return result instanceof Promise && result.constructor === Promise;
}

function isGenerator(members: Readonly<Record<PropertyKey, unknown>>): boolean {
  return (
    typeof members.return === 'function' &&
    typeof members.throw === 'function' &&
    (typeof members[Symbol.iterator] === 'function' || typeof members[Symbol.asyncIterator] === 'function')
  );
}
