/** `handleConnection` and `handleDisconnect` of gateways as witnesses: each runs as part of the coming or going that it was called for. */
import { context, createContextKey } from '@opentelemetry/api';
import { wrapMethod } from '../local/wrap-method.js';
import { type DeclaredMethod, type Method, wrapMethods } from './wrapped-methods.js';

/** A client's coming or going, told which handlers it has. */
export interface SocketChange {
  readonly method: 'handleConnection' | 'handleDisconnect';
  /** Calls a handler; what it returns or throws passes unchanged. */
  handle(gateway: Function, call: () => unknown): unknown;
}

const CHANGE = createContextKey('nestjs-tracing/socket-change');

/** Calls `fn`, so that the handlers that it calls become part of `change`. */
export function duringChange<T>(change: SocketChange, fn: () => T): T {
  return context.with(context.active().setValue(CHANGE, change), fn);
}

/** Puts a witness around the handlers of a gateway; returns what takes them out again. */
export function witnessChanges(gateway: Function): () => void {
  const prototype = gateway.prototype as Record<string, unknown>;
  const methods = (['handleConnection', 'handleDisconnect'] as const)
    .map(method => ({ method, callback: prototype[method] }))
    .filter((declared): declared is DeclaredMethod & { method: SocketChange['method'] } => typeof declared.callback === 'function');
  return wrapMethods(gateway, methods, witness);
}

function witness(gateway: Function, method: string, callback: Method): Method {
  return wrapMethod(callback, function (this: unknown, ...args: unknown[]): unknown {
    const active = context.active();
    const change = active.getValue(CHANGE) as SocketChange | undefined;
    if (change?.method !== method) return callback.apply(this, args);
    // What a handler calls itself is its own affair.
    return context.with(active.deleteValue(CHANGE), () => change.handle(gateway, () => callback.apply(this, args)));
  });
}
