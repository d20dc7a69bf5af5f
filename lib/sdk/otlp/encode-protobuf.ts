/** Encodes spans as OTLP in protobuf: https://github.com/open-telemetry/opentelemetry-proto */
import type { Attributes, HrTime, Link, SpanStatus } from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import type { ReadableSpan, TimedEvent } from '@opentelemetry/sdk-trace-node';
import { type KnownAttributes, KnownPairs, writeOnce } from './known-pairs.js';
import { ProtobufWriter } from './protobuf-writer.js';
import { eventsOf, flagsOf, groupsOf, linksOf, sharedAttributesOf, statusOf } from './read-spans.js';

/** Wire types. */
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;
const tag = (field: number, wireType: number): number => field * 8 + wireType;

// In a loop over the keys, V8 makes this faster than `Object.hasOwn()`.
const { hasOwnProperty } = Object.prototype;

/** Sizes in bytes that are expected. They need only be about right. */
const EVENT = 500;
const SHORT = 100;
const SPAN = 600;

/** Encodes an `ExportTraceServiceRequest`. @internal */
export function encodeProtobuf(spans: readonly ReadableSpan[]): Uint8Array {
  const expected = spans.length * SPAN;
  const out = new ProtobufWriter(expected + 1024);
  const known: KnownAttributes = new Map();
  for (const { resource, scopes } of groupsOf(spans)) {
    const group = out.open(tag(1, BYTES), expected);
    const start = out.open(tag(1, BYTES), SPAN);
    writeAttributes(out, tag(1, BYTES), resource.attributes);
    out.integer(tag(2, VARINT), 0);
    out.close(start, SPAN);
    for (const [scope, members] of scopes) writeScope(out, scope, members, known, expected);
    writeIfAny(out, tag(3, BYTES), resource.schemaUrl);
    out.close(group, expected);
  }
  return out.finish();
}

/** The attributes of spans. */
const pairsOfSpans = new KnownPairs<ProtobufWriter>((out, key, value) => writePair(out, tag(9, BYTES), key, value));

function writeScope(
  out: ProtobufWriter,
  scope: InstrumentationScope,
  spans: readonly ReadableSpan[],
  known: KnownAttributes,
  expected: number,
): void {
  const group = out.open(tag(2, BYTES), expected);
  const start = out.open(tag(1, BYTES), SHORT);
  out.text(tag(1, BYTES), scope.name);
  writeIfAny(out, tag(2, BYTES), scope.version);
  out.close(start, SHORT);
  for (const span of spans) writeSpan(out, span, known);
  writeIfAny(out, tag(3, BYTES), scope.schemaUrl);
  out.close(group, expected);
}

function writeSpan(out: ProtobufWriter, span: ReadableSpan, known: KnownAttributes): void {
  const start = out.open(tag(2, BYTES), SPAN);
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  const parent = span.parentSpanContext;
  out.id(tag(1, BYTES), traceId);
  out.id(tag(2, BYTES), spanId);
  writeIfAny(out, tag(3, BYTES), traceState?.serialize());
  if (parent?.spanId) out.id(tag(4, BYTES), parent.spanId);
  out.text(tag(5, BYTES), span.name);
  // In OTLP, 0 is a kind that is not known.
  out.integer(tag(6, VARINT), span.kind + 1);
  writeTime(out, tag(7, FIXED64), span.startTime);
  writeTime(out, tag(8, FIXED64), span.endTime);
  const shared = sharedAttributesOf(span);
  if (shared === undefined) writeAttributesOfSpan(out, span.attributes);
  else writeOnce(out, shared, known, writeAttributesOfSpan);
  out.integer(tag(10, VARINT), shared === undefined ? span.droppedAttributesCount : 0);
  for (const event of eventsOf(span)) writeEvent(out, event);
  out.integer(tag(12, VARINT), span.droppedEventsCount);
  for (const link of linksOf(span)) writeLink(out, link);
  out.integer(tag(14, VARINT), span.droppedLinksCount);
  writeStatus(out, statusOf(span));
  out.fixed32(tag(16, FIXED32), flagsOf(traceFlags, parent));
  out.close(start, SPAN);
}

function writeEvent(out: ProtobufWriter, event: TimedEvent): void {
  const start = out.open(tag(11, BYTES), EVENT);
  writeTime(out, tag(1, FIXED64), event.time);
  out.text(tag(2, BYTES), event.name);
  writeAttributes(out, tag(3, BYTES), event.attributes);
  out.integer(tag(4, VARINT), event.droppedAttributesCount ?? 0);
  out.close(start, EVENT);
}

function writeLink(out: ProtobufWriter, { context, attributes, droppedAttributesCount }: Link): void {
  const start = out.open(tag(13, BYTES), SHORT);
  out.id(tag(1, BYTES), context.traceId);
  out.id(tag(2, BYTES), context.spanId);
  writeIfAny(out, tag(3, BYTES), context.traceState?.serialize());
  writeAttributes(out, tag(4, BYTES), attributes);
  out.integer(tag(5, VARINT), droppedAttributesCount ?? 0);
  out.fixed32(tag(6, FIXED32), flagsOf(context.traceFlags, context));
  out.close(start, SHORT);
}

function writeStatus(out: ProtobufWriter, { code, message }: SpanStatus): void {
  const start = out.open(tag(15, BYTES), SHORT);
  writeIfAny(out, tag(2, BYTES), message);
  out.integer(tag(3, VARINT), code);
  out.close(start, SHORT);
}

function writeTime(out: ProtobufWriter, field: number, [seconds, nanoseconds]: HrTime): void {
  out.time(field, seconds, nanoseconds);
}

function writeIfAny(out: ProtobufWriter, field: number, text: string | undefined): void {
  if (text) out.text(field, text);
}

function writeAttributesOfSpan(out: ProtobufWriter, attributes: Attributes): void {
  for (const key in attributes) {
    if (hasOwnProperty.call(attributes, key)) pairsOfSpans.write(out, key, attributes[key]);
  }
}

function writeAttributes(out: ProtobufWriter, field: number, attributes: Attributes | undefined): void {
  for (const key in attributes) {
    if (hasOwnProperty.call(attributes, key)) writePair(out, field, key, attributes[key]);
  }
}

function writePair(out: ProtobufWriter, field: number, key: string, value: unknown): void {
  const expected = key.length + sizeOf(value) + 6;
  const start = out.open(field, expected);
  out.text(tag(1, BYTES), key);
  writeValue(out, tag(2, BYTES), value);
  out.close(start, expected);
}

function writeValue(out: ProtobufWriter, field: number, value: unknown): void {
  const expected = sizeOf(value) + 2;
  const start = out.open(field, expected);
  if (typeof value === 'string') out.text(tag(1, BYTES), value);
  else if (typeof value === 'number') {
    // OTLP has integers of 64 bits.
    if (Number.isInteger(value) && value >= -(2 ** 63) && value < 2 ** 63) out.integer(tag(3, VARINT), value);
    else out.double(tag(4, FIXED64), value);
  } else if (typeof value === 'boolean') out.integer(tag(2, VARINT), value ? 1 : 0);
  else if (value instanceof Uint8Array) out.data(tag(7, BYTES), value);
  else if (Array.isArray(value)) {
    const list = out.open(tag(5, BYTES), expected);
    for (const item of value) writeValue(out, tag(1, BYTES), item);
    out.close(list, expected);
  } else if (typeof value === 'object' && value !== null) {
    const list = out.open(tag(6, BYTES), expected);
    writeAttributes(out, tag(1, BYTES), value as Attributes);
    out.close(list, expected);
  }
  out.close(start, expected);
}

/** Returns about how many bytes a value takes. */
function sizeOf(value: unknown): number {
  return typeof value === 'string' ? value.length : 8;
}
