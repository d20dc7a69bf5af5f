/** Runs middleware and hooks: a call lasts until it calls `next()`, and what comes next does not belong to it. */
import type { Context } from '@opentelemetry/api';
import { attach, inContext, pendingSpan, swapPending } from '../../spans/context.js';
import { type CallSite, PendingCall } from '../../spans/pending-call.js';
import { shapeOf } from '../../spans/running-span.js';
import type { Method } from '../../wrapping/replace-method.js';
import type { Runner } from './traced-call.js';

/** Node's response. Middleware and hooks may answer by themselves, and never call `next()`. */
interface Response {
  once?(event: 'close' | 'finish', listener: () => void): unknown;
  removeListener?(event: 'close' | 'finish', listener: () => void): unknown;
}

/** Calls middleware with a `next` that ends its call. The promise of async middleware says nothing: `next()` may be called later. */
export const runMiddleware: Runner = (site, active, fn, self, args) =>
  runUntilNext(site, active, fn, self, args, args.at(-2) as Response | undefined);

/** Does the same for a hook of Fastify. One that returns a promise ends with it. */
export const runHook: Runner = (site, active, fn, self, args) =>
  runUntilNext(site, active, fn, self, args, (args[1] as { readonly raw?: Response } | undefined)?.raw, true);

function runUntilNext(
  site: CallSite,
  active: Context,
  fn: Method,
  self: unknown,
  args: unknown[],
  response: Response | undefined,
  endsWithPromise = false,
): unknown {
  // Middleware for errors has one argument more, as have some hooks.
  const next = args.at(-1);
  if (typeof next !== 'function') return Reflect.apply(fn, self, args);
  const call = new PendingCall(site, active, args, pendingSpan());
  let isRunning = true;
  let isOver = false;
  const end = (failure?: unknown): void => {
    if (isOver) return;
    isOver = true;
    if (!isRunning) {
      response?.removeListener?.('close', onResponse);
      response?.removeListener?.('finish', onResponse);
    }
    if (isFailure(failure, args)) call.failed(failure);
    else call.returned(undefined);
  };
  const onResponse = (): void => end();
  const goOn = (...given: unknown[]): unknown => {
    // In its own call, what it calls would be counted as a part of it.
    if (isRunning) swapPending(call.outer);
    end(given[0]);
    return inContext(active, next as (...args: unknown[]) => unknown, undefined, ...given);
  };
  const attached = site.isAsync ? attach(call.context ?? active) : undefined;
  swapPending(call);
  let result: unknown;
  try {
    result = Reflect.apply(fn, self, [...args.slice(0, -1), goOn]);
  } catch (thrown) {
    end(thrown);
    throw thrown;
  } finally {
    isRunning = false;
    swapPending(call.outer);
    attached?.dispose();
  }
  const isPromise = shapeOf(result) === 'promise';
  if (isPromise) site.isAsync = true;
  if (isOver) return result;
  call.goOn();
  response?.once?.('close', onResponse);
  // An injected response is never closed.
  response?.once?.('finish', onResponse);
  if (!isPromise) return result;
  // Returned in place of the original one: who handles its rejection, or does not, stays the same.
  return (result as Promise<unknown>).then(
    value => {
      if (endsWithPromise) end();
      return value;
    },
    (thrown: unknown) => {
      end(thrown);
      throw thrown;
    },
  );
}

/** Words that tell Express which layer comes next. */
const SIGNALS: readonly unknown[] = ['route', 'router'];

/** Returns false also for an error that is passed on. */
function isFailure(given: unknown, args: readonly unknown[]): boolean {
  return given !== undefined && given !== null && given !== false && !SIGNALS.includes(given) && !args.includes(given);
}
