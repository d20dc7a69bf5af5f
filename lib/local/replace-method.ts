/** Puts a method of its own on one instance, so that nothing but that instance is touched. */
import { messages } from '../tracing.messages.js';
import { reportTrouble } from './trouble.js';

export type Method = (this: unknown, ...args: unknown[]) => unknown;

/**
 * Replaces `owner[name]` by what `wrap` makes of it; where there is no such method, nothing happens. Returns what takes the replacement off
 * again, unless somebody else has replaced it since. @internal
 */
export function replaceMethod(owner: object, name: string, wrap: (method: Method) => Method): () => void {
  const method: unknown = Reflect.get(owner, name);
  if (typeof method !== 'function') return () => undefined;
  const own = Object.getOwnPropertyDescriptor(owner, name);
  const replacement = wrap(method as Method);
  Object.defineProperty(owner, name, { value: replacement, writable: true, configurable: true, enumerable: own?.enumerable ?? false });
  return () => {
    if (Object.getOwnPropertyDescriptor(owner, name)?.value !== replacement) return;
    if (own === undefined) Reflect.deleteProperty(owner, name);
    // Frozen meanwhile, it stays.
    else Reflect.defineProperty(owner, name, own);
  };
}

/** Several steps back as one, the last first; none keeps the others from being taken. @internal */
export function undoAll(steps: readonly (() => void)[]): () => void {
  return () => {
    for (const step of [...steps].reverse()) {
      try {
        step();
      } catch (error) {
        reportTrouble('undo', messages.notPutBack(), error);
      }
    }
  };
}
