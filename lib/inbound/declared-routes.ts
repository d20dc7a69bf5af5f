/** Follows Nest's router while it registers routes, so that each one tells its request which declaration it is, before guards and pipes run. */
import type { Attributes } from '@opentelemetry/api';
import { VersioningType } from '@nestjs/common';
import type { AbstractHttpAdapter, ApplicationConfig } from '@nestjs/core';
import { codeAttributes } from '../conventions/code.js';
import { routeAttributes } from '../conventions/http-server.js';
import { wrapMethod } from '../local/wrap-method.js';
import { type DeclaredHandler, declaredHandler } from './controller-handlers.js';

/** A route as the user declared it. */
export interface Route {
  /** With global prefix, version and module path. */
  readonly path: string;
  /** Whether this route's handler serves the request for certain; else a header or host may still lead to another one. */
  readonly isDecided: boolean;
  /** `@NoSpan()` stands on the handler or its controller. */
  readonly isUntraced: boolean;
  /** Of every request's span: the route's, and the handler's where it is decided. */
  readonly attributes: Attributes;
}

type Method = (this: unknown, ...args: unknown[]) => unknown;

const REGISTERING = [
  ...['get', 'post', 'put', 'delete', 'patch', 'all', 'options', 'head', 'search', 'query', 'use'],
  ...['propfind', 'proppatch', 'mkcol', 'copy', 'move', 'lock', 'unlock'],
];

/**
 * The adapter's own methods are followed, not its route hook: on Nest 11 a handler under that hook reaches the adapter without the
 * version, constraints and configuration that Fastify reads from it.
 */
export class DeclaredRoutes {
  private readonly paths = new Set<string>();
  /** What the user declared, by what the adapter made of it. */
  private readonly declarations = new Map<unknown, string>();
  private readonly undo: (() => void)[] = [];

  constructor(
    private readonly config: ApplicationConfig,
    private readonly onRequest: (route: Route) => void,
  ) {}

  /** From now on routes that the adapter is given announce their requests. */
  follow(adapter: AbstractHttpAdapter): void {
    const { announcing, declarations } = this;
    for (const name of REGISTERING) {
      this.replace(adapter, name, register => {
        return function (this: unknown, ...args: unknown[]): unknown {
          return Reflect.apply(register, this, announcing(args));
        };
      });
    }
    this.replace(adapter, 'normalizePath', normalize => {
      return function (this: unknown, path: unknown): unknown {
        const normalized: unknown = Reflect.apply(normalize, this, [path]);
        declarations.set(normalized, String(path));
        return normalized;
      };
    });
  }

  /** The adapter's methods are its own again. */
  stop(): void {
    for (const step of this.undo.splice(0)) step();
  }

  /** Whether a path, as the adapter knows it, was registered through Nest: by a controller, or for middleware. */
  includes(path: string): boolean {
    return this.paths.has(path);
  }

  /** The arguments of a registration, with a handler that announces each request if it is a controller's. */
  private readonly announcing = (args: unknown[]): unknown[] => {
    const [path, handler] = args;
    if (typeof path !== 'string' || typeof handler !== 'function') return args;
    const declared = declaredHandler(handler);
    this.paths.add(path);
    if (declared === undefined) return args;
    const route = this.routeOf(this.declarations.get(path) ?? path, declared);
    const { onRequest } = this;
    const announced = function (this: unknown, ...request: unknown[]): unknown {
      onRequest(route);
      return Reflect.apply(handler, this, request);
    };
    return [path, wrapMethod(handler, announced), ...args.slice(2)];
  };

  private routeOf(path: string, { className, method, isUntraced, hasHost }: DeclaredHandler): Route {
    const versioning = this.config.getVersioning();
    const isDecided = !hasHost && (versioning === undefined || versioning.type === VersioningType.URI);
    const attributes = isDecided ? { ...routeAttributes(path), ...codeAttributes(className, method) } : routeAttributes(path);
    return { path, isDecided, isUntraced, attributes };
  }

  private replace(adapter: AbstractHttpAdapter, name: string, make: (original: Method) => Method): void {
    const members = adapter as unknown as Record<string, unknown>;
    const original = members[name];
    if (typeof original !== 'function') return;
    const isOwn = Object.hasOwn(members, name);
    const replacement = make(original as Method);
    members[name] = replacement;
    this.undo.push(() => {
      if (members[name] !== replacement) return;
      if (isOwn) members[name] = original;
      else Reflect.deleteProperty(members, name);
    });
  }
}
