/** Which controller method serves a declared route: known before guards and pipes run, so that their refusals carry it as well. */
import type { Attributes } from '@opentelemetry/api';
import type { ApplicationConfig, ModulesContainer } from '@nestjs/core';
import { RequestMethod, VERSION_NEUTRAL, VersioningType } from '@nestjs/common';
import { codeAttributes } from '../conventions/code.js';
import { routeAttributes } from '../conventions/http-server.js';
import { isNoSpan } from '../local/no-span.decorator.js';
import { controllerHandlers } from './controller-handlers.js';

/** One handler as the user declared it. */
export interface Handler {
  readonly className: string;
  readonly method: string;
  readonly isUntraced: boolean;
}

/** A declared route with the one handler that serves it. */
export interface Route extends Handler {
  /** Of every request's span on this route. */
  readonly attributes: Attributes;
}

/**
 * Maps (request method, declared path) to the handler. Routes that only a header, a media type or a host tells apart share one path:
 * for them there is no answer, and the handler makes itself known when it is called.
 */
export class HandlerTable {
  private table: Map<string, Route | undefined> | undefined;
  private readonly paths = new Set<string>();

  constructor(
    private readonly modules: ModulesContainer,
    private readonly config: ApplicationConfig,
  ) {}

  find(requestMethod: number, path: string): Route | undefined {
    this.table ??= this.build();
    return this.table.get(path + requestMethod);
  }

  /** Whether a path is one that controllers declare, under whatever method. */
  declares(path: string): boolean {
    this.table ??= this.build();
    return this.paths.has(path);
  }

  private build(): Map<string, Route | undefined> {
    const table = new Map<string, Route | undefined>();
    for (const module of this.modules.values()) {
      const modulePath = String(
        Reflect.getMetadata(MODULE_PATH + this.modules.applicationId, module.metatype) ??
          Reflect.getMetadata(MODULE_PATH, module.metatype) ??
          '',
      );
      for (const { metatype } of module.controllers.values()) {
        if (typeof metatype === 'function') this.addController(table, metatype, modulePath);
      }
    }
    return table;
  }

  private addController(table: Map<string, Route | undefined>, controller: Function, modulePath: string): void {
    for (const { method, callback } of controllerHandlers(controller)) {
      const requestMethod = Number(Reflect.getMetadata('method', callback) ?? RequestMethod.GET);
      const handler: Handler = { className: controller.name, method, isUntraced: isNoSpan(controller, method) };
      for (const path of this.pathsOf(controller, callback, modulePath)) {
        this.paths.add(path);
        const key = path + requestMethod;
        const known = table.get(key);
        const isSame = known?.className === handler.className && known.method === method;
        const attributes = { ...routeAttributes(path), ...codeAttributes(handler.className, method) };
        table.set(key, table.has(key) && !isSame ? undefined : { ...handler, attributes });
      }
    }
  }

  /** As Nest's router composes them: prefix, version, module path, controller path, method path. */
  private *pathsOf(controller: Function, callback: Function, modulePath: string): Generator<string> {
    const prefix = this.config.getGlobalPrefix();
    const prefixes = prefix && this.config.getGlobalPrefixOptions().exclude?.length ? [prefix, ''] : [prefix];
    for (const globalPrefix of prefixes) {
      for (const version of this.versionsOf(controller, callback)) {
        for (const controllerPath of listOf(Reflect.getMetadata('path', controller))) {
          for (const methodPath of listOf(Reflect.getMetadata('path', callback))) {
            yield joinPaths([globalPrefix, version, modulePath, controllerPath, methodPath]);
          }
        }
      }
    }
  }

  private versionsOf(controller: Function, callback: Function): string[] {
    const versioning = this.config.getVersioning();
    if (versioning?.type !== VersioningType.URI) return [''];
    const declared: unknown =
      Reflect.getMetadata('__version__', callback) ?? Reflect.getMetadata('__version__', controller) ?? versioning.defaultVersion;
    const prefix = versioning.prefix === false ? '' : (versioning.prefix ?? 'v');
    return listOf(declared).map(version => (version === VERSION_NEUTRAL || version === '' ? '' : prefix + String(version)));
  }
}

const MODULE_PATH = '__module_path__';

function listOf(value: unknown): unknown[] {
  if (value === undefined) return [''];
  return Array.isArray(value) ? (value as unknown[]) : [value];
}

function joinPaths(parts: readonly unknown[]): string {
  let path = '';
  for (const part of parts) {
    if (typeof part !== 'string' || part === '' || part === '/') continue;
    path += part.startsWith('/') ? part : `/${part}`;
    if (path.endsWith('/')) path = path.slice(0, -1);
  }
  return path || '/';
}
