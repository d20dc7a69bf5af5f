/** Traces connections and pools that providers are or hold, those of `traceDatabase()`, and libraries that announce their statements. */
import type { NestSeams } from '../../nest/integration.js';
import { messages } from '../../options/messages.js';
import type { TracingApplication } from '../../spans/work.js';
import { isTouchable } from '../../wrapping/has-methods.js';
import type { ProviderTracing } from '../../wrapping/provider-search.js';
import { installForGood } from '../../wrapping/shared-installation.js';
import { installOn, listenToChannels, traceableIn } from './libraries.js';
import { endUnfinished } from './query.js';

/** Traces the databases of an application. */
export function instrument(application: TracingApplication, nest: NestSeams): void {
  if (application.databases === undefined) return;
  nest.eachProvider(instances);
  nest.onInit(() => nest.whileInForce(listenToChannels));
  nest.onClose(() => endUnfinished(application));
}

/** Traces an object that a user has given to `traceDatabase()`. Throws a TypeError if it belongs to no library. */
export function traceInstance(database: unknown): void {
  const traceable = traceableIn(database);
  if (traceable === undefined) throw new TypeError(messages.notADatabase(database));
  try {
    installForGood(traceable.target, () => installOn(traceable));
  } catch (cause) {
    throw Object.isExtensible(traceable.target) ? cause : new TypeError(messages.frozenDatabase(), { cause });
  }
}

const instances: ProviderTracing = {
  everyInstance: true,
  looksInside: true,
  find: ({ instance, isStatic, members }) => [instance, ...members].flatMap(value => targetIn(value, isStatic) ?? []),
  install(target) {
    const traceable = traceableIn(target);
    return traceable === undefined ? () => undefined : installOn(traceable);
  },
};

/** Classes and objects that belong to no library. Nest may make a provider for each request, and most hold the same objects. */
const others = new WeakSet<object>();

function targetIn(value: object, isStatic: boolean): object | undefined {
  if (isStatic || !isTouchable(value)) return traceableIn(value)?.target;
  const prototype = Object.getPrototypeOf(value) as object | null;
  const key = prototype === null || prototype === Object.prototype ? value : prototype;
  if (others.has(key)) return undefined;
  const target = traceableIn(value)?.target;
  if (target === undefined) others.add(key);
  return target;
}
