/** Finds out whether OpenTelemetry's instrumentation of graphql is at work, so that operations and resolvers get no second span. */
import module from 'node:module';

/** It replaces `execute` where graphql defines it, by a function that it marks. */
export function isGraphqlInstrumented(): boolean {
  const { _cache: cache } = module as unknown as { _cache?: Record<string, { exports?: { execute?: unknown } } | undefined> };
  if (cache === undefined) return false;
  return Object.keys(cache).some(file => {
    if (!/[\\/]graphql[\\/]execution[\\/]execute\.js$/.test(file)) return false;
    const execute: unknown = cache[file]?.exports?.execute;
    return typeof execute === 'function' && '__wrapped' in execute && execute.__wrapped === true;
  });
}
