/** Runs several propagators as one: defines which one wins if several find a span, and catches their errors. */
import { type Context, type TextMapGetter, type TextMapPropagator, type TextMapSetter, trace } from '@opentelemetry/api';
import { reportTrouble } from '../options/trouble.js';
import { classOf } from '../options/checks.js';
import { messages } from '../options/messages.js';
import { isSuppressed, RANDOM, withRandomFlag } from './context-values.js';
import { StrictTraceContextPropagator } from './trace-context.propagator.js';

/**
 * All `writers` write. Each of the `readers` adds the values that it finds; a later one overrides an earlier one. `fallback` is one of the
 * writers and reads only if no reader finds a span. @internal
 */
export class GuardedPropagators implements TextMapPropagator {
  /** @param ownTracesAreRandom true if traces that begin in this process have random ids */
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
      // Other formats than W3C do not say whether the id is random. Without this mark, the trace would count as our own.
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
