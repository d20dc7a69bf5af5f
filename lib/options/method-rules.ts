/** Checks and matches the rules that select methods. */
import { types } from 'node:util';
import { oneOrMore, refuse } from './checks.js';
import type { MethodRule, TracedMethod } from './methods-options.js';
import { guarded } from './trouble.js';

/** A method, and the classes of the modules that declare its class. @internal */
export interface RuledMethod extends TracedMethod {
  readonly moduleClasses: ReadonlySet<Function>;
}

/** Returns true if the rule selects the method. @internal */
export type MethodMatcher = (method: RuledMethod) => boolean;

/** Accepts a rule or a list of rules. Returns a matcher for each. @internal */
export function methodRules(path: string, value: MethodRule | readonly MethodRule[]): readonly MethodMatcher[] {
  return oneOrMore(path, value, matcherOf);
}

function matcherOf(path: string, rule: unknown): MethodMatcher {
  if (typeof rule === 'string' && rule.trim() !== '') return nameMatcher(rule.trim());
  if (types.isRegExp(rule)) {
    // With the flags g and y, `test()` would continue after its last match.
    const pattern = new RegExp(rule.source, rule.flags.replace(/[gy]/g, ''));
    return ({ className, method }) => pattern.test(`${className}.${method}`);
  }
  if (typeof rule !== 'function') return refuse(path, rule, 'a class, a module, a name such as "Orders*", a RegExp or a function');
  if (isClass(rule)) {
    return ({ classRef, moduleClasses }) =>
      classRef === rule || Object.prototype.isPrototypeOf.call(rule, classRef) || moduleClasses.has(rule);
  }
  return method => guarded(path, () => (rule as (method: TracedMethod) => boolean)(method), false) === true;
}

/** Returns a matcher for a name. A name with a dot is that of a method, else that of a class. `*` stands for any text. */
function nameMatcher(name: string): MethodMatcher {
  const source = name
    .split('*')
    .map(text => text.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*');
  const pattern = new RegExp(`^${source}$`);
  return name.includes('.')
    ? ({ className, method }) => pattern.test(`${className}.${method}`)
    : ({ className }) => pattern.test(className);
}

/** Returns true for a class, also for one that was compiled to a function. */
function isClass(value: Function): boolean {
  const prototype = Object.getOwnPropertyDescriptor(value, 'prototype');
  if (prototype === undefined) return false;
  return prototype.writable === false || Object.getOwnPropertyNames(prototype.value).length > 1;
}
