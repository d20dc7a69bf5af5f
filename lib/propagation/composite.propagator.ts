/** Reads and writes all chosen header formats as one. */
import type { TextMapPropagator } from '@opentelemetry/api';
import { W3CBaggagePropagator } from '@opentelemetry/core';
import { StrictB3Propagator } from './b3.propagator.js';
import { GuardedPropagators } from './guarded-propagators.js';
import type { PropagatorName } from './propagator-choice.js';
import { StrictTraceContextPropagator } from './trace-context.propagator.js';

/**
 * One propagator for a list of formats: all are written; B3 is read only where no other format brought a span.
 * @param ownTracesAreRandom whether traces that begin in this process have ids from a random generator
 * @internal
 */
export function createPropagator(formats: readonly (PropagatorName | TextMapPropagator)[], ownTracesAreRandom = false): TextMapPropagator {
  const all = formats.filter(format => format !== 'none').map(format => named(format, ownTracesAreRandom));
  const isB3 = (propagator: TextMapPropagator) => propagator instanceof StrictB3Propagator;
  // Either B3 propagator reads both forms.
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
