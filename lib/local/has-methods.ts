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

/** What an object keeps in properties of its own. @internal */
export function* ownValues(owner: unknown): Generator<object> {
  if (!isTouchable(owner)) return;
  for (const { value } of Object.values<PropertyDescriptor>(Object.getOwnPropertyDescriptors(owner))) {
    if (isTouchable(value)) yield value;
  }
}

/** An object that is nobody's Proxy. @internal */
export function isTouchable(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !types.isProxy(value);
}
