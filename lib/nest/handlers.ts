/** Wraps the handlers of controllers and gateways: they report their method, and their errors before filters, to the inbound work. */
import { Catch, type ExceptionFilter } from '@nestjs/common';
import { isObservable, tap } from 'rxjs';
import { isNoSpan } from '../api/no-span.decorator.js';
import { hasSpanAttributes, recordSpanAttributes } from '../api/span-attribute.decorator.js';
import { type InboundWork, inboundWork } from '../spans/inbound-work.js';
import { runTracked } from '../spans/track.js';
import { methodsOf } from '../wrapping/has-methods.js';
import { classesOf } from '../wrapping/provider-search.js';
import { type Method, type Undo, wrapMethod } from '../wrapping/replace-method.js';
import { replaceOnPrototype } from '../wrapping/shared-installation.js';
import type { Integration } from './integration.js';
import { noteExternalHandlers } from './server-span.interceptor.js';

/** Installed before every integration. @internal */
export const handlers: Integration = {
  name: 'handlers',
  install(_application, nest) {
    const { config, interceptor } = nest;
    config.addGlobalInterceptor(interceptor);
    nest.onClose(noteExternalHandlers(nest.externalContexts));
    // Nest has not instantiated the controllers yet, so its routers will find the wrapped handlers.
    for (const controller of classesOf(nest.modules, 'controllers')) nest.whileInForce(() => observeHandlers(controller));
    // A global interceptor turns the result of every route into a stream. Routes do not need ours.
    nest.onConfigure(() => {
      nest.withdrawInterceptor();
      config.addGlobalFilter(new ExceptionObserver());
    });
    // Routes are registered. Handlers that Nest builds from now on get the interceptor again.
    nest.onInit(() => {
      const interceptors = config.getGlobalInterceptors();
      if (!interceptors.includes(interceptor)) interceptors.unshift(interceptor);
    });
  },
};

/** The controller method that a route handler calls. */
export interface DeclaredHandler {
  readonly className: string;
  readonly method: string;
  readonly isUntraced: boolean;
  /** True if the controller accepts certain hosts only. */
  readonly hasHost: boolean;
}

/** Metadata that Nest's decorators set on handlers of routes and of messages to microservices and gateways. */
const PATTERN = 'microservices:pattern';
const EVENT = 'websockets:message_mapping';
const HANDLED = ['path', PATTERN, EVENT];

function handlersOf(controller: Function): (readonly [name: string, handler: Method])[] {
  return [...methodsOf(controller)].filter(([, method]) => HANDLED.some(key => Reflect.hasMetadata(key, method)));
}

/** Returns the names of message patterns that only handlers with `@NoSpan()` handle. `nameOf` returns the name of a pattern. */
export function untracedPatterns(controllers: Iterable<Function>, nameOf: (pattern: unknown) => string): Set<string> {
  return onlyUntraced(controllers, callback => ((Reflect.getMetadata(PATTERN, callback) ?? []) as unknown[]).map(nameOf));
}

/** Returns the gateway events that only handlers with `@NoSpan()` handle. */
export function untracedEvents(gateways: Iterable<Function>): Set<unknown> {
  return onlyUntraced(gateways, callback =>
    Reflect.hasMetadata(EVENT, callback) ? [Reflect.getMetadata('message', callback) as unknown] : [],
  );
}

function onlyUntraced<Name>(classes: Iterable<Function>, namesOf: (callback: Method) => Name[]): Set<Name> {
  const untraced = new Set<Name>();
  const traced = new Set<Name>();
  for (const controller of classes) {
    for (const [method, callback] of handlersOf(controller)) {
      for (const name of namesOf(callback)) (isNoSpan(controller, method) ? untraced : traced).add(name);
    }
  }
  return new Set([...untraced].filter(name => !traced.has(name)));
}

const FILTERS = '__exceptionFilters__';
const DECLARED = Symbol.for('nestjs-tracing/declared-handler');

/** Returns the controller method that a route handler calls. Nest's router copies the method's metadata to the route handler. */
export function declaredHandler(routeHandler: Function): DeclaredHandler | undefined {
  return Reflect.getOwnMetadata(DECLARED, routeHandler) as DeclaredHandler | undefined;
}

/** Wraps each handler of a controller or gateway. Returns how to undo it. */
export function observeHandlers(controller: Function): Undo {
  const names = handlersOf(controller).map(([name]) => name);
  return replaceOnPrototype(controller, names, (handler, name) => describing(controller, name, handler));
}

/** Returns the wrapper of a handler, with metadata for {@link declaredHandler}. */
function describing(controller: Function, method: string, callback: Method): Method {
  const isUntraced = isNoSpan(controller, method);
  const hasHost = Reflect.getMetadata('host', controller) !== undefined;
  const declared: DeclaredHandler = { className: controller.name, method, isUntraced, hasHost };
  const wrapped = wrapMethod(callback, observing(controller, method, callback, isUntraced));
  Reflect.defineMetadata(DECLARED, declared, wrapped);
  // Filters of a handler or controller come before global ones, so the observer must come before them, too. The microservices of a hybrid
  // application have no global filters.
  const filters = Reflect.getMetadata(FILTERS, callback) as unknown[] | undefined;
  if (filters !== undefined || Reflect.hasMetadata(FILTERS, controller) || !Reflect.hasMetadata('path', callback)) {
    Reflect.defineMetadata(FILTERS, [...(filters ?? []), new ExceptionObserver()], wrapped);
  }
  return wrapped;
}

function observing(controller: Function, method: string, callback: Method, isUntraced: boolean): Method {
  const hasAttributes = hasSpanAttributes(controller.prototype as object, method);
  const hasResponse = takesResponse(controller, method);
  const isEvents = Reflect.hasMetadata('__sse__', callback);
  return function (this: unknown, ...args: unknown[]): unknown {
    const work = inboundWork();
    const apart = isUntraced ? work?.untracedPart() : undefined;
    if (apart !== undefined) return runTracked(apart, () => callback.apply(this, args));
    // Another handler calls this one. Then its errors may be caught, and its `@NoSpan()` does not apply to the request.
    if (work === undefined || !work.enter()) return callback.apply(this, args);
    if (isUntraced) {
      work.abandon();
      return callback.apply(this, args);
    }
    work.handledBy(controller.name, method);
    if (hasAttributes) recordSpanAttributes(work.span, controller.prototype as object, method, args);
    if (hasResponse) work.handedOut();
    // A filter of the handler may keep an error away from `ExceptionObserver`. Here every error is seen.
    try {
      const result = callback.apply(this, args);
      if (!(result instanceof Promise)) work.returned();
      else work.returned(result.then(undefined, (thrown: unknown) => work.threw(thrown)));
      // An error of server-sent events reaches no filter once they have begun.
      if (isEvents && result instanceof Promise) return result.then((events: unknown) => observed(events, work));
      return observed(result, work);
    } catch (thrown) {
      work.threw(thrown);
      work.returned();
      throw thrown;
    }
  };
}

function observed(result: unknown, work: InboundWork): unknown {
  return isObservable(result) ? result.pipe(tap({ error: thrown => work.threw(thrown) })) : result;
}

/** Matches `@Res()` and `@Next()` by their numbers in Nest's enum `RouteParamtypes`. */
const RESPONSE = /^[12]:/;

/** Returns true if a handler has an argument with which it can answer by itself. */
function takesResponse(controller: Function, method: string): boolean {
  const args = Reflect.getMetadata('__routeArguments__', controller, method) as object | undefined;
  return args !== undefined && Object.keys(args).some(key => RESPONSE.test(key));
}

/** Matches no exception, but reports each exception that Nest tests with `instanceof`. Costs nothing if nothing is thrown. */
class NoException {
  static [Symbol.hasInstance](thrown: unknown): boolean {
    inboundWork()?.escaped(thrown);
    return false;
  }
}

@Catch(NoException)
class ExceptionObserver implements ExceptionFilter {
  /** Never called: {@link NoException} matches nothing. */
  catch(): void {}
}
