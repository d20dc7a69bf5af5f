/** Remembers what decorators say about a class or method, by declaring class and name, so that neither their order nor a wrapper matters. */
import 'reflect-metadata';
import { wraps } from './wrap-method.js';

/** Notes `value` for a method of a prototype, or of a class if it is static. @internal */
export function markMethod(target: object, method: string | symbol, mark: symbol, value: unknown): void {
  Reflect.defineMetadata(mark, value, target, method);
}

/** What has been noted for the method as `target` itself declares it. @internal */
export function methodMark(target: object, method: string | symbol, mark: symbol): unknown {
  return Reflect.getOwnMetadata(mark, target, method);
}

/** What has been noted for the method that a call on `target` reaches: its own, else the one it inherits. @internal */
export function inheritedMethodMark(target: object, method: string | symbol, mark: symbol): unknown {
  for (let owner: object | null = target; owner !== null; owner = Object.getPrototypeOf(owner) as object | null) {
    if (!Object.hasOwn(owner, method)) continue;
    const value = methodMark(owner, method, mark);
    if (value !== undefined || !isWrappedInPlace(owner, method)) return value;
  }
  return undefined;
}

/** Whether the method is an inherited one that only has been wrapped here. */
function isWrappedInPlace(owner: object, method: string | symbol): boolean {
  const parent = Object.getPrototypeOf(owner) as object | null;
  return parent !== null && wraps(Object.getOwnPropertyDescriptor(owner, method)?.value, Reflect.get(parent, method));
}

/** Notes `value` for a class and those that extend it. @internal */
export function markClass(target: Function, mark: symbol, value: unknown): void {
  Reflect.defineMetadata(mark, value, target);
}

/** What has been noted for the class or one that it extends. @internal */
export function classMark(target: Function, mark: symbol): unknown {
  return Reflect.getMetadata(mark, target);
}
