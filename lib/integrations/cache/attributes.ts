/** Attributes of calls of a cache. The semantic conventions have none, so these are named as Sentry names them. Keys are never recorded. */
import type { Attributes } from '@opentelemetry/api';

/** `isHit`: true if all values came out of the cache. */
export function hitAttributes(isHit: boolean): Attributes {
  return { 'cache.hit': isHit };
}
