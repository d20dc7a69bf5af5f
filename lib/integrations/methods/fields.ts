/** Traces functions that objects hold: arrow functions in fields of instances, and the functions of plain objects. */
import { isTouchable } from '../../wrapping/has-methods.js';
import type { Provided, ProviderTracing } from '../../wrapping/provider-search.js';
import { type Method, replace, undoAll } from '../../wrapping/replace-method.js';
import { isMethod } from './class-methods.js';
import type { Selection } from './selection.js';
import { tracedCall } from './traced-call.js';

/** `isTraced` tells of a module whether its providers may be traced. */
export function fields(selection: Selection, isTraced: (moduleClass: Function | undefined) => boolean): ProviderTracing {
  return {
    everyInstance: true,
    find: ({ instance, moduleClass }) => (isTraced(moduleClass) && isTouchable(instance) ? [instance] : []),
    install: (instance, provided) => {
      const isPlain = provided.classRef === Object;
      if (!isPlain && !selection.reaches(provided.classRef)) return () => undefined;
      const holder = isPlain ? standIn(provided, selection) : provided.classRef;
      return undoAll(
        functionsOf(instance, isPlain).map(([name, method]) => replace(instance, name, tracedCall(instance, name, method, { holder }))),
      );
    },
  };
}

/** The classes that stand for providers without a class. */
const standIns = new Map<unknown, Function>();

/** Returns a class with the name of the token. */
function standIn({ token, moduleClass }: Provided, selection: Selection): Function {
  let holder = standIns.get(token);
  if (holder === undefined) {
    holder = class {};
    Object.defineProperty(holder, 'name', { value: nameOfToken(token) });
    standIns.set(token, holder);
  }
  if (moduleClass !== undefined) selection.declare(holder, moduleClass);
  return holder;
}

function nameOfToken(token: unknown): string {
  if (typeof token === 'function') return token.name;
  return typeof token === 'symbol' ? (token.description ?? '') : String(token);
}

function functionsOf(owner: object, isPlain: boolean): (readonly [name: string, method: Method])[] {
  return Object.getOwnPropertyNames(owner).flatMap(name => {
    const { configurable, writable, ...descriptor } = Object.getOwnPropertyDescriptor(owner, name) ?? {};
    const value: unknown = descriptor.value;
    const isOwn = configurable === true && writable === true && isMethod(value) && (isPlain || isArrow(value)) && isOnlyAFunction(value);
    return isOwn ? [[name, value] as const] : [];
  });
}

/** Returns false for classes and other constructors that an instance was given. */
function isArrow(value: Function): boolean {
  return !Object.hasOwn(value, 'prototype');
}

/** Returns false for functions that are also objects, like an axios instance, and for bound ones. */
function isOnlyAFunction(value: Function): boolean {
  return Object.keys(value).length === 0 && !value.name.startsWith('bound ');
}
