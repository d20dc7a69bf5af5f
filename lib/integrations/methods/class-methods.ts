/** Finds the methods of classes that are traced, and wraps them: those of prototypes, and static ones. */
import { isSpanned } from '../../api/span-attribute.decorator.js';
import { types } from 'node:util';
import { type Method, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { replaceOnce } from '../../wrapping/shared-installation.js';
import type { Claims } from './claims.js';
import { hasOwnSpan } from './own-spans.js';
import type { Selection } from './selection.js';
import { tracedCall } from './traced-call.js';

/** Wraps the methods of the classes of one application, each once. */
export class ClassMethods {
  private readonly wrapped = new WeakSet<object>();
  private readonly known = new WeakSet<Function>();
  private readonly steps: Undo[] = [];

  readonly undo = undoAll(this.steps);

  constructor(
    private readonly selection: Selection,
    private readonly claims: Claims,
    private readonly tracesResolvers: boolean,
  ) {}

  /** Returns true if the class has been added, or is none of those that are traced. */
  has(classRef: Function): boolean {
    return this.known.has(classRef);
  }

  /** Wraps the methods of a class, and those that it inherits from the application's own classes. */
  add(classRef: Function): void {
    this.known.add(classRef);
    for (const declaring of chainOf(classRef)) {
      if (this.wrapped.has(declaring) || !this.selection.reaches(declaring)) return;
      this.wrapped.add(declaring);
      this.wrap(declaring, declaring.prototype as object);
      this.wrap(declaring, declaring);
    }
  }

  private wrap(declaring: Function, target: object): void {
    const isStatic = target === declaring;
    for (const name of Object.getOwnPropertyNames(target)) {
      const descriptor = Object.getOwnPropertyDescriptor(target, name);
      const method: unknown = descriptor?.value;
      // Enumerable static members are fields.
      if (name === 'constructor' || (isStatic && descriptor?.enumerable !== false)) continue;
      if (descriptor?.configurable !== true || !isMethod(method) || isSpanned(target, name)) continue;
      if (hasOwnSpan(declaring, name, method, this.tracesResolvers) || !this.claims.claim(target, name)) continue;
      this.steps.push(replaceOnce(target, name, original => tracedCall(target, name, original)));
    }
  }
}

/** Yields a class and the classes above it. */
export function* chainOf(classRef: Function): Generator<Function> {
  for (let one: unknown = classRef; typeof one === 'function' && !types.isProxy(one); one = Object.getPrototypeOf(one)) {
    const prototype: unknown = Object.getOwnPropertyDescriptor(one, 'prototype')?.value;
    if (typeof prototype !== 'object' || prototype === null || types.isProxy(prototype)) return;
    yield one;
  }
}

/** Returns false for a class: a property may hold one, and it cannot be called. */
export function isMethod(value: unknown): value is Method {
  return typeof value === 'function' && Object.getOwnPropertyDescriptor(value, 'prototype')?.writable !== false;
}
