/** Replaces methods of other libraries' objects by wrappers that look like the originals, and restores them. */
import 'reflect-metadata';
import { messages } from '../options/messages.js';
import { reportTrouble } from '../options/trouble.js';

export type Method = (this: unknown, ...args: unknown[]) => unknown;

/** Undoes a change. A second call does nothing. */
export type Undo = () => void;

/**
 * Replaces `owner[name]` by `value`, on `owner` itself. The undo restores the property, or removes it if it was inherited or missing. It
 * changes nothing if other code has replaced or frozen the property meanwhile. @internal
 */
export function replace(owner: object, name: PropertyKey, value: unknown): Undo {
  const own = Object.getOwnPropertyDescriptor(owner, name);
  Object.defineProperty(owner, name, { value, writable: true, configurable: true, enumerable: own?.enumerable ?? false });
  return () => {
    const current = Object.getOwnPropertyDescriptor(owner, name);
    if (current === undefined || current.value !== value) return;
    if (own === undefined) Reflect.deleteProperty(owner, name);
    else Reflect.defineProperty(owner, name, own);
  };
}

/** Replaces the method `owner[name]`, own or inherited, by the result of `wrap`. Does nothing if there is no such method. @internal */
export function replaceMethod(owner: object, name: PropertyKey, wrap: (method: Method) => Method): Undo {
  const method: unknown = Reflect.get(owner, name);
  return typeof method === 'function' ? replace(owner, name, wrap(method as Method)) : () => undefined;
}

/**
 * Returns a function that calls all `steps`, the last first. If a step throws, the error is reported and the other steps still run. Steps
 * may be added until then. The list is empty afterwards. @internal
 */
export function undoAll(steps: Undo[]): Undo {
  return () => {
    for (const step of steps.splice(0).reverse()) {
      try {
        step();
      } catch (error) {
        reportTrouble('undo', messages.notPutBack(), error);
      }
    }
  };
}

const OF_ITS_OWN = new Set<PropertyKey>(['prototype', 'arguments', 'caller']);
const originals = new WeakMap<object, Function>();

/**
 * Gives `replacement` the name, length, own properties and metadata of `original`, because routers, explorers, guards and Swagger read
 * them. Returns `replacement`. @internal
 */
export function wrapMethod<M extends Function>(original: Function, replacement: M): M {
  for (const key of Reflect.ownKeys(original)) {
    if (OF_ITS_OWN.has(key)) continue;
    const property = Object.getOwnPropertyDescriptor(original, key);
    if (property !== undefined) Reflect.defineProperty(replacement, key, property);
  }
  for (const key of Reflect.getOwnMetadataKeys(original) as unknown[]) {
    Reflect.defineMetadata(key, Reflect.getOwnMetadata(key, original), replacement);
  }
  originals.set(replacement, original);
  return replacement;
}

/** Yields a method and what it wraps, directly or through other wrappers. @internal */
export function* layersOf(method: unknown): Generator<Function> {
  for (let layer = method; typeof layer === 'function'; layer = originals.get(layer)) yield layer;
}

/** Returns true if `method` wraps `original`, directly or through other wrappers. */
function wraps(method: unknown, original: unknown): boolean {
  if (method === original) return false;
  for (const layer of layersOf(method)) if (layer === original) return true;
  return false;
}

/** Returns the metadata of the method that a call on `target` reaches, own or inherited. @internal */
export function inheritedMetadata(target: object, method: string | symbol, key: symbol): unknown {
  for (let owner: object | null = target; owner !== null; owner = Object.getPrototypeOf(owner) as object | null) {
    if (!Object.hasOwn(owner, method)) continue;
    const value: unknown = Reflect.getOwnMetadata(key, owner, method);
    if (value !== undefined || !isWrappedInPlace(owner, method)) return value;
  }
  return undefined;
}

/** Returns true if the method on `owner` is only a wrapper of the inherited one. */
function isWrappedInPlace(owner: object, method: string | symbol): boolean {
  const parent = Object.getPrototypeOf(owner) as object | null;
  return parent !== null && wraps(Object.getOwnPropertyDescriptor(owner, method)?.value, Reflect.get(parent, method));
}
