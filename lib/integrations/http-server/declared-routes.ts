/** Finds the declared route of a request. Nest routes announce themselves before guards run; the framework knows all other routes. */
import type { Attributes } from '@opentelemetry/api';
import { VersioningType } from '@nestjs/common';
import type { AbstractHttpAdapter, ApplicationConfig } from '@nestjs/core';
import { codeAttributes, codeName } from '../../conventions/code.js';
import { type DeclaredHandler, declaredHandler } from '../../nest/handlers.js';
import { inContext } from '../../spans/context.js';
import type { TracingApplication } from '../../spans/work.js';
import { type Method, replaceMethod, type Undo, undoAll, wrapMethod } from '../../wrapping/replace-method.js';
import { routeAttributes } from './attributes.js';
import { expressRoute, joined } from './express-route.js';
import type { IncomingMessage } from './http-messages.js';
import { REGISTERING, type RequestSeams } from './request-seams.js';
import { contextToReturnTo, type RequestWork, requestWorkIn, RPC_METADATA } from './request-work.js';

/** Fastify's own request. It knows the matched route from the start, but builds `routeOptions` anew at each read. */
export interface FastifyRequest {
  readonly params?: unknown;
  readonly body?: unknown;
  readonly routeOptions?: { readonly url?: string; readonly schema?: unknown };
}

/** A route as the user declared it. */
interface Route {
  /** Includes global prefix, version and module path. Undefined if the mount path of the application is unknown. */
  readonly path: string | undefined;
  /** True if the handler of this route certainly serves the request. If false, a header or the host may still select another route. */
  readonly isDecided: boolean;
  /** True if the handler or its controller has `@NoSpan()`. */
  readonly isUntraced: boolean;
  /** Set on the span of each request that the route serves. */
  readonly attributes: Attributes;
  /** The part of {@link attributes} that names the handler. */
  readonly handlerAttributes: Attributes;
  /** The same route in a mounted application. The key is the template of the mount path. */
  readonly mounted: Map<string | undefined, Route>;
}

/**
 * Wraps the adapter's registering methods. It does not use Nest's route hook: on Nest 11, handlers that pass through that hook lose the
 * version, constraints and configuration that Fastify reads from them.
 */
export class DeclaredRoutes {
  /** Declared paths. The key is the path after the adapter has normalized it. */
  private readonly declarations = new Map<unknown, string>();
  private readonly undo: Undo[] = [];
  /** The prefix of the Fastify plugin that contains the application. */
  private prefix = '';

  /** Restores the adapter's methods. */
  readonly stop = undoAll(this.undo);

  constructor(
    private readonly application: TracingApplication,
    private readonly config: ApplicationConfig,
    readonly seams: RequestSeams,
  ) {}

  /** Makes each Nest route that `adapter` registers from now on announce itself to its requests. */
  follow(adapter: AbstractHttpAdapter): void {
    const { announcing, declarations } = this;
    const { prefix } = (adapter.getInstance<object | undefined>() ?? {}) as { readonly prefix?: unknown };
    if (typeof prefix === 'string') this.prefix = prefix;
    const registering = REGISTERING.map(name =>
      replaceMethod(adapter, name, register => {
        return function (...args) {
          return register.apply(this, announcing(args));
        };
      }),
    );
    const normalizing = replaceMethod(adapter, 'normalizePath', normalize => {
      return function (path) {
        const normalized = normalize.call(this, path);
        declarations.set(normalized, String(path));
        return normalized;
      };
    });
    this.undo.push(...registering, normalizing);
  }

  /** Returns the declared path of the route that the framework matched. Returns undefined if it says no more than the request's path. */
  matched(request: IncomingMessage, fastify: FastifyRequest | undefined): string | undefined {
    const { framework, applications } = this.seams;
    const ofExpress = expressRoute(request, framework, applications);
    if (ofExpress !== undefined) return ofExpress;
    const { url, schema } = fastify?.routeOptions ?? {};
    const isOfPreflights = url === '*' && request.method === 'OPTIONS';
    if (url === undefined || isOfPreflights || isFile(url, schema)) return undefined;
    const declaration = this.declarations.get(url.startsWith(this.prefix) ? url.slice(this.prefix.length) : url);
    return declaration === undefined ? url : joined(this.prefix, declaration);
  }

  /** Replaces a controller's handler, in the arguments of a registration, by one that announces its route to each request. */
  private readonly announcing = (args: unknown[]): unknown[] => {
    const [path, handler] = args;
    if (typeof path !== 'string' || typeof handler !== 'function') return args;
    const declared = declaredHandler(handler);
    if (declared === undefined) return args;
    const { application, seams } = this;
    const route = this.routeOf(joined(this.prefix, this.declarations.get(path) ?? path), declared);
    const announced = function (this: unknown, ...request: unknown[]): unknown {
      const work = requestWorkIn(request[0], application);
      const ownContext = contextToReturnTo(work);
      announce(route, work, route.isDecided);
      const result: unknown =
        ownContext === undefined ? Reflect.apply(handler, this, request) : inContext(ownContext, handler as Method, this, ...request);
      // Nest's handler returns a promise if it serves the request. It returns none if a header or the host selects another route.
      if (!route.isDecided && result instanceof Promise) announce(route, work, true);
      return result;
    };
    return [path, seams.own(wrapMethod(handler, announced)), ...args.slice(2)];
  };

  private routeOf(path: string, { className, method, isUntraced, hasHost }: DeclaredHandler): Route {
    const versioning = this.config.getVersioning();
    const isDecided = !hasHost && (versioning === undefined || versioning.type === VersioningType.URI);
    const handlerAttributes = codeAttributes(codeName(className, method));
    return {
      path,
      isDecided,
      isUntraced,
      handlerAttributes,
      attributes: { ...routeAttributes(path), ...handlerAttributes },
      mounted: new Map(),
    };
  }
}

/** Recognizes a file of @fastify/static, which gives each file a route and hides it from documentation. */
function isFile(url: string, schema: unknown): boolean {
  return (schema as { readonly hide?: unknown } | undefined)?.hide === true && /\.[^/:*]+$/.test(url);
}

/** Tells a request that `route` was entered. If `isDecided` is false, another route may still serve the request. */
function announce(route: Route, work: RequestWork | undefined, isDecided: boolean): void {
  const traced = work?.inbound;
  if (work === undefined || traced === undefined || traced.passthrough !== undefined) return;
  const { path, attributes } = work.mount === '' ? route : mountedRoute(route, work.mount);
  if (!isDecided) traced.perhapsRouted(path);
  else if (route.isUntraced) traced.abandon();
  else if (route.isDecided) traced.routed(path, attributes, true);
  else traced.decided(path, attributes);
  if (!isDecided || route.isUntraced) return;
  const metadata = (work.reached ?? work.context).getValue(RPC_METADATA) as { route?: string } | undefined;
  if (metadata !== undefined && path !== undefined) metadata.route = path;
}

/** Adds `mount` to the path of `route`. It is undefined if the mount path is unknown. */
function mountedRoute(route: Route, mount: string | undefined): Route {
  let mounted = route.mounted.get(mount);
  if (mounted === undefined) {
    const path = mount === undefined || route.path === undefined ? undefined : joined(mount, route.path);
    mounted = {
      ...route,
      path,
      attributes: path === undefined ? route.handlerAttributes : { ...routeAttributes(path), ...route.handlerAttributes },
    };
    route.mounted.set(mount, mounted);
  }
  return mounted;
}
