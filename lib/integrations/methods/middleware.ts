/** Traces the middleware that modules apply: classes, and functions by their names. */
import { isTouchable } from '../../wrapping/has-methods.js';
import type { NestSeams } from '../../nest/integration.js';
import { replaceMethod } from '../../wrapping/replace-method.js';
import { replaceOnPrototype } from '../../wrapping/shared-installation.js';
import { isMethod } from './class-methods.js';
import { modulesApart } from './declared-classes.js';
import { tracedFunction } from './layers.js';

/** Wraps `configure()` of modules, which gets what middleware is applied to. */
export function traceMiddleware(nest: NestSeams, addStep: (middleware: Function) => void): void {
  const apart = modulesApart(nest.modules);
  const found = [...nest.modules.values()].map(({ metatype }) => metatype as Function);
  for (const moduleClass of new Set(found.filter(one => !apart.has(one)))) {
    const configure: unknown = (moduleClass.prototype as { readonly configure?: unknown }).configure;
    if (!isMethod(configure)) continue;
    nest.whileInForce(() =>
      replaceOnPrototype(moduleClass, ['configure'], original => {
        return function (consumer, ...rest) {
          // Each module gets a consumer of its own.
          if (isTouchable(consumer)) {
            replaceMethod(consumer, 'apply', apply => {
              return function (...middleware) {
                return Reflect.apply(
                  apply,
                  this,
                  middleware.flat().map(one => traced(one, addStep)),
                );
              };
            });
          }
          return Reflect.apply(original, this, [consumer, ...rest]);
        };
      }),
    );
  }
}

function traced(middleware: unknown, addStep: (middleware: Function) => void): unknown {
  if (typeof middleware !== 'function') return middleware;
  if (isMethod((middleware.prototype as { readonly use?: unknown } | undefined)?.use)) {
    addStep(middleware);
    return middleware;
  }
  return isMethod(middleware) ? tracedFunction(middleware, middleware.name || 'middleware') : middleware;
}
