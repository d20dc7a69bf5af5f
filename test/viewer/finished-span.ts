/** Makes finished spans for specs: short ids, times in milliseconds. */
import { SpanKind, SpanStatusCode, TraceFlags, type Attributes } from '@opentelemetry/api';
import type { FinishedSpan, FinishedSpanEvent } from '../../lib/viewer/model/trace-span.js';

export interface SpanSketch {
  readonly name?: string;
  readonly trace?: string;
  readonly id: string;
  readonly parent?: string;
  readonly isRemote?: boolean;
  readonly kind?: SpanKind;
  /** Milliseconds. */
  readonly from?: number;
  readonly to?: number;
  readonly service?: string;
  readonly attributes?: Attributes;
  readonly error?: string;
  readonly events?: readonly FinishedSpanEvent[];
}

const EPOCH_SECONDS = 1_790_000_000;

export function traceId(short: string): string {
  return short.padStart(32, '0');
}

function spanId(short: string): string {
  return short.padStart(16, '0');
}

export function finishedSpan(sketch: SpanSketch): FinishedSpan {
  const { id, name = id, trace = 'a', parent, from = 0, to = from + 1, error } = sketch;
  const context = (span: string, isRemote?: boolean) => ({
    traceId: traceId(trace),
    spanId: spanId(span),
    traceFlags: TraceFlags.SAMPLED,
    ...(isRemote !== undefined && { isRemote }),
  });
  return {
    name,
    kind: sketch.kind ?? SpanKind.INTERNAL,
    spanContext: () => context(id),
    parentSpanContext: parent === undefined ? undefined : context(parent, sketch.isRemote),
    startTime: time(from),
    endTime: time(to),
    status: error === undefined ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR, message: error },
    attributes: sketch.attributes ?? {},
    links: [],
    events: sketch.events ?? [],
    resource: { attributes: { 'service.name': sketch.service ?? 'orders' } },
    instrumentationScope: { name: 'nestjs-tracing' },
  };
}

function time(milliseconds: number): [number, number] {
  return [EPOCH_SECONDS + Math.floor(milliseconds / 1000), Math.round((milliseconds % 1000) * 1e6)];
}
