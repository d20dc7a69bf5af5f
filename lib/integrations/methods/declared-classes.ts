/** Finds the classes that modules declare: of providers, controllers, guards, pipes, interceptors, filters and middleware. */
import type { ModulesContainer } from '@nestjs/core';
import { Tracer } from '../../api/tracer.js';

export interface DeclaredClass {
  readonly classRef: Function;
  /** The class of the module that declares it. */
  readonly moduleClass: Function;
}

/** Yields the classes of all modules except ours and Nest's. Works before Nest has made instances. */
export function* declaredClasses(modules: ModulesContainer): Generator<DeclaredClass> {
  const apart = modulesApart(modules);
  for (const module of modules.values()) {
    const { metatype: moduleClass } = module;
    if (apart.has(moduleClass)) continue;
    for (const place of [module.providers, module.controllers, module.injectables, module.middlewares]) {
      for (const { metatype, isNotMetatype, token } of place.values()) {
        const classRef = typeof metatype === 'function' && !isNotMetatype ? metatype : token;
        // The class that is the token of a factory is mostly the one of its instances, also where they are Proxies.
        if (typeof classRef === 'function') yield { classRef, moduleClass };
      }
    }
  }
}

/** Returns the classes of our own modules, and of the one of Nest. To trace what traces would have no end. */
export function modulesApart(modules: ModulesContainer): Set<Function> {
  const apart = [...modules.values()].filter(({ providers, metatype }) => providers.has(Tracer) || metatype.name === NESTS_OWN);
  return new Set(apart.map(({ metatype }) => metatype));
}

/** The module of Nest whose providers every module can inject. */
const NESTS_OWN = 'InternalCoreModule';
