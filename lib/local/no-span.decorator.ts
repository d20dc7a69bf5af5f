/** `@NoSpan()`: what must not appear in traces, a method, a request handler or a whole class. */
import { classMark, inheritedMethodMark, markClass, markMethod, methodMark } from './method-marks.js';

const NO_SPAN = Symbol.for('nestjs-tracing/no-span');

/**
 * Keeps a method out of traces, but not what it calls; on a request handler the request is not traced and neither is what happens inside
 * it. Middleware runs before the route is known: spans that it opens itself appear. On a class it holds for all methods, those of
 * subclasses included. It wins over `@Span()` and `@Traceable()`, in either order.
 *
 * @example
 * \@NoSpan()
 * \@Get('health')
 * health() { return 'ok'; }
 *
 * @publicApi
 */
export function NoSpan(): ClassDecorator & MethodDecorator {
  return (target: object, method?: string | symbol): void => {
    if (method !== undefined) markMethod(target, method, NO_SPAN, true);
    else if (typeof target === 'function') markClass(target, NO_SPAN, true);
  };
}

/** Whether `@NoSpan()` stands on the class, on one that it extends, or on the method that a call on its instances reaches. @internal */
export function isNoSpan(classRef: Function, method: string | symbol): boolean {
  return isNoSpanClass(classRef) || inheritedMethodMark(classRef.prototype as object, method, NO_SPAN) === true;
}

/** Whether `@NoSpan()` stands on the class or on one that it extends. @internal */
export function isNoSpanClass(classRef: Function): boolean {
  return classMark(classRef, NO_SPAN) === true;
}

/** Whether `@NoSpan()` stands on the method as `target`, a prototype or class, declares it. @internal */
export function isNoSpanMethod(target: object, method: string | symbol): boolean {
  return methodMark(target, method, NO_SPAN) === true;
}
