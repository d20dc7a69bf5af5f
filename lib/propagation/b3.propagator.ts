/** Carries the trace in B3 headers, Zipkin's and Istio's: OpenTelemetry's propagator behind a check of what comes in. */
import type { Context, TextMapGetter, TextMapPropagator, TextMapSetter } from '@opentelemetry/api';
import { B3InjectEncoding, B3Propagator } from '@opentelemetry/propagator-b3';

// https://github.com/openzipkin/b3-propagation; the longest legal single header has 68 characters.
const SINGLE = /^(?:[0-9a-f]{16}){1,2}-[0-9a-f]{16}(?:-[01d](?:-[0-9a-f]{16})?)?$/;
const TRACE_ID = /^(?:[0-9a-f]{16}){1,2}$/;
const SPAN_ID = /^[0-9a-f]{16}$/;

/** Reads the single header, else the multiple ones, and writes one of the two forms. Headers that break a rule are not there. @internal */
export class StrictB3Propagator implements TextMapPropagator {
  private readonly propagator: B3Propagator;

  constructor(writes: 'single' | 'multi') {
    this.propagator = new B3Propagator({
      injectEncoding: writes === 'single' ? B3InjectEncoding.SINGLE_HEADER : B3InjectEncoding.MULTI_HEADER,
    });
  }

  inject(ctx: Context, carrier: unknown, setter: TextMapSetter): void {
    this.propagator.inject(ctx, carrier, setter);
  }

  extract(ctx: Context, carrier: unknown, getter: TextMapGetter): Context {
    const single: unknown = getter.get(carrier, 'b3');
    const isLegal =
      single === undefined
        ? matches(getter.get(carrier, 'x-b3-traceid'), TRACE_ID) && matches(getter.get(carrier, 'x-b3-spanid'), SPAN_ID)
        : matches(single, SINGLE);
    return isLegal ? this.propagator.extract(ctx, carrier, getter) : ctx;
  }

  fields(): string[] {
    return this.propagator.fields();
  }
}

/** OpenTelemetry's search is not anchored, pads ids of any length and takes the first of several headers. */
function matches(header: unknown, shape: RegExp): boolean {
  const value: unknown = Array.isArray(header) && header.length === 1 ? header[0] : header;
  return typeof value === 'string' && value.length <= 68 && shape.test(value);
}
