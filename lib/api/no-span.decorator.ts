/** `@NoSpan()` keeps a method, a request handler or a whole class out of traces. */
import 'reflect-metadata';
import { inheritedMetadata } from '../wrapping/replace-method.js';

const HIDDEN = Symbol.for('nestjs-tracing/no-span');

/**
 * Keeps a method out of traces, but not what the method calls. On a request handler, neither the request nor anything inside it is traced.
 * Middleware runs before Nest knows the route, so spans that middleware opens still appear. On a class it applies to all methods, also
 * those of subclasses. It wins over `@Span()` and `@Traceable()`, in either order.
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
    if (method !== undefined) Reflect.defineMetadata(HIDDEN, true, target, method);
    else if (typeof target === 'function') Reflect.defineMetadata(HIDDEN, true, target);
  };
}

/** Returns true if `@NoSpan()` is on the class, on a superclass, or on the method that a call on its instances reaches. @internal */
export function isNoSpan(classRef: Function, method: string | symbol): boolean {
  return isHidden(classRef) || inheritedMetadata(classRef.prototype as object, method, HIDDEN) === true;
}

/** Like {@link isNoSpan}, but for the method that `target` itself declares. `target` is a prototype or a class. @internal */
export function isNoSpanDeclared(classRef: Function, target: object, method: string | symbol): boolean {
  return isHidden(classRef) || Reflect.getOwnMetadata(HIDDEN, target, method) === true;
}

function isHidden(classRef: Function): boolean {
  return Reflect.getMetadata(HIDDEN, classRef) === true;
}
