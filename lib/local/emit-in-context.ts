/** Listeners of one emitter run in one context: sockets and streams emit outside of any, and nobody knows where a listener was added. */
import type { EventEmitter } from 'node:events';
import { type Context, context } from '@opentelemetry/api';
import { replaceMethod } from './replace-method.js';

/** Has `emitter` emit in `ctx` from now on; `onEvent`, which must not throw, hears of each event before the listeners do. @internal */
export function emitInContext(
  emitter: Pick<EventEmitter, 'emit'>,
  ctx: Context,
  onEvent: (event: unknown, value: unknown) => void = () => undefined,
): void {
  replaceMethod(emitter, 'emit', emit => {
    return function (...args) {
      onEvent(args[0], args[1]);
      return context.with(ctx, emit, this, ...args);
    };
  });
}
