/** Reads and writes all chosen header formats as one: who wins when several come in, and that none can break a request. */
import { type Context, type TextMapGetter, type TextMapPropagator, type TextMapSetter, trace } from '@opentelemetry/api';
import { W3CBaggagePropagator } from '@opentelemetry/core';
import { reportTrouble } from '../local/trouble.js';
import { isSuppressed } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import { StrictB3Propagator } from './b3.propagator.js';
import type { PropagatorName } from './propagator-choice.js';
import { RANDOM, withRandomFlag } from './random-flag.js';
import { StrictTraceContextPropagator } from './trace-context.propagator.js';

/**
 * One propagator for a list of formats. All are written. On the way in each adds what it finds, a later one over an earlier one;
 * B3 is looked at only where no other format brought a span.
 * @param ownTracesAreRandom whether traces that begin in this process have ids from a random generator
 * @internal
 */
export function createPropagator(formats: readonly (PropagatorName | TextMapPropagator)[], ownTracesAreRandom = false): TextMapPropagator {
  const propagators = formats.filter(format => format !== 'none').map(format => named(format, ownTracesAreRandom));
  return new GuardedPropagators(propagators, ownTracesAreRandom);
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

class GuardedPropagators implements TextMapPropagator {
  private readonly first: readonly TextMapPropagator[];
  private readonly b3: TextMapPropagator | undefined;

  constructor(
    private readonly all: readonly TextMapPropagator[],
    private readonly ownTracesAreRandom: boolean,
  ) {
    this.first = all.filter(propagator => !(propagator instanceof StrictB3Propagator));
    // Both forms are read by either.
    this.b3 = all.find(propagator => propagator instanceof StrictB3Propagator);
  }

  inject(ctx: Context, carrier: unknown, setter: TextMapSetter): void {
    if (isSuppressed(ctx)) return;
    for (const propagator of this.all) {
      try {
        propagator.inject(ctx, carrier, setter);
      } catch (error) {
        this.report(propagator, 'inject', error);
      }
    }
  }

  extract(ctx: Context, carrier: unknown, getter: TextMapGetter): Context {
    let found = ctx;
    for (const propagator of this.first) found = this.read(propagator, found, carrier, getter);
    if (this.b3 === undefined || trace.getSpan(found) !== trace.getSpan(ctx)) return found;
    return this.read(this.b3, found, carrier, getter);
  }

  fields(): string[] {
    return [...new Set(this.all.flatMap(propagator => propagator.fields()))];
  }

  private read(propagator: TextMapPropagator, ctx: Context, carrier: unknown, getter: TextMapGetter): Context {
    try {
      const found = propagator.extract(ctx, carrier, getter);
      if (found === ctx || propagator instanceof StrictTraceContextPropagator) return found;
      if (typeof found?.getValue !== 'function') throw new TypeError('no context was returned');
      if (!this.ownTracesAreRandom) return found;
      // Formats other than W3C say nothing about randomness, so the trace must not pass for one of our own.
      const span = trace.getSpanContext(found);
      const isNew = span !== undefined && trace.getSpan(found) !== trace.getSpan(ctx);
      return isNew ? withRandomFlag(found, span.traceId, (span.traceFlags & RANDOM) !== 0) : found;
    } catch (error) {
      this.report(propagator, 'extract', error);
      return ctx;
    }
  }

  private report(propagator: TextMapPropagator, method: string, error: unknown): void {
    const name = propagator.constructor.name;
    reportTrouble(`propagator:${name}.${method}`, messages.propagatorFailed(name, method), error);
  }
}
