/** Traces caches of `cache-manager`, such as `CACHE_MANAGER`: each call in a request is a span, and the commands of its store are below it. */
import { type Attributes, context, trace } from '@opentelemetry/api';
import type { Integration } from '../../nest/integration.js';
import { runInSpan } from '../../spans/run-in-span.js';
import { applicationIn } from '../../spans/work.js';
import { hasMethods, memberOf } from '../../wrapping/has-methods.js';
import type { ProviderTracing } from '../../wrapping/provider-search.js';
import { type Method, replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { installOnce } from '../../wrapping/shared-installation.js';
import { hitAttributes } from './attributes.js';

export const cache: Integration = {
  name: 'cache',
  install(application, nest) {
    if (application.databases !== undefined) nest.eachProvider(caches);
  },
};

const TRACED = Symbol.for('nestjs-tracing/cache');

const caches: ProviderTracing = {
  everyInstance: true,
  looksInside: true,
  find: ({ instance, members }) => [instance, ...members].filter(isCache),
  install: target => installOnce(target, TRACED, () => installOnCache(target)),
};

/** Up to version 5, a cache has one store. */
function isCache(value: object): boolean {
  return (
    hasMethods(value, 'get', 'set', 'del', 'wrap') && (Array.isArray(memberOf(value, 'stores')) || hasMethods(memberOf(value, 'store')))
  );
}

type Outcome = (result: unknown) => Attributes;

const OUTCOMES: Readonly<Record<string, Outcome | undefined>> = {
  get: value => hitAttributes(isFound(value)),
  mget: values => hitAttributes(Array.isArray(values) && values.every(isFound)),
};

function installOnCache(target: object): Undo {
  const plain = ['get', 'mget', 'set', 'mset', 'del', 'mdel', 'clear', 'reset'].map(name =>
    replaceMethod(target, name, call => {
      return function (...args) {
        return inSpan(name, OUTCOMES[name], call, this, args);
      };
    }),
  );
  return undoAll([...plain, replaceMethod(target, 'wrap', wrapOf)]);
}

function isFound(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** Calls for the same key at the same time share one computation. */
interface Computation {
  calls: number;
  isDone: boolean;
}

/** The value is a miss if it was computed before `wrap` has returned. A value that is about to expire is computed later. */
function wrapOf(wrap: Method): Method {
  const running = new Map<unknown, Computation>();
  return function (...args) {
    const [key, compute, ...others] = args;
    if (typeof compute !== 'function' || !isTraced()) return wrap.apply(this, args);
    const computation = running.get(key) ?? { calls: 0, isDone: false };
    running.set(key, computation);
    computation.calls += 1;
    const computed: Method = async (...given) => {
      const value = await (compute as Method)(...given);
      computation.isDone = true;
      return value;
    };
    const call: Method = async (...given) => {
      try {
        return await wrap.apply(this, given);
      } finally {
        computation.calls -= 1;
        if (computation.calls === 0) running.delete(key);
      }
    };
    return inSpan('wrap', () => hitAttributes(!computation.isDone), call, this, [key, computed, ...others]);
  };
}

/** Outside of a trace, a call gets no span. */
function isTraced(): boolean {
  const active = context.active();
  return applicationIn(active)?.databases !== undefined && trace.getSpan(active) !== undefined;
}

function inSpan(name: string, outcome: Outcome | undefined, call: Method, self: unknown, args: unknown[]): unknown {
  if (!isTraced()) return call.apply(self, args);
  return runInSpan(`cache.${name}`, { options: {}, resultAttributes: outcome }, call, self, args);
}
