/** Makes a function pass for the method that it replaces, so that routers, explorers, guards and Swagger find what they look for on it. */
import 'reflect-metadata';

const OF_ITS_OWN = new Set<PropertyKey>(['prototype', 'arguments', 'caller']);
const originals = new WeakMap<object, Function>();

/** Gives `replacement` the name, length, own properties and metadata of `original`, and returns it. @internal */
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

/** Whether `method` is a wrapper, of any depth, around `original`. @internal */
export function wraps(method: unknown, original: unknown): boolean {
  for (let inner = originalOf(method); inner !== undefined; inner = originalOf(inner)) {
    if (inner === original) return true;
  }
  return false;
}

function originalOf(method: unknown): Function | undefined {
  return typeof method === 'function' ? originals.get(method) : undefined;
}
