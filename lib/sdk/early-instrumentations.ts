/** Creates instrumentations before the application loads its modules, and keeps them for the option `instrumentations`. */
import { isInstance } from '../options/checks.js';
import type { Instrumentation } from '../options/tracing-options.js';

const EARLY = Symbol.for('nestjs-tracing/early-instrumentations');

/** The early instrumentations by name. All copies of this package in the process share them. @internal */
export const earlyInstrumentations = ((globalThis as { [EARLY]?: Map<string, Instrumentation> })[EARLY] ??= new Map<
  string,
  Instrumentation
>());

type InstrumentationClass = (new () => Instrumentation) & { readonly prototype: Instrumentation };

/** Creates an instrumentation of each class in the exports of a package. May throw. @internal */
export function createEarly(exported: unknown): void {
  if (typeof exported !== 'object' || exported === null) return;
  for (const value of new Set(Object.values(exported as Record<string, unknown>))) {
    if (!isInstrumentationClass(value)) continue;
    const early = new value();
    if (earlyInstrumentations.has(early.instrumentationName)) continue;
    earlyInstrumentations.set(early.instrumentationName, early);
    leaveModulesTo(early, value);
  }
}

/** Keeps other instances of the class from patching the same modules. The option `instrumentations` uses only their configuration. */
function leaveModulesTo(early: Instrumentation, { prototype }: InstrumentationClass): void {
  const { enable } = prototype;
  const value = function (this: Instrumentation): void {
    if (this === early) enable.call(this);
  };
  Object.defineProperty(prototype, 'enable', { value, writable: true, configurable: true });
}

function isInstrumentationClass(value: unknown): value is InstrumentationClass {
  return typeof value === 'function' && isInstance(value.prototype, ['setTracerProvider', 'enable', 'disable']);
}
