/** Creates one propagator for all chosen header formats. */
import type { TextMapPropagator } from '@opentelemetry/api';
import { W3CBaggagePropagator } from '@opentelemetry/core';
import { StrictB3Propagator } from './b3.propagator.js';
import { GuardedPropagators } from './guarded-propagators.js';
import type { PropagatorName } from '../options/tracing-options.js';
import { StrictTraceContextPropagator } from './trace-context.propagator.js';

/**
 * Returns one propagator for a list of formats. It writes all formats. It reads B3 only if no other format has a span.
 * @param ownTracesAreRandom true if traces that begin in this process have random ids @internal
 */
export function createPropagator(formats: readonly (PropagatorName | TextMapPropagator)[], ownTracesAreRandom = false): TextMapPropagator {
  const all = formats.filter(format => format !== 'none').map(format => named(format, ownTracesAreRandom));
  const isB3 = (propagator: TextMapPropagator) => propagator instanceof StrictB3Propagator;
  // One B3 propagator is enough for reading, because each reads both forms.
  return new GuardedPropagators(
    all,
    all.filter(propagator => !isB3(propagator)),
    all.find(isB3),
    ownTracesAreRandom,
  );
}

function named(format: Exclude<PropagatorName, 'none'> | TextMapPropagator, ownTracesAreRandom: boolean): TextMapPropagator {
  switch (format) {
    case 'tracecontext':
      return new StrictTraceContextPropagator(ownTracesAreRandom);
    case 'baggage':
      return new W3CBaggagePropagator();
    case 'b3':
      return new StrictB3Propagator('single');
    case 'b3multi':
      return new StrictB3Propagator('multi');
    default:
      return format;
  }
}
