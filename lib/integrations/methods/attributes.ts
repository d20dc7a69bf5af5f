/** Attributes of the steps of a request. */
import type { Attributes } from '@opentelemetry/api';

/** Steps that classes do. */
export type ClassStep = 'guard' | 'pipe' | 'interceptor' | 'filter' | 'middleware';

/** `reply`: the HTTP adapter writes what the handler has returned. */
export type Step = ClassStep | 'hook' | 'reply';

export function stepAttributes(step: Step): Attributes {
  return { 'nestjs.step': step };
}
