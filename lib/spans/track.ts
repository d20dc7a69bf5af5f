/** Ends a span once, when the result of a call is over: a value, promise, thenable, Observable, generator or async iterable. */
import { context } from '@opentelemetry/api';
import { wallTime } from './clock.js';
import { inContext } from './context.js';
import { followAsyncIterable, followGenerator, followObservable, override } from './follow-consumers.js';
import {
  type AsyncIterableLike,
  type GeneratorLike,
  isLazy,
  type ObservableLike,
  type RunningSpan,
  shapeOf,
  type Thenable,
} from './running-span.js';

/** Opens a further span, after the first one has ended. Returns undefined if nothing is traced. */
type OpenSpan = () => RunningSpan | undefined;

type Handler = (this: unknown, ...args: unknown[]) => unknown;

/**
 * Calls `fn` with the span active. Returns or throws exactly what `fn` does, and ends the span with it. `shapeOfResult` says how the result is
 * followed. @internal
 */
export function runTracked<T>(span: RunningSpan, fn: () => T, shapeOfResult = shapeOf): T {
  let result: T;
  try {
    result = span.run(fn);
  } catch (thrown) {
    span.fail(thrown);
    throw thrown;
  }
  return track(result, span, () => (span.hasEnded ? undefined : span), false, shapeOfResult(result)) as T;
}

/**
 * Ends `span` when `result` is over, with its value or error. Returns the object to use in place of `result`. `further` opens the span of a
 * second subscription or iteration, and of a query that is awaited after `span` has ended. Without `span`, it also opens the span of the
 * first consumer of an Observable or generator. `isSettled`: true if `result` is the value of a promise. @internal
 */
export function track(
  result: unknown,
  span: RunningSpan | undefined,
  further: OpenSpan,
  isSettled = false,
  shape = shapeOf(result),
): unknown {
  if (span !== undefined && (shape === 'value' || !span.lastsFor(shape, isSettled))) {
    span.succeed(result);
    return result;
  }
  if (isLazy(shape)) return followLazy(shape, result, span, further);
  if (span === undefined) return result;
  if (shape === 'promise') return followPromise(result as Promise<unknown>, span, further);
  if (shape === 'thenable') return followThenable(result as Thenable, span, further);
  return followAsyncIterable(result as AsyncIterableLike, span, further);
}

/** Gives `span` to the first consumer, if it has not ended. Each other consumer opens its own span. */
function followLazy(shape: 'observable' | 'generator', result: unknown, span: RunningSpan | undefined, further: OpenSpan): unknown {
  let first = span;
  const open = (): RunningSpan | undefined => {
    const waiting = first;
    first = undefined;
    return waiting === undefined || waiting.hasEnded ? further() : waiting;
  };
  if (shape === 'generator') return followGenerator(result as GeneratorLike, open);
  if (span !== undefined) endUnless(() => first === undefined, span);
  return followObservable(result as ObservableLike, open);
}

/** Waits for one turn of the event loop. If no consumer has begun by then, ends `span` with the time of this call. */
function endUnless(isTaken: () => boolean, span: RunningSpan): void {
  const returnedAt = wallTime();
  setImmediate(() => {
    if (!isTaken()) span.end(returnedAt);
  });
}

/** Follows a native promise. The returned promise rejects with the same reason, and the caller must handle it. */
function followPromise(promise: Promise<unknown>, span: RunningSpan, further: OpenSpan): Promise<unknown> {
  const succeed = (value: unknown): unknown => track(value, span, further, true);
  const fail = (reason: unknown): never => {
    span.fail(reason);
    throw reason;
  };
  if (!hasMembers(promise)) return promise.then(succeed, fail);
  // A promise with own properties must be returned itself. `await` does not call its `then`, so we cannot see whether a rejection is
  // handled: an unhandled one appears on the span only.
  promise.then(succeed, (reason: unknown) => span.fail(reason));
  return promise;
}

function hasMembers(promise: object): boolean {
  for (const key in promise) if (Object.hasOwn(promise, key)) return true;
  return false;
}

/**
 * Follows another object with a `then`: a query builder that runs when `then` is called, a promise subclass, a child process with promise
 * methods. Replaces its `then` by a method that runs inside the span, or inside a further one if `span` has ended before the first call.
 */
function followThenable(thenable: Thenable, span: RunningSpan, further: OpenSpan): Thenable {
  const { then } = thenable;
  let isAsked = false;
  let running = span;
  const observed = function (this: unknown, onFulfilled?: unknown, onRejected?: unknown): unknown {
    if (!isAsked && running.hasEnded) running = further() ?? running;
    isAsked = true;
    if (running.hasEnded) return then.call(this as Thenable, onFulfilled, onRejected);
    const caller = context.active();
    const back = (handler: Function, settled: unknown): unknown => inContext(caller, handler as Handler, undefined, settled);
    const succeed = (value: unknown): unknown => {
      const tracked = track(value, running, further, true);
      return typeof onFulfilled === 'function' ? back(onFulfilled, tracked) : tracked;
    };
    const fail = (reason: unknown): unknown => {
      running.fail(reason);
      if (typeof onRejected === 'function') return back(onRejected, reason);
      throw reason;
    };
    try {
      return inContext(running.context, then, this, succeed, fail);
    } catch (thrown) {
      running.fail(thrown);
      throw thrown;
    }
  };
  if (!override(thenable, 'then', observed)) {
    span.end();
    return thenable;
  }
  // `then` may never be called: a query may be part of another query, or another method may run it. The span must end, too.
  if (!(thenable instanceof Promise)) endUnless(() => isAsked, span);
  // Query builders implement these two without calling `then`.
  for (const name of ['catch', 'finally'] as const) {
    const original: unknown = Reflect.get(thenable, name);
    if (typeof original !== 'function' || original === Promise.prototype[name]) continue;
    override(thenable, name, function (this: unknown, ...args: unknown[]): unknown {
      if (isAsked && running.hasEnded) return (original as Handler).apply(this, args);
      return (observed.call(this) as Record<typeof name, Handler>)[name](...args);
    });
  }
  return thenable;
}
