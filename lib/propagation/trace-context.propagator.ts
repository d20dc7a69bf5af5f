/** Carries the trace in `traceparent` and `tracestate`, strictly after W3C Trace Context level 2. */
import {
  type Context,
  isSpanContextValid,
  type TextMapGetter,
  type TextMapPropagator,
  type TextMapSetter,
  trace,
  TraceFlags,
} from '@opentelemetry/api';
import { isRandomTrace, RANDOM, withRandomFlag } from './random-flag.js';
import { isDeferred } from './sampling-wish.js';
import { parseTraceParent } from './trace-parent.js';
import { parseTraceState } from './trace-state.js';

const TRACE_PARENT = 'traceparent';
const TRACE_STATE = 'tracestate';

/** Unlike OpenTelemetry's own it refuses what level 2 refuses, keeps what it allows, and passes the random flag on. @internal */
export class StrictTraceContextPropagator implements TextMapPropagator {
  /** @param ownTracesAreRandom whether traces that begin in this process have ids from a random generator */
  constructor(private readonly ownTracesAreRandom: boolean) {}

  inject(ctx: Context, carrier: unknown, setter: TextMapSetter): void {
    const span = trace.getSpanContext(ctx);
    // W3C has no word for a decision that is left to the receiver; "not sampled" would take it away.
    if (span === undefined || !isSpanContextValid(span) || isDeferred(span)) return;
    const random = isRandomTrace(ctx, span, this.ownTracesAreRandom) ? RANDOM : 0;
    setter.set(carrier, TRACE_PARENT, `00-${span.traceId}-${span.spanId}-0${(span.traceFlags & TraceFlags.SAMPLED) | random}`);
    const state = span.traceState?.serialize();
    if (state !== undefined && state !== '') setter.set(carrier, TRACE_STATE, state);
  }

  extract(ctx: Context, carrier: unknown, getter: TextMapGetter): Context {
    const parent = single(getter.get(carrier, TRACE_PARENT));
    if (parent === undefined) return ctx;
    const span = parseTraceParent(parent);
    if (span === undefined) return ctx;
    const state = joined(getter.get(carrier, TRACE_STATE));
    if (state !== undefined) span.traceState = parseTraceState(state);
    const extracted = trace.setSpanContext(ctx, span);
    const isRandom = (span.traceFlags & RANDOM) !== 0;
    // What is assumed anyway need not be remembered.
    return isRandom === this.ownTracesAreRandom ? extracted : withRandomFlag(extracted, span.traceId, isRandom);
  }

  fields(): string[] {
    return [TRACE_PARENT, TRACE_STATE];
  }
}

/** A second `traceparent` makes both worthless. */
function single(header: unknown): string | undefined {
  const value: unknown = Array.isArray(header) && header.length === 1 ? header[0] : header;
  return typeof value === 'string' ? value : undefined;
}

/** Several `tracestate` headers are one list: https://www.rfc-editor.org/rfc/rfc9110#name-field-lines-and-combined-fi */
function joined(header: unknown): string | undefined {
  const value: unknown = Array.isArray(header) && header.every(line => typeof line === 'string') ? header.join(',') : header;
  return typeof value === 'string' ? value : undefined;
}
