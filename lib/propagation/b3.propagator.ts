/**
 * Propagates the trace context in B3 headers, as Zipkin and Istio do. It uses OpenTelemetry's propagator and checks the incoming headers
 * first.
 */
import { type Context, type TextMapGetter, type TextMapPropagator, type TextMapSetter, trace } from '@opentelemetry/api';
import { B3InjectEncoding, B3Propagator } from '@opentelemetry/propagator-b3';
import { forcedDecision, defer, isDeferred, withForcedDecision } from './context-values.js';

// https://github.com/openzipkin/b3-propagation; the longest valid single header has 68 characters.
const SINGLE = /^(?:[0-9a-f]{16}){1,2}-[0-9a-f]{16}(?:-[01d](?:-[0-9a-f]{16})?)?$/;
const UNDECIDED = /^[0-9a-f]+-[0-9a-f]{16}$/;
const DECISION = /^[01d]$/;
const TRACE_ID = /^(?:[0-9a-f]{16}){1,2}$/;
const SPAN_ID = /^[0-9a-f]{16}$/;

/** Reads the single header, else the multiple headers. Writes one of the two forms. Invalid headers are ignored. @internal */
export class StrictB3Propagator implements TextMapPropagator {
  private readonly propagator: B3Propagator;

  constructor(private readonly writes: 'single' | 'multi') {
    this.propagator = new B3Propagator({
      injectEncoding: writes === 'single' ? B3InjectEncoding.SINGLE_HEADER : B3InjectEncoding.MULTI_HEADER,
    });
  }

  inject(ctx: Context, carrier: unknown, setter: TextMapSetter): void {
    const span = trace.getSpanContext(ctx);
    const decision = forcedDecision(span);
    const isSingle = this.writes === 'single';
    if (decision !== undefined) {
      setter.set(carrier, isSingle ? 'b3' : 'x-b3-sampled', decision ? '1' : '0');
    } else if (span === undefined || !isDeferred(span)) {
      this.propagator.inject(ctx, carrier, setter);
    } else if (isSingle) {
      setter.set(carrier, 'b3', `${span.traceId}-${span.spanId}`);
    } else {
      setter.set(carrier, 'x-b3-traceid', span.traceId);
      setter.set(carrier, 'x-b3-spanid', span.spanId);
    }
  }

  extract(ctx: Context, carrier: unknown, getter: TextMapGetter): Context {
    const single = only(getter.get(carrier, 'b3'));
    if (single === undefined) return this.extractMultiple(ctx, carrier, getter);
    if (matches(single, DECISION)) return withForcedDecision(ctx, single !== '0');
    if (!matches(single, SINGLE)) return ctx;
    const found = this.propagator.extract(ctx, carrier, getter);
    return found !== ctx && matches(single, UNDECIDED) ? defer(found) : found;
  }

  fields(): string[] {
    return this.propagator.fields();
  }

  private extractMultiple(ctx: Context, carrier: unknown, getter: TextMapGetter): Context {
    const [traceId, spanId] = [only(getter.get(carrier, 'x-b3-traceid')), only(getter.get(carrier, 'x-b3-spanid'))];
    const sampled = only(getter.get(carrier, 'x-b3-sampled'));
    const isDebug = only(getter.get(carrier, 'x-b3-flags')) === '1';
    if (traceId === undefined && spanId === undefined) {
      // The debug flag means "sampled". `x-b3-sampled` is then not sent.
      if (isDebug || sampled === '1' || sampled === 'true') return withForcedDecision(ctx, true);
      return sampled === '0' || sampled === 'false' ? withForcedDecision(ctx, false) : ctx;
    }
    if (!matches(traceId, TRACE_ID) || !matches(spanId, SPAN_ID)) return ctx;
    const found = this.propagator.extract(ctx, carrier, getter);
    return found !== ctx && sampled === undefined && !isDebug ? defer(found) : found;
  }
}

/** OpenTelemetry uses the first of several headers of the same name. Here all of them are ignored. */
function only(header: unknown): unknown {
  return Array.isArray(header) && header.length === 1 ? header[0] : header;
}

/** OpenTelemetry's patterns are not anchored, and it pads ids of any length. */
function matches(value: unknown, shape: RegExp): boolean {
  return typeof value === 'string' && value.length <= 68 && shape.test(value);
}
