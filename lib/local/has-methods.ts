/** Tells what an object is by its members, of whichever copy of a package: no getter is asked, no Proxy is touched. */
import { types } from 'node:util';

/** Whether `value` is an object with all these methods, its own or inherited. @internal */
export function hasMethods(value: unknown, ...names: readonly string[]): value is object {
  return isTouchable(value) && names.every(name => typeof memberOf(value, name) === 'function');
}

/** What an object, or one that it inherits from, keeps in a property; `undefined` for accessors. @internal */
export function memberOf(value: object, name: string): unknown {
  for (let owner: object | null = value; owner !== null; owner = Object.getPrototypeOf(owner) as object | null) {
    const property = Object.getOwnPropertyDescriptor(owner, name);
    if (property !== undefined) return property.value;
  }
  return undefined;
}

/** What an object keeps in properties of its own; nothing where it is data, which may be megabytes. @internal */
export function* ownValues(owner: unknown): Generator<object> {
  if (!isTouchable(owner) || ArrayBuffer.isView(owner) || (Array.isArray(owner) && owner.length > MAX_PROPERTIES)) return;
  const keys = Reflect.ownKeys(owner);
  if (keys.length > MAX_PROPERTIES) return;
  for (const key of keys) {
    const value: unknown = Object.getOwnPropertyDescriptor(owner, key)?.value;
    if (isTouchable(value)) yield value;
  }
}

/** More than any provider has that keeps services, and any list of them. */
const MAX_PROPERTIES = 1000;

/** An object that is nobody's Proxy. @internal */
export function isTouchable(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !types.isProxy(value);
}
