/** Methods of controllers and gateways as witnesses of the work they serve: each tells it who serves it and what it threw, and is otherwise unchanged. */
import { context } from '@opentelemetry/api';
import { isObservable, tap } from 'rxjs';
import { hasSpanAttributes, recordSpanAttributes } from '../local/span-attribute.decorator.js';
import { isNoSpan } from '../local/no-span.decorator.js';
import { wrapMethod } from '../local/wrap-method.js';
import { keepContext } from './arrived.js';
import { ExceptionObserver } from './exception-observer.filter.js';
import { servedWork } from './served-work.js';
import { type DeclaredMethod, type Method, wrapMethods } from './wrapped-methods.js';

/** What a route handler says about the controller method that it calls. */
export interface DeclaredHandler {
  readonly className: string;
  readonly method: string;
  readonly isUntraced: boolean;
  /** Only requests for certain hosts reach it. */
  readonly hasHost: boolean;
}

/** What Nest's decorators leave on a handler: of routes, of messages to microservices and gateways. */
const PATTERN = 'microservices:pattern';
const EVENT = 'websockets:message_mapping';
const HANDLED = ['path', PATTERN, EVENT];

/** Inherited ones included. */
function controllerHandlers(controller: Function): DeclaredMethod[] {
  const handlers = new Map<string, DeclaredMethod>();
  for (
    let prototype = controller.prototype as object | null;
    prototype && prototype !== Object.prototype;
    prototype = Object.getPrototypeOf(prototype) as object | null
  ) {
    for (const method of Object.getOwnPropertyNames(prototype)) {
      const callback: unknown = Object.getOwnPropertyDescriptor(prototype, method)?.value;
      if (typeof callback !== 'function' || method === 'constructor' || handlers.has(method)) continue;
      if (HANDLED.some(key => Reflect.hasMetadata(key, callback))) handlers.set(method, { method, callback: callback as Method });
    }
  }
  return [...handlers.values()];
}

/** The message patterns that only handlers with `@NoSpan()` listen to, as they were declared; `nameOf` tells which of them are the same. */
export function untracedPatterns(controllers: Iterable<Function>, nameOf: (pattern: unknown) => string): Set<string> {
  return onlyUntraced(controllers, callback => ((Reflect.getMetadata(PATTERN, callback) ?? []) as unknown[]).map(nameOf));
}

/** The events of gateways that only handlers with `@NoSpan()` listen to. */
export function untracedEvents(gateways: Iterable<Function>): Set<unknown> {
  return onlyUntraced(gateways, callback =>
    Reflect.hasMetadata(EVENT, callback) ? [Reflect.getMetadata('message', callback) as unknown] : [],
  );
}

function onlyUntraced<Name>(classes: Iterable<Function>, namesOf: (callback: Method) => Name[]): Set<Name> {
  const untraced = new Set<Name>();
  const traced = new Set<Name>();
  for (const controller of classes) {
    for (const { method, callback } of controllerHandlers(controller)) {
      for (const name of namesOf(callback)) (isNoSpan(controller, method) ? untraced : traced).add(name);
    }
  }
  return new Set([...untraced].filter(name => !traced.has(name)));
}

const FILTERS = '__exceptionFilters__';
const DECLARED = Symbol.for('nestjs-tracing/declared-handler');

/** The controller method behind a route handler: Nest's router copies metadata from the one to the other. */
export function declaredHandler(routeHandler: Function): DeclaredHandler | undefined {
  return Reflect.getOwnMetadata(DECLARED, routeHandler) as DeclaredHandler | undefined;
}

/** Puts a witness around each handler of a controller or gateway; returns what takes them out again. */
export function witnessHandlers(controller: Function): () => void {
  return wrapMethods(controller, controllerHandlers(controller), describing);
}

/** The witness of a handler, with what it tells the router about it. */
function describing(controller: Function, method: string, callback: Method): Method {
  const witness = wrapMethod(callback, witnessing(controller, method, callback));
  const declared: DeclaredHandler = {
    className: controller.name,
    method,
    isUntraced: isNoSpan(controller, method),
    hasHost: Reflect.getMetadata('host', controller) !== undefined,
  };
  Reflect.defineMetadata(DECLARED, declared, witness);
  // Filters on a handler or controller are asked before global ones: where there are any, the observer goes ahead of them too. The
  // microservices of a hybrid application have no global filters.
  const filters = Reflect.getMetadata(FILTERS, callback) as unknown[] | undefined;
  if (filters !== undefined || Reflect.hasMetadata(FILTERS, controller) || !Reflect.hasMetadata('path', callback)) {
    Reflect.defineMetadata(FILTERS, [...(filters ?? []), new ExceptionObserver()], witness);
  }
  return witness;
}

function witnessing(controller: Function, method: string, callback: Method): Method {
  const isUntraced = isNoSpan(controller, method);
  const hasAttributes = hasSpanAttributes(controller.prototype as object, method);
  return function (this: unknown, ...args: unknown[]): unknown {
    const work = servedWork();
    const apart = isUntraced ? work?.untracedPart() : undefined;
    if (apart !== undefined) {
      const result: unknown = context.with(apart, () => callback.apply(this, args));
      return keepContext(result, apart);
    }
    // What a handler calls itself is no longer the work's: its errors may be handled, its span wanted.
    if (work === undefined || !work.enter()) return callback.apply(this, args);
    if (isUntraced) {
      work.abandon();
      return callback.apply(this, args);
    }
    work.handledBy(controller.name, method);
    if (hasAttributes) recordSpanAttributes(work.span, controller.prototype as object, method, args);
    // A filter on the handler may hide what it threw from the observer of exceptions; here it is always seen.
    try {
      const result = callback.apply(this, args);
      if (!(result instanceof Promise)) work.returned();
      else work.returned(result.then(undefined, (thrown: unknown) => work.threw(thrown)));
      return isObservable(result) ? result.pipe(tap({ error: thrown => work.threw(thrown) })) : result;
    } catch (thrown) {
      work.threw(thrown);
      work.returned();
      throw thrown;
    }
  };
}
