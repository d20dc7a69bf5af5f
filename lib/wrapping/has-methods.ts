/** Recognizes objects by their members, so that it works with every copy of a package. Calls no getter and touches no Proxy. */
import { types } from 'node:util';
import type { Method } from './replace-method.js';

/** Returns true if `value` is an object with all these methods, own or inherited. @internal */
export function hasMethods(value: unknown, ...names: readonly string[]): value is object {
  return isTouchable(value) && names.every(name => typeof memberOf(value, name) === 'function');
}

/** Returns the value of a property, own or inherited. Returns undefined for accessors. @internal */
export function memberOf(value: object, name: string): unknown {
  const owner = ownerOf(value, name);
  return owner === undefined ? undefined : Object.getOwnPropertyDescriptor(owner, name)?.value;
}

/** Returns the object itself or the prototype that has the property. Returns undefined if none has it. @internal */
export function ownerOf(value: object, name: string): object | undefined {
  for (let owner: object | null = value; owner !== null; owner = Object.getPrototypeOf(owner) as object | null) {
    if (Object.hasOwn(owner, name)) return owner;
  }
  return undefined;
}

/** Returns the objects and functions in own properties. Skips buffers and objects with very many properties, as these are data. @internal */
export function ownValues(owner: unknown): object[] {
  const values: object[] = [];
  if (!isTouchable(owner) || ArrayBuffer.isView(owner) || (Array.isArray(owner) && owner.length > MAX_PROPERTIES)) return values;
  const keys = Reflect.ownKeys(owner);
  if (keys.length > MAX_PROPERTIES) return values;
  for (const key of keys) {
    const value: unknown = Object.getOwnPropertyDescriptor(owner, key)?.value;
    if (isTouchable(value) || (typeof value === 'function' && !types.isProxy(value))) values.push(value);
  }
  return values;
}

/** Yields the methods of a class with their names, inherited ones included. @internal */
export function* methodsOf(classRef: Function): Generator<readonly [name: string, method: Method]> {
  const seen = new Set<string>();
  let prototype = classRef.prototype as object | null;
  for (; prototype && prototype !== Object.prototype; prototype = Object.getPrototypeOf(prototype) as object | null) {
    for (const name of Object.getOwnPropertyNames(prototype)) {
      const method: unknown = Object.getOwnPropertyDescriptor(prototype, name)?.value;
      if (typeof method !== 'function' || name === 'constructor' || seen.has(name)) continue;
      seen.add(name);
      yield [name, method as Method];
    }
  }
}

/** Providers that hold services, and lists of services, have fewer properties. */
const MAX_PROPERTIES = 1000;

/** Returns true for an object that is not a Proxy. @internal */
export function isTouchable(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !types.isProxy(value);
}
