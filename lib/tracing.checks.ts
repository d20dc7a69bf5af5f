/** Checks of option values: each returns the value, or throws an error that names the option's full path and what was seen. */
import { types } from 'node:util';
import type { Attributes } from '@opentelemetry/api';
import { messages } from './tracing.messages.js';

/** Refuses `value` at `path`. @internal */
export function refuse(path: string, value: unknown, expected: string): never {
  throw new Error(messages.invalidOption(path, value, expected));
}

/** An object whose names are all `known`; `undefined` counts as an empty one. @internal */
export function objectOf<T extends object>(path: string, value: T | undefined, known: readonly (keyof T & string)[]): Partial<T> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    if (path === '') throw new Error(messages.optionsNotAnObject(value));
    refuse(path, value, 'an object');
  }
  for (const [name, given] of Object.entries(value)) {
    if (given !== undefined && !(known as readonly string[]).includes(name)) {
      throw new Error(messages.unknownOption(path === '' ? name : `${path}.${name}`, known));
    }
  }
  return value;
}

/** `true`, `false`, or `fallback` where unset. @internal */
export function flag(path: string, value: unknown, fallback: boolean, expected = 'true or false'): boolean {
  if (value === undefined) return fallback;
  return typeof value === 'boolean' ? value : refuse(path, value, expected);
}

/** A string with something in it. @internal */
export function text(path: string, value: unknown): string {
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : refuse(path, value, 'a string that is not empty');
}

/** A finite number from `min` to `max`. @internal */
export function number(path: string, value: unknown, min: number, max: number): number {
  return typeof value === 'number' && value >= min && value <= max ? value : refuse(path, value, `a number from ${min} to ${max}`);
}

/** One of a few words. @internal */
export function oneOf<T extends string>(path: string, value: unknown, words: readonly T[]): T {
  const found = words.find(word => word === value);
  return found ?? refuse(path, value, words.map(word => `"${word}"`).join(' or '));
}

/** A ratio from 0 to 1, or an object with `methods`. @internal */
export function ratioOr<T>(path: string, value: number | T, methods: readonly string[], expected: string): number | T {
  if (typeof value === 'number') return number(path, value, 0, 1);
  return hasMethods(value, methods) ? value : refuse(path, value, `a ratio from 0 to 1, or ${expected}`);
}

/** A function, or nothing. @internal */
export function callback<T>(path: string, value: T): T {
  return value === undefined || typeof value === 'function' ? value : refuse(path, value, 'a function');
}

/** A list, each item checked at its own path. @internal */
export function list<T>(path: string, value: unknown, expected: string, check: (path: string, item: unknown) => T): readonly T[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) refuse(path, value, `a list of ${expected}`);
  return value.map((item: unknown, index) => check(`${path}[${index}]`, item));
}

/** One item or a list of them, as a list. @internal */
export function oneOrMore<T>(path: string, value: unknown, check: (path: string, item: unknown) => T): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value.map((item: unknown, index) => check(`${path}[${index}]`, item)) : [check(path, value)];
}

// https://www.rfc-editor.org/rfc/rfc9110#name-tokens
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** The lower-case name of a header. @internal */
export function headerName(path: string, value: unknown): string {
  return typeof value === 'string' && TOKEN.test(value) ? value.toLowerCase() : refuse(path, value, 'the name of a header');
}

/** The lower-case names of headers, each once. @internal */
export function headerNames(path: string, value: unknown): readonly string[] {
  return [...new Set(list(path, value, 'header names', headerName))];
}

/** Rules on paths, URLs or hosts: strings of the right `shape`, RegExps made stateless, functions. @internal */
export function rules<T>(path: string, value: T | readonly T[] | undefined, shape: RegExp, expected: string): readonly (T | RegExp)[] {
  return oneOrMore(path, value, (itemPath, item) => {
    if (typeof item === 'function' || (typeof item === 'string' && shape.test(item))) return item as T;
    // With the flags g and y, test() would remember where it stopped.
    if (types.isRegExp(item)) return new RegExp(item.source, item.flags.replace(/[gy]/g, ''));
    return refuse(itemPath, item, `${expected}, a RegExp or a function`);
  });
}

/** Attributes: text, finite numbers, booleans, or lists of one of them. @internal */
export function attributes(path: string, value: Attributes | undefined): Attributes {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(path, value, 'an object of attributes');
  for (const [key, given] of Object.entries(value)) {
    if (given !== undefined && !isAttribute(given))
      refuse(`${path}.${key}`, given, 'a string, a finite number, a boolean or a list of one of them');
  }
  return value;
}

function isAttribute(value: unknown): boolean {
  if (!Array.isArray(value)) return isPlain(value);
  return value.every(item => isPlain(item) && typeof item === typeof value[0]);
}

function isPlain(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value);
}

/** An object that has all the methods of an interface. @internal */
export function instance<T>(path: string, value: T, methods: readonly string[]): T {
  if (hasMethods(value, methods)) return value;
  return refuse(path, value, `an object with ${methods.map(name => `${name}()`).join(', ')}`);
}

/** Whether `value` has all the methods that make it an instance of an interface. @internal */
export function hasMethods(value: unknown, methods: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return methods.every(name => typeof (value as Record<string, unknown>)[name] === 'function');
}

/** What to call an object in a message: its class, if it has one. @internal */
export function classOf(value: object): string {
  return value.constructor?.name || 'an object without class';
}
