/**
 * Wraps middleware, hooks, interceptors, route handlers and error handlers of Nest and its framework, so that each runs in the context of
 * its request.
 */
import type { CallHandler, ExecutionContext } from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';
import type { FrameworkLayer, NestSeams } from '../../nest/integration.js';
import { inContext } from '../../spans/context.js';
import type { TracingApplication } from '../../spans/work.js';
import { classesOf } from '../../wrapping/provider-search.js';
import { type Method, replaceMethod, type Undo, undoAll, wrapMethod } from '../../wrapping/replace-method.js';
import { contextToReturnTo, requestWorkIn, type TracedRequest } from './request-work.js';

/** Methods of adapters, Express applications and Fastify instances that register a handler for a path. */
export const REGISTERING = [
  ...['get', 'post', 'put', 'delete', 'patch', 'all', 'options', 'head', 'search', 'query', 'use'],
  ...['propfind', 'proppatch', 'mkcol', 'copy', 'move', 'lock', 'unlock'],
];
/** Fastify hooks that receive the request. */
const HOOKS = [
  ...['onRequest', 'preParsing', 'preValidation', 'preHandler', 'preSerialization'],
  ...['onSend', 'onResponse', 'onTimeout', 'onError'],
];

interface FastifyInstance {
  addHook(name: 'onRoute', hook: (route: Record<string, unknown>) => void): unknown;
}

/** An Express router or application (a function that calls its own `handle`), or a layer that a router or route calls. */
interface ExpressPart {
  readonly handle?: unknown;
  /** The layers of a router or route. */
  readonly stack?: unknown;
  /** The route that a layer leads to. */
  readonly route?: ExpressPart;
}

/** Our wrappers of functions that Nest has registered: controller handlers, middleware, and the handlers for not found and for errors. */
const nestHandlers = new WeakSet<Function>();

/** Returns true if Nest has registered `handler`, in any application. */
export function isNests(handler: unknown): boolean {
  return typeof handler === 'function' && nestHandlers.has(handler);
}

/** Our wrappers of the layers of users, in any application. */
const layers = new WeakSet<Function>();

/** Hooks of Fastify that only run middleware, by the names of their functions. */
const RUN_MIDDLEWARE = new Set(['runMiddie', 'runMiddieWithPayload', 'runConnect']);

export class RequestSeams {
  /** Our wrappers, and the routers whose `handle` is wrapped. */
  private readonly wrapped = new WeakSet<Function>();
  /** The Express application or Fastify instance. Undefined before {@link follow}. */
  framework: object | undefined = undefined;
  /** Constant mount paths, for frameworks that do not store them. */
  readonly mountPaths = new Set<string>();
  /** Mounted Express applications. */
  readonly applications: object[] = [];
  private readonly undo: Undo[] = [];
  private isNestsTurn = false;
  /** What stays until the application closes. */
  private readonly kept: Undo[] = [];

  /** Stops wrapping new registrations. */
  readonly stop = undoAll(this.undo);
  /** Also unwraps the handlers in routers, and stops wrapping those that plugins of Fastify add. */
  readonly close = undoAll([undoAll(this.kept), this.stop]);

  constructor(
    private readonly application: TracingApplication,
    private readonly nestSeams: NestSeams,
  ) {}

  /** Makes `adapter` and its framework call each handler that is registered from now on in the context of its request. */
  follow(adapter: AbstractHttpAdapter): void {
    this.replace(adapter, 'createMiddlewareFactory', create => {
      const { nest } = this;
      const following = (register: unknown): unknown =>
        typeof register !== 'function'
          ? register
          : (path: unknown, callback: unknown): unknown => Reflect.apply(register, undefined, [path, nest(callback)]);
      return function (...args) {
        const register = create.apply(this, args);
        return register instanceof Promise ? register.then(following) : following(register);
      };
    });
    this.replaceFirst(adapter, 'setNotFoundHandler', handler => this.nest(handler, 0, work => work.unmatched()));
    this.replaceFirst(adapter, 'setErrorHandler', handler => this.nest(handler, 1));
    this.framework = adapter.getInstance<object | undefined>();
    const type = (adapter as { getType?(): string }).getType?.();
    if (type === 'express') this.followExpress(this.framework as object);
    else this.replace(adapter, 'use', use => followingAll(use, this.mounting));
    if (type === 'fastify') this.followFastify(this.framework as FastifyInstance);
  }

  /** Marks a wrapper of a Nest handler that restores the context itself. */
  own<M extends Function>(handler: M): M {
    this.wrapped.add(handler);
    nestHandlers.add(handler);
    return handler;
  }

  private readonly nest = (callback: unknown, position = 0, tell?: (work: TracedRequest) => void): unknown => {
    const wrapped = this.wrap(callback, position, tell);
    if (typeof wrapped === 'function') nestHandlers.add(wrapped);
    return wrapped;
  };

  /** Wraps `callback` to run in the context of its request, the argument at `position`. Returns anything but functions unchanged. */
  private readonly wrap = (callback: unknown, position?: number, tell?: (work: TracedRequest) => void): unknown => {
    if (Array.isArray(callback)) return callback.map(one => this.wrap(one, position, tell));
    if (typeof callback !== 'function' || this.wrapped.has(callback)) return callback;
    const { application } = this;
    // The first argument of error middleware is the error.
    const place = position ?? (callback.length === 4 ? 1 : 0);
    const wrapper = wrapMethod(callback, function (this: unknown, ...args: unknown[]): unknown {
      const work = requestWorkIn(args[place], application);
      if (tell !== undefined && work?.inbound !== undefined) tell(work.inbound);
      const ownContext = contextToReturnTo(work);
      return ownContext === undefined ? Reflect.apply(callback, this, args) : inContext(ownContext, callback as Method, this, ...args);
    });
    // Fastify recognizes async functions by their prototype.
    Object.setPrototypeOf(wrapper, Object.getPrototypeOf(callback) as object);
    this.wrapped.add(wrapper);
    return wrapper;
  };

  /** Also lets a span be made of each call of a layer: inside of the context of its request. */
  private readonly wrapLayer = (callback: unknown, layer: Omit<FrameworkLayer, 'fn'> = {}, position?: number): unknown => {
    if (Array.isArray(callback)) return callback.map(one => this.wrapLayer(one, layer, position));
    if (typeof callback !== 'function' || this.isNestsTurn || this.wrapped.has(callback) || layers.has(callback))
      return this.wrap(callback, position);
    const traced = this.nestSeams.layer({ ...layer, fn: callback as Method });
    if (traced !== callback) Object.setPrototypeOf(traced, Object.getPrototypeOf(callback) as object);
    const wrapper = this.wrap(traced, position);
    layers.add(wrapper as Function);
    return wrapper;
  };

  private readonly mounting = (argument: unknown): unknown => {
    if (typeof argument === 'string' && !/[:*{(?]/.test(argument)) this.mountPaths.add(argument);
    return this.wrapLayer(argument);
  };

  private followExpress(instance: object): void {
    const following = (handler: unknown): unknown => {
      if (Array.isArray(handler)) return handler.map(following);
      if (typeof handler !== 'function' || (handler as ExpressPart).handle === undefined) return this.wrapLayer(handler);
      // Express recognizes routers and applications by their members. So these stay the same objects, and only `handle` is wrapped.
      if (!this.wrapped.has(handler)) {
        this.wrapped.add(handler);
        if ('mountpath' in handler) this.applications.push(handler);
        this.kept.push(replaceMethod(handler, 'handle', handle => this.wrap(handle, 0) as Method));
        this.followLayers((handler as ExpressPart).stack);
      }
      return handler;
    };
    for (const name of REGISTERING) this.replace(instance, name, register => followingAll(register, following));
  }

  /** Wraps the handlers that a router, or Express itself, has got by other ways. Applications inside of it stay unchanged. */
  followLayers(stack: unknown): void {
    if (!Array.isArray(stack)) return;
    for (const layer of stack as ExpressPart[]) {
      const { handle, route } = layer;
      if (route !== undefined) this.followLayers(route.stack);
      else if (typeof handle === 'function' && 'stack' in handle) this.followLayers(handle.stack);
      else if (typeof handle === 'function' && !('handle' in handle) && !isNests(handle) && !layers.has(handle) && !isRequestHook(handle)) {
        this.kept.push(replaceMethod(layer, 'handle', () => this.wrapLayer(handle) as Method));
      }
    }
  }

  private followFastify(instance: FastifyInstance): void {
    const { wrap, wrapLayer } = this;
    // The instances that plugins receive inherit this method. Fastify loads plugins until the application listens.
    const adding = replaceMethod(instance, 'addHook', addHook => {
      return function (...args) {
        const [name, hook, ...rest] = args;
        if (!HOOKS.includes(name as string)) return addHook.apply(this, args);
        const isContainer = typeof hook === 'function' && RUN_MIDDLEWARE.has(hook.name);
        const plugin = pluginOf(this);
        return addHook.apply(this, [name, isContainer ? wrap(hook, 0) : wrapLayer(hook, { hook: name as string, plugin }, 0), ...rest]);
      };
    });
    let isFollowing = true;
    this.kept.push(adding, () => void (isFollowing = false));
    instance.addHook('onRoute', route => {
      if (!isFollowing) return;
      if (route.handler !== undefined) route.handler = wrap(route.handler, 0);
      for (const hook of HOOKS) if (route[hook] !== undefined) route[hook] = wrapLayer(route[hook], { hook }, 0);
    });
  }

  private replaceFirst(adapter: object, name: string, wrap: (handler: unknown) => unknown): void {
    const { onNestsTurn } = this;
    this.replace(adapter, name, set => {
      return function (handler, ...rest) {
        return onNestsTurn(() => set.call(this, wrap(handler), ...rest));
      };
    });
  }

  /** Express gets a handler of Nest in further functions of Nest, which are no layers of the user. */
  private readonly onNestsTurn = <T>(register: () => T): T => {
    this.isNestsTurn = true;
    try {
      return register();
    } finally {
      this.isNestsTurn = false;
    }
  };

  private replace(owner: object, name: string, wrap: (method: Method) => Method): void {
    this.undo.push(replaceMethod(owner, name, wrap));
  }
}

/** Returns true for the layer by which Nest's adapter calls its request hook. */
function isRequestHook(handle: Function): boolean {
  return handle.name === '' && Function.prototype.toString.call(handle).includes('onRequestHook');
}

/** Returns the name of the plugin that Fastify loads at the moment. `instance` is the one that the plugin has got. */
function pluginOf(instance: unknown): string | undefined {
  const { pluginName } = instance as { readonly pluginName?: unknown };
  const last = typeof pluginName === 'string' ? pluginName.split(' -> ').at(-1) : undefined;
  // Fastify names a plugin without a name by its file or its code.
  return last !== 'fastify' && last !== undefined && /^[\w@][\w./-]*$/.test(last) ? last : undefined;
}

function followingAll(register: Method, following: (argument: unknown) => unknown): Method {
  return function (...args) {
    return register.apply(this, args.map(following));
  };
}

const INTERCEPTORS = '__interceptors__';

/**
 * Wraps every interceptor that is known before Nest registers routes, except our own. An interceptor may delay a request. The handler still
 * runs in the context of that request.
 */
export function followInterceptors(application: TracingApplication, { modules, config, interceptor: ours }: NestSeams): Undo {
  const owners = new Set<object | undefined>();
  const add = (interceptor: unknown): void => {
    if (typeof interceptor === 'function') owners.add(interceptor.prototype as object | undefined);
    else if (typeof interceptor === 'object' && interceptor !== null) owners.add(interceptor);
  };
  config.getGlobalInterceptors().forEach(add);
  for (const { metatype } of config.getGlobalRequestInterceptors()) add(metatype);
  classesOf(modules, 'injectables').forEach(add);
  for (const controller of classesOf(modules, 'controllers')) declaredOn(controller).forEach(add);
  owners.delete(ours);
  return undoAll([...owners].filter(isFollowable).map(owner => follow(owner, application)));
}

function isFollowable(owner: object | undefined): owner is object {
  return typeof (owner as { intercept?: unknown } | undefined)?.intercept === 'function' && Object.isExtensible(owner);
}

/** Returns the interceptors in the decorators of a controller and its handlers. Only the decorators know interceptor instances. */
function declaredOn(controller: Function): unknown[] {
  const prototype = controller.prototype as object;
  const methods = Object.getOwnPropertyNames(prototype).map(name => Object.getOwnPropertyDescriptor(prototype, name)?.value as unknown);
  return [controller, ...methods].flatMap(target =>
    typeof target === 'function' ? ((Reflect.getMetadata(INTERCEPTORS, target) ?? []) as unknown[]) : [],
  );
}

function follow(owner: object, application: TracingApplication): Undo {
  return replaceMethod(owner, 'intercept', intercept =>
    wrapMethod(intercept, function (this: unknown, ...args: unknown[]): unknown {
      // The application may call the method by itself, with anything.
      const [execution, next] = args as [ExecutionContext | undefined, CallHandler | null | undefined];
      if (next !== undefined && next !== null && execution?.getType?.() === 'http') keepContext(execution, next, application);
      return intercept.apply(this, args);
    }),
  );
}

/** Needs no undo: Nest creates a new `next` for each call. */
function keepContext(execution: ExecutionContext, next: CallHandler, application: TracingApplication): void {
  const { handle } = next;
  const work = requestWorkIn(execution.getArgs<unknown[]>()[0], application);
  if (work === undefined || typeof handle !== 'function') return;
  Reflect.set(next, 'handle', () => {
    const ownContext = contextToReturnTo(work);
    return ownContext === undefined ? handle.call(next) : inContext(ownContext, handle as Method, next);
  });
}
