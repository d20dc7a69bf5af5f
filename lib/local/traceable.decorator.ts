/** `@Traceable()`: a span around each call of each method of a class. */
import type { SpanKind } from '@opentelemetry/api';
import { isSpanned } from './span-attribute.decorator.js';
import { type Method, tracedMethod } from './traced-method.js';

/** Options of {@link Traceable}. @publicApi */
export interface TraceableOptions {
  /** Recorded on every span of the class. @default none */
  readonly attributes?: Readonly<Record<string, unknown>>;
  /** @default INTERNAL */
  readonly kind?: SpanKind;
}

/**
 * Does for every method that the class itself declares, static ones included, what `@Span()` does for one. Methods with a `@Span()` of
 * their own keep it, methods with `@NoSpan()` make none; accessors, constructors and functions in properties are left alone.
 *
 * @example
 * \@Traceable()
 * \@Injectable()
 * export class OrdersService {}
 *
 * @publicApi
 */
export function Traceable(options: TraceableOptions = {}): ClassDecorator {
  return target => {
    traceMethods(target.prototype as object, options);
    traceMethods(target, options);
  };
}

function traceMethods(target: object, options: TraceableOptions): void {
  for (const method of Object.getOwnPropertyNames(target)) {
    const descriptor = Object.getOwnPropertyDescriptor(target, method);
    const original: unknown = descriptor?.value;
    // Methods are not enumerable, functions in static properties are.
    if (method === 'constructor' || descriptor?.enumerable !== false || !isMethod(original) || isSpanned(target, method)) continue;
    Reflect.defineProperty(target, method, { ...descriptor, value: tracedMethod(target, method, original, options) });
  }
}

/** A class can stand in a static property, and cannot be called. */
function isMethod(value: unknown): value is Method {
  return typeof value === 'function' && Object.getOwnPropertyDescriptor(value, 'prototype')?.writable !== false;
}
