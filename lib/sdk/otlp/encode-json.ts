/** Encodes spans as OTLP in JSON: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding */
import { type Attributes, type HrTime, type Link, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import type { ReadableSpan, TimedEvent } from '@opentelemetry/sdk-trace-node';
import { JsonWriter } from './json-writer.js';
import { type KnownAttributes, KnownPairs, writeOnce } from './known-pairs.js';
import { eventsOf, flagsOf, groupsOf, linksOf, type ResourceGroup, sharedAttributesOf, statusOf } from './read-spans.js';

/** The attributes of spans. */
const pairsOfSpans = new KnownPairs<JsonWriter>(writePair);

/** By the flags of a sampled span: what comes after the attributes if there are no events, no links and no status. */
const USUAL_REST: Readonly<Record<number, string>> = Object.fromEntries(
  [flagsOf(TraceFlags.SAMPLED, undefined), flagsOf(TraceFlags.SAMPLED, { isRemote: true })].map(flags => [
    flags,
    `,"droppedAttributesCount":0,"events":[],"droppedEventsCount":0,"status":{"code":0},"links":[],"droppedLinksCount":0,"flags":${flags}}`,
  ]),
);

const [OPEN, COMMA, CLOSE, BEGIN, END] = [0x5b, 0x2c, 0x5d, 0x7b, 0x7d];

// In a loop over the keys, V8 makes this faster than `Object.hasOwn()`.
const { hasOwnProperty } = Object.prototype;

/** How many bytes a span takes, about. */
const SPAN = 1200;

/** Encodes an `ExportTraceServiceRequest`. @internal */
export function encodeJson(spans: readonly ReadableSpan[]): Uint8Array {
  const out = new JsonWriter(spans.length * SPAN + 1024);
  const known: KnownAttributes = new Map();
  out.piece('{"resourceSpans":');
  writeList(out, groupsOf(spans), group => writeResource(out, group, known));
  out.character(END);
  return out.finish();
}

function writeResource(out: JsonWriter, { resource, scopes }: ResourceGroup, known: KnownAttributes): void {
  // An empty schema of a resource is not written.
  const schemaUrl = resource.schemaUrl || undefined;
  out.piece('{"resource":{"attributes":');
  writeAttributes(out, resource.attributes);
  out.piece(',"droppedAttributesCount":0');
  writeIfAny(out, ',"schemaUrl":', schemaUrl);
  out.piece('},"scopeSpans":');
  writeList(out, [...scopes], ([scope, spans]) => writeScope(out, scope, spans, known));
  writeIfAny(out, ',"schemaUrl":', schemaUrl);
  out.character(END);
}

function writeScope(out: JsonWriter, scope: InstrumentationScope, spans: readonly ReadableSpan[], known: KnownAttributes): void {
  out.piece('{"scope":{"name":');
  out.text(scope.name);
  writeIfAny(out, ',"version":', scope.version);
  out.piece('},"spans":');
  writeList(out, spans, span => writeSpan(out, span, known));
  writeIfAny(out, ',"schemaUrl":', scope.schemaUrl);
  out.character(END);
}

function writeSpan(out: JsonWriter, span: ReadableSpan, known: KnownAttributes): void {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  const parent = span.parentSpanContext;
  const shared = sharedAttributesOf(span);
  out.piece('{"traceId":');
  out.text(traceId);
  out.piece(',"spanId":');
  out.text(spanId);
  writeIfAny(out, ',"parentSpanId":', parent?.spanId || undefined);
  writeIfAny(out, ',"traceState":', traceState?.serialize());
  out.piece(',"name":');
  out.text(span.name);
  // In OTLP, 0 is a kind that is not known.
  writeNumber(out, ',"kind":', span.kind + 1);
  out.piece(',"startTimeUnixNano":"');
  writeTime(out, span.startTime);
  out.piece('","endTimeUnixNano":"');
  writeTime(out, span.endTime);
  out.piece('","attributes":');
  if (shared === undefined) writeAttributesOfSpan(out, span.attributes);
  else writeOnce(out, shared, known, writeAttributesOfSpan);
  writeRest(out, span, shared === undefined ? span.droppedAttributesCount : 0, flagsOf(traceFlags, parent));
}

function writeRest(out: JsonWriter, span: ReadableSpan, droppedAttributesCount: number, flags: number): void {
  const { droppedEventsCount, droppedLinksCount } = span;
  const [events, links, { code, message }] = [eventsOf(span), linksOf(span), statusOf(span)];
  const isEmpty = events.length === 0 && links.length === 0 && code === SpanStatusCode.UNSET && message === undefined;
  const usual = USUAL_REST[flags];
  if (isEmpty && droppedAttributesCount + droppedEventsCount + droppedLinksCount === 0 && usual !== undefined) {
    out.piece(usual);
    return;
  }
  writeNumber(out, ',"droppedAttributesCount":', droppedAttributesCount);
  out.piece(',"events":');
  writeList(out, events, event => writeEvent(out, event));
  writeNumber(out, ',"droppedEventsCount":', droppedEventsCount);
  writeNumber(out, ',"status":{"code":', code);
  writeIfAny(out, ',"message":', message);
  out.piece('},"links":');
  writeList(out, links, link => writeLink(out, link));
  writeNumber(out, ',"droppedLinksCount":', droppedLinksCount);
  writeNumber(out, ',"flags":', flags);
  out.character(END);
}

function writeEvent(out: JsonWriter, { attributes, name, time, droppedAttributesCount = 0 }: TimedEvent): void {
  out.piece('{"attributes":');
  writeAttributes(out, attributes);
  out.piece(',"name":');
  out.text(name);
  out.piece(',"timeUnixNano":"');
  writeTime(out, time);
  writeNumber(out, '","droppedAttributesCount":', droppedAttributesCount);
  out.character(END);
}

function writeLink(out: JsonWriter, { attributes, context, droppedAttributesCount = 0 }: Link): void {
  out.piece('{"attributes":');
  writeAttributes(out, attributes);
  out.piece(',"spanId":');
  out.text(context.spanId);
  out.piece(',"traceId":');
  out.text(context.traceId);
  writeIfAny(out, ',"traceState":', context.traceState?.serialize());
  writeNumber(out, ',"droppedAttributesCount":', droppedAttributesCount);
  writeNumber(out, ',"flags":', flagsOf(context.traceFlags, context));
  out.character(END);
}

function writeAttributesOfSpan(out: JsonWriter, attributes: Attributes): void {
  let before = OPEN;
  for (const key in attributes) {
    if (!hasOwnProperty.call(attributes, key)) continue;
    out.character(before);
    pairsOfSpans.write(out, key, attributes[key]);
    before = COMMA;
  }
  if (before === OPEN) out.character(OPEN);
  out.character(CLOSE);
}

function writeAttributes(out: JsonWriter, attributes: Attributes | undefined): void {
  writeList(out, attributes === undefined ? [] : Object.keys(attributes), key => writePair(out, key, attributes?.[key]));
}

function writePair(out: JsonWriter, key: string, value: unknown): void {
  out.piece('{"key":');
  out.text(key);
  out.piece(',"value":');
  writeValue(out, value);
  out.character(END);
}

function writeValue(out: JsonWriter, value: unknown): void {
  if (typeof value === 'string') {
    out.piece('{"stringValue":');
    out.text(value);
  } else if (typeof value === 'number') writeNumber(out, Number.isInteger(value) ? '{"intValue":' : '{"doubleValue":', value);
  else if (typeof value === 'boolean') out.piece(value ? '{"boolValue":true' : '{"boolValue":false');
  else if (value instanceof Uint8Array) {
    out.piece('{"bytesValue":');
    out.text(Buffer.from(value).toString('base64'));
  } else if (Array.isArray(value)) {
    out.piece('{"arrayValue":{"values":');
    writeList(out, value, item => writeValue(out, item));
    out.character(END);
  } else if (typeof value === 'object' && value !== null) {
    out.piece('{"kvlistValue":{"values":');
    writeAttributes(out, value as Attributes);
    out.character(END);
  } else out.character(BEGIN);
  out.character(END);
}

function writeList<T>(out: JsonWriter, items: readonly T[], write: (item: T) => void): void {
  out.character(OPEN);
  for (let index = 0; index < items.length; index++) {
    if (index > 0) out.character(COMMA);
    write(items[index] as T);
  }
  out.character(CLOSE);
}

function writeNumber(out: JsonWriter, before: string, value: number): void {
  out.piece(before);
  out.number(value);
}

/** Writes the nanoseconds since 1970, which have too many digits for a number. */
function writeTime(out: JsonWriter, [seconds, nanoseconds]: HrTime): void {
  if (seconds >= 1e9 && seconds < 2 ** 31 && nanoseconds >= 0 && nanoseconds < 1e9) {
    out.digits(Math.trunc(seconds), 10);
    out.digits(Math.trunc(nanoseconds), 9);
  } else out.plain(String(whole(seconds) * 1_000_000_000n + whole(nanoseconds)));
}

function writeIfAny(out: JsonWriter, before: string, text: string | undefined): void {
  if (text === undefined) return;
  out.piece(before);
  out.text(text);
}

function whole(value: number): bigint {
  return Number.isFinite(value) ? BigInt(Math.trunc(value)) : 0n;
}
