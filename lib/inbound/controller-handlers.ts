/** Controller methods as the requests' own witnesses: each tells its request who serves it and what it threw, and is otherwise unchanged. */
import { context } from '@opentelemetry/api';
import { isObservable, tap } from 'rxjs';
import { hasSpanAttributes, recordSpanAttributes } from '../local/span-attribute.decorator.js';
import { isNoSpan } from '../local/no-span.decorator.js';
import { suppressed, workIn } from '../local/work.js';
import { wrapMethod } from '../local/wrap-method.js';
import { ServerRequest } from './server-request.js';

type Method = (this: unknown, ...args: unknown[]) => unknown;

/** What a route handler says about the controller method that it calls. */
export interface DeclaredHandler {
  readonly className: string;
  readonly method: string;
  readonly isUntraced: boolean;
  /** Only requests for certain hosts reach it. */
  readonly hasHost: boolean;
}

interface RouteHandler {
  readonly method: string;
  readonly callback: Method;
}

/** Inherited ones included. */
function controllerHandlers(controller: Function): RouteHandler[] {
  const handlers = new Map<string, RouteHandler>();
  for (
    let prototype = controller.prototype as object | null;
    prototype && prototype !== Object.prototype;
    prototype = Object.getPrototypeOf(prototype) as object | null
  ) {
    for (const method of Object.getOwnPropertyNames(prototype)) {
      const callback: unknown = Object.getOwnPropertyDescriptor(prototype, method)?.value;
      if (typeof callback !== 'function' || method === 'constructor' || handlers.has(method)) continue;
      if (Reflect.hasMetadata('path', callback)) handlers.set(method, { method, callback: callback as Method });
    }
  }
  return [...handlers.values()];
}

const DECLARED = Symbol.for('nestjs-tracing/declared-handler');

/** The controller method behind a route handler: Nest's router copies metadata from the one to the other. */
export function declaredHandler(routeHandler: Function): DeclaredHandler | undefined {
  return Reflect.getOwnMetadata(DECLARED, routeHandler) as DeclaredHandler | undefined;
}

/** Puts a witness around each route handler of a controller; returns what takes them out again. */
export function witnessHandlers(controller: Function): () => void {
  const prototype = controller.prototype as Record<string, unknown>;
  const undo: (() => void)[] = [];
  for (const { method, callback } of controllerHandlers(controller)) {
    if (witnesses.has(callback)) continue;
    const own = Object.getOwnPropertyDescriptor(prototype, method);
    const witness = wrapMethod(callback, witnessing(controller, method, callback));
    const declared: DeclaredHandler = {
      className: controller.name,
      method,
      isUntraced: isNoSpan(controller, method),
      hasHost: Reflect.getMetadata('host', controller) !== undefined,
    };
    Reflect.defineMetadata(DECLARED, declared, witness);
    witnesses.add(witness);
    Object.defineProperty(prototype, method, { value: witness, writable: true, configurable: true, enumerable: own?.enumerable ?? false });
    undo.push(() => {
      if (Object.getOwnPropertyDescriptor(prototype, method)?.value !== witness) return;
      if (own === undefined) delete prototype[method];
      else Object.defineProperty(prototype, method, own);
    });
  }
  return () => {
    for (const step of undo) step();
  };
}

const witnesses = new WeakSet<Function>();

function witnessing(controller: Function, method: string, callback: Method): Method {
  const isUntraced = isNoSpan(controller, method);
  const hasAttributes = hasSpanAttributes(controller.prototype as object, method);
  return function (this: unknown, ...args: unknown[]): unknown {
    const request = workIn();
    if (!(request instanceof ServerRequest)) return callback.apply(this, args);
    if (isUntraced) {
      request.abandon();
      return context.with(suppressed(context.active()), () => callback.apply(this, args));
    }
    request.handledBy(controller.name, method);
    if (hasAttributes) recordSpanAttributes(request.span, controller.prototype as object, method, args);
    // A filter on the handler may hide what it threw from the observer of exceptions; here it is always seen.
    try {
      const result = callback.apply(this, args);
      if (result instanceof Promise) result.then(undefined, (thrown: unknown) => request.threw(thrown));
      else if (isObservable(result)) return result.pipe(tap({ error: thrown => request.threw(thrown) }));
      return result;
    } catch (thrown) {
      request.threw(thrown);
      throw thrown;
    }
  };
}
