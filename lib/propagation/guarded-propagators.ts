/** Runs several propagators as one: who wins when several bring a span, and that none can break a request. */
import { type Context, type TextMapGetter, type TextMapPropagator, type TextMapSetter, trace } from '@opentelemetry/api';
import { reportTrouble } from '../local/trouble.js';
import { isSuppressed } from '../local/work.js';
import { classOf } from '../tracing.checks.js';
import { messages } from '../tracing.messages.js';
import { RANDOM, withRandomFlag } from './random-flag.js';
import { StrictTraceContextPropagator } from './trace-context.propagator.js';

/**
 * All write. On the way in each adds what it finds, a later one over an earlier one; the `fallback`, one of them, is asked only where no
 * other brought a span.
 * @internal
 */
export class GuardedPropagators implements TextMapPropagator {
  /** @param ownTracesAreRandom whether traces that begin in this process have ids from a random generator */
  constructor(
    private readonly writers: readonly TextMapPropagator[],
    private readonly readers: readonly TextMapPropagator[],
    private readonly fallback: TextMapPropagator | undefined,
    private readonly ownTracesAreRandom: boolean,
  ) {}

  inject(ctx: Context, carrier: unknown, setter: TextMapSetter): void {
    if (isSuppressed(ctx)) return;
    for (const propagator of this.writers) {
      try {
        propagator.inject(ctx, carrier, setter);
      } catch (error) {
        this.report(propagator, 'inject', error);
      }
    }
  }

  extract(ctx: Context, carrier: unknown, getter: TextMapGetter): Context {
    let found = ctx;
    for (const propagator of this.readers) found = this.read(propagator, found, carrier, getter);
    if (this.fallback === undefined || trace.getSpan(found) !== trace.getSpan(ctx)) return found;
    return this.read(this.fallback, found, carrier, getter);
  }

  fields(): string[] {
    return [...new Set(this.writers.flatMap(propagator => propagator.fields()))];
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
    const name = classOf(propagator);
    reportTrouble(`propagator:${name}.${method}`, messages.propagatorFailed(name, method), error);
  }
}
