/** Recognizes what an official OpenTelemetry instrumentation has wrapped, and its spans: it makes the spans of statements then. */
import Module from 'node:module';
import type { Span } from '@opentelemetry/api';
import { memberAt } from '../../conventions/peer.js';

/** Returns true if another instrumentation has wrapped `method`. It marks its wrapper with `__wrapped`. */
export function isWrappedByOthers(method: object): boolean {
  return '__wrapped' in method && method.__wrapped === true;
}

/** Instrumentations of libraries above drivers. The last one is Prisma's own. */
const ORMS = /instrumentation-(?:knex|typeorm|sequelize)$|^prisma$/;

/** Returns true if the instrumentation of a library above a driver has made the span. What the driver sends inside of it needs no other. */
export function isOfOfficialOrm(span: Span | undefined): boolean {
  const scope = memberAt(span, 'instrumentationScope', 'name');
  return typeof scope === 'string' && ORMS.test(scope);
}

/** Node's modules that were loaded by `require`. Instrumentations wrap only these, and never those of bundles and of jest. */
const cache = (Module as { _cache?: Record<string, { exports: unknown } | undefined> })._cache ?? {};
const found = new Map<string, readonly unknown[]>();

/**
 * Returns the exports of each loaded copy of a file, such as `mysql2/lib/connection.js`. The search runs once for each file, so it must be called
 * when the library is loaded.
 */
export function loadedModules(file: string): readonly unknown[] {
  let modules = found.get(file);
  if (modules === undefined) {
    const end = `/node_modules/${file}`;
    const names = Object.keys(cache).filter(name => name.replaceAll('\\', '/').endsWith(end));
    found.set(file, (modules = names.map(name => cache[name]?.exports)));
  }
  return modules;
}
