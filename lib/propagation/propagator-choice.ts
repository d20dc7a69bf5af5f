/** Decides which header formats are read and written: what the option says, else the environment, else the default. */
import type { TextMapPropagator } from '@opentelemetry/api';
import { hasMethods, list, refuse } from '../tracing.checks.js';
import { readNames } from '../tracing.environment.js';

/** A header format by name. `b3` reads both B3 forms and writes the single header, `b3multi` writes `X-B3-*`. @publicApi */
export type PropagatorName = 'tracecontext' | 'baggage' | 'b3' | 'b3multi' | 'none';

const NAMES = ['tracecontext', 'baggage', 'b3', 'b3multi', 'none'] as const satisfies readonly PropagatorName[];
const DEFAULT: readonly PropagatorName[] = ['tracecontext', 'baggage', 'b3'];

/** The formats of the option `propagators`, each once; `none` is an empty list. @internal */
export function choosePropagators(given: unknown, env: NodeJS.ProcessEnv): readonly (PropagatorName | TextMapPropagator)[] {
  const asked = given === undefined ? (readNames(env, 'OTEL_PROPAGATORS', NAMES) ?? DEFAULT) : inCode(given);
  return [...new Set(asked)].filter(one => one !== 'none');
}

function inCode(given: unknown): readonly (PropagatorName | TextMapPropagator)[] {
  const asked = list('propagators', given, 'names and propagators', propagator);
  if (asked.includes('none') && asked.length > 1) refuse('propagators', 'none', 'it alone in the list, or a list without it');
  return asked;
}

function propagator(path: string, value: unknown): PropagatorName | TextMapPropagator {
  if ((NAMES as readonly unknown[]).includes(value)) return value as PropagatorName;
  if (hasMethods(value, ['inject', 'extract', 'fields'])) return value as TextMapPropagator;
  return refuse(path, value, `one of ${NAMES.join(', ')}, or a propagator with inject(), extract() and fields()`);
}
