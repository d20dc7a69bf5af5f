/** Defines options by a default and a check. A check returns the value, or throws an error with the option's path and the given value. */
import type { Attributes } from '@opentelemetry/api';
import { didYouMean, messages } from './messages.js';

/** Throws an error for `value` at `path`. If `value` resembles one of `words`, the message suggests it. @internal */
export function refuse(path: string, value: unknown, expected: string, words: readonly string[] = []): never {
  throw new Error(messages.invalidOption(path, value, expected) + didYouMean(value, words));
}

/**
 * Checks that all names of an object are `known`. `undefined` counts as an empty object. `elsewhere` are paths of other options, which the
 * message may suggest. @internal
 */
export function objectOf<T extends object>(
  path: string,
  value: T | undefined,
  known: readonly string[],
  elsewhere: readonly string[] = [],
): Partial<T> {
  if (value === undefined) return {};
  if (!isObject(value)) {
    if (path === '') throw new Error(messages.optionsNotAnObject(value));
    refuse(path, value, 'an object');
  }
  for (const [name, given] of Object.entries(value)) {
    if (given !== undefined && !known.includes(name)) {
      const moved = elsewhere.filter(place => place.split('.').at(-1) === name);
      throw new Error(messages.unknownOption(path === '' ? name : `${path}.${name}`, known) + didYouMean(name, known, moved));
    }
  }
  return value;
}

/** True if the value is an object with named values, but not a list, Map or Promise. @internal */
export function isObject(value: unknown): value is object {
  return /^\[object (Object|Module)\]$/.test(Object.prototype.toString.call(value));
}

/** Checks a boolean. @internal */
export function flag(path: string, value: boolean): boolean {
  return typeof value === 'boolean' ? value : refuse(path, value, 'true or false');
}

/** Accepts `true`, `false` or a function. @internal */
export function flagOrCallback<T>(path: string, value: T): T {
  return typeof value === 'boolean' || typeof value === 'function' ? value : refuse(path, value, 'true, false or a function');
}

/** Accepts a header name, `true` for the header `name`, or `false`. Returns the lower-case name, or undefined for `false`. @internal */
export function flagOrHeader(name: string) {
  return (path: string, value: boolean | string): string | undefined => {
    if (typeof value === 'string') return headerName(path, value);
    if (typeof value !== 'boolean') refuse(path, value, 'true, false or the name of a header');
    return value ? name : undefined;
  };
}

/** Accepts a string that is not empty. @internal */
export function text(path: string, value: string): string {
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : refuse(path, value, 'a string that is not empty');
}

/** @internal */
export function numberBetween(min: number, max: number) {
  return (path: string, value: number): number =>
    typeof value === 'number' && value >= min && value <= max ? value : refuse(path, value, `a number from ${min} to ${max}`);
}

/** @internal */
export function wholeNumberBetween(min: number, max: number) {
  return (path: string, value: number): number =>
    Number.isInteger(value) && value >= min && value <= max ? value : refuse(path, value, `a whole number from ${min} to ${max}`);
}

/** Accepts one of `words`. @internal */
export function oneOf<Word extends string>(...words: readonly Word[]) {
  return (path: string, value: Word): Word => {
    if (words.includes(value)) return value;
    return refuse(path, value, words.map(word => `"${word}"`).join(' or '), words);
  };
}

/** @internal */
export function ratioOrSampler<T>(path: string, value: T): T {
  if (typeof value === 'number') numberBetween(0, 1)(path, value);
  else if (!isInstance(value, ['shouldSample'])) refuse(path, value, 'a ratio from 0 to 1, or a Sampler');
  return value;
}

/** @internal */
export function callback<T>(path: string, value: T): T {
  return typeof value === 'function' ? value : refuse(path, value, 'a function');
}

/** Accepts a list and checks each item. An error contains the item's path, such as `ignore[2]`. @internal */
export function listOf<Given, Value>(expected: string, check: (path: string, item: Given) => Value) {
  return (path: string, value: readonly Given[]): readonly Value[] => {
    if (!Array.isArray(value)) refuse(path, value, `a list of ${expected}`);
    const items: readonly Given[] = value;
    return items.map((item, index) => check(`${path}[${index}]`, item));
  };
}

/** Accepts one item or a list of items. Returns a list. @internal */
export function oneOrMore<T>(path: string, value: unknown, check: (path: string, item: unknown) => T): readonly T[] {
  return Array.isArray(value) ? value.map((item: unknown, index) => check(`${path}[${index}]`, item)) : [check(path, value)];
}

// https://www.rfc-editor.org/rfc/rfc9110#name-tokens, but without "*": users write it to mean all headers with a prefix.
const TOKEN = /^[!#$%&'+\-.^_`|~0-9A-Za-z]+$/;

/** Returns the name of a header in lower case. @internal */
export function headerName(path: string, value: string): string {
  return typeof value === 'string' && TOKEN.test(value) ? value.toLowerCase() : refuse(path, value, 'the whole name of a header');
}

/** Accepts a key of a query: the text before "=". @internal */
export function queryKey(path: string, value: string): string {
  const key = text(path, value);
  return /[=&?#]|\*$/.test(key) ? refuse(path, value, 'the whole key of a query, as it stands before "="') : key;
}

/** Returns the lower-case names of headers, without duplicates. @internal */
export function headerNames(path: string, value: readonly string[]): readonly string[] {
  return [...new Set(listOf('header names', headerName)(path, value))];
}

/** Accepts attributes: strings, finite numbers, booleans, or lists of one of these types. @internal */
export function attributes(path: string, value: Attributes): Attributes {
  if (!isObject(value)) refuse(path, value, 'an object of attributes');
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

/** Accepts an object that has all `methods`. @internal */
export function instanceOf(...methods: readonly string[]) {
  return <T>(path: string, value: T): T =>
    isInstance(value, methods) ? value : refuse(path, value, `an object with ${methods.map(name => `${name}()`).join(', ')}`);
}

/** True if `value` is an object with all `methods`. @internal */
export function isInstance(value: unknown, methods: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return methods.every(name => typeof (value as Record<string, unknown>)[name] === 'function');
}

/** The class name of an object, for messages. @internal */
export function classOf(value: object): string {
  return value.constructor?.name || 'an object without class';
}

/** What a check can use besides the value. @internal */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  /** The paths of all options. */
  readonly paths: readonly string[];
}

/** Checks the value at `path` and returns the value that the library uses, or throws. JavaScript users may give any type. @internal */
export type Check<Given, Value> = (path: string, given: Given, surroundings: Surroundings) => Value;

/** An option that a user gives as `Given` and the library uses as `Value`. @internal */
export interface Definition<Given, Value> {
  /** The default as a user would write it, if there is one. */
  readonly default: Given | undefined;
  /** For an option that is an object of options. */
  readonly options?: DefinitionsByName;
  resolve(path: string, given: Given | undefined, surroundings: Surroundings): Value;
}

type DefinitionsByName = Readonly<Record<string, Definition<unknown, unknown>>>;

/** One definition for each option of an interface, by name. @internal */
export type Definitions<Options> = { readonly [Name in keyof Options]-?: Definition<Exclude<Options[Name], undefined>, unknown> };

/** The type of the resolved options of `Defined`. @internal */
export type Values<Defined> = {
  readonly [Name in keyof Defined]: Defined[Name] extends { resolve(...args: never): infer Value } ? Value : never;
};

/**
 * Defines an option. Its value comes from code, else from the environment, else from `fallback`. Without `fallback` it may be undefined.
 * @internal
 */
export function option<Given, Value>(check: Check<Given, Value>): Definition<Given, Value | undefined>;
export function option<Given, Value>(
  check: Check<Given, Value>,
  fallback: NoInfer<Given>,
  fromEnvironment?: (env: NodeJS.ProcessEnv) => NoInfer<Given> | undefined,
): Definition<Given, Value>;
export function option<Given, Value>(
  check: Check<Given, Value>,
  fallback?: Given,
  fromEnvironment?: (env: NodeJS.ProcessEnv) => Given | undefined,
): Definition<Given, Value | undefined> {
  return {
    default: fallback,
    resolve: (path, given, surroundings) => {
      const value = given === undefined ? (fromEnvironment?.(surroundings.env) ?? fallback) : given;
      return value === undefined ? undefined : check(path, value, surroundings);
    },
  };
}

/** Defines an option that is an object. @internal */
export function group<Options extends object, Defined extends Definitions<Options> & DefinitionsByName>(
  options: Defined,
): Definition<Options, Values<Defined>> {
  return { default: undefined, options, resolve: (path, given, surroundings) => resolveAll(options, path, given, surroundings) };
}

/** Defines an option that is an object, and off without one. @internal */
export function optionalGroup<Options extends object, Defined extends Definitions<Options> & DefinitionsByName>(
  options: Defined,
): Definition<Options, Values<Defined> | undefined> {
  const resolve: Definition<Options, Values<Defined> | undefined>['resolve'] = (path, given, surroundings) =>
    given === undefined ? undefined : resolveAll(options, path, given, surroundings);
  return { default: undefined, options, resolve };
}

/** Defines an option that is `false`, an object, or `true` for that object with its defaults. @internal */
export function switchableGroup<Options extends object, Defined extends Definitions<Options> & DefinitionsByName>(
  options: Defined,
  isOn = false,
): Definition<boolean | Options, Values<Defined> | undefined> {
  return {
    default: isOn,
    options,
    resolve: (path, given = isOn, surroundings) => {
      if (given === false) return undefined;
      if (given !== true && (typeof given !== 'object' || given === null)) refuse(path, given, 'true, false or an object');
      return resolveAll(options, path, given === true ? {} : given, surroundings);
    },
  };
}

/** Resolves the options of one object. Throws for an unknown name. @internal */
export function resolveAll<Defined extends DefinitionsByName>(
  definitions: Defined,
  path: string,
  given: object | undefined,
  surroundings: Surroundings,
): Values<Defined> {
  const values: Readonly<Record<string, unknown>> = { ...objectOf(path, given, Object.keys(definitions), surroundings.paths) };
  const resolved = Object.entries(definitions).map(([name, definition]) => [
    name,
    definition.resolve(path === '' ? name : `${path}.${name}`, values[name], surroundings),
  ]);
  return Object.fromEntries(resolved) as Values<Defined>;
}

/** Returns the paths of all options, nested ones included. @internal */
export function pathsOf(definitions: DefinitionsByName, prefix = ''): readonly string[] {
  return Object.entries(definitions).flatMap(([name, { options = {} }]) => [prefix + name, ...pathsOf(options, `${prefix}${name}.`)]);
}
