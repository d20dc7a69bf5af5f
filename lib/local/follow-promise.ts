/** Ends a span when a promise or thenable settles, without starting it, replacing it or handling its rejection for the caller. */
import { context } from '@opentelemetry/api';
import type { Thenable } from './result-shape.js';
import type { RunningSpan } from './running-span.js';

type Handler = (this: unknown, ...args: unknown[]) => unknown;

/** Follows a native promise; the returned one rejects with the same reason, and just as unhandled if nobody handles it. @internal */
export function followPromise(promise: Promise<unknown>, running: RunningSpan): Promise<unknown> {
  const succeed = (value: unknown): unknown => {
    running.succeed(value);
    return value;
  };
  const fail = (reason: unknown): never => {
    running.fail(reason);
    throw reason;
  };
  if (!hasMembers(promise)) return promise.then(succeed, fail);
  // Somebody put members on it, so the caller wants this very object. `await` does not ask such a promise for its `then`, so there is no
  // way to see it handled: a rejection that nobody handles shows on the span only.
  promise.then(succeed, (reason: unknown) => running.fail(reason));
  return promise;
}

/**
 * Follows anything else that has a `then`: query builders that run when it is called, promise subclasses, child processes with promise
 * methods. The object stays what it is; its `then` is observed from the outside and runs inside the span, `called`. Asked only when that
 * has ended it runs inside one of its own, which `open` opens. @internal
 */
export function followThenable<T extends Thenable>(thenable: T, called: RunningSpan, open: () => RunningSpan | undefined): T {
  const { then } = thenable;
  let isAsked = false;
  let running = called;
  const observed = function (this: unknown, onFulfilled?: unknown, onRejected?: unknown): unknown {
    if (!isAsked && running.hasEnded) running = open() ?? running;
    isAsked = true;
    if (running.hasEnded) return then.call(this as T, onFulfilled, onRejected);
    const caller = context.active();
    const back = (handler: Function, settled: unknown): unknown => context.with(caller, handler as Handler, undefined, settled);
    const succeed = (value: unknown): unknown => {
      running.succeed(value);
      return typeof onFulfilled === 'function' ? back(onFulfilled, value) : value;
    };
    const fail = (reason: unknown): unknown => {
      running.fail(reason);
      if (typeof onRejected === 'function') return back(onRejected, reason);
      throw reason;
    };
    try {
      return running.run(() => then.call(this as T, succeed, fail));
    } catch (thrown) {
      running.fail(thrown);
      throw thrown;
    }
  };
  if (!replace(thenable, 'then', observed)) {
    running.end();
    return thenable;
  }
  // A query that is only a part of another, or is run by a method of its own, must not leave the span open.
  const endUnlessAsked = (): void => {
    if (!isAsked) running.end();
  };
  if (!(thenable instanceof Promise)) setImmediate(endUnlessAsked);
  // Query builders implement these two without asking their own `then`.
  for (const name of ['catch', 'finally'] as const) {
    const original: unknown = Reflect.get(thenable, name);
    if (typeof original !== 'function' || original === Promise.prototype[name]) continue;
    replace(thenable, name, function (this: unknown, ...args: unknown[]): unknown {
      if (isAsked && running.hasEnded) return (original as Handler).apply(this, args);
      return (observed.call(this) as Record<typeof name, Handler>)[name](...args);
    });
  }
  return thenable;
}

function hasMembers(promise: object): boolean {
  for (const key in promise) if (Object.hasOwn(promise, key)) return true;
  return false;
}

/** False where the object does not let itself be changed. */
function replace(owner: object, key: string, value: unknown): boolean {
  try {
    const enumerable = Object.getOwnPropertyDescriptor(owner, key)?.enumerable ?? false;
    return Reflect.defineProperty(owner, key, { value, enumerable, configurable: true, writable: true });
  } catch {
    return false;
  }
}
