/**
 * OTLP as protobuf: decodes a request into the form of OTLP JSON, and encodes the answers.
 * https://github.com/open-telemetry/opentelemetry-proto
 */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { OtlpKeyValue, OtlpValue } from '../model/otlp-attributes.js';
import type { OtlpRequest, OtlpSpan } from '../model/otlp-json.js';
import { MAX_PARTS, tooManyParts } from './request-body.js';

type Fields<T> = { -readonly [Name in keyof T]: T[Name] };

/** The functions that read a field into `target`. The key is the field's tag: its number and wire type. */
type FieldReaders<T> = Readonly<Record<number, (target: T, reader: TextReader, depth: number) => void>>;

const { Varint: VARINT, Bit64: FIXED64, LengthDelimited: BYTES } = WireType;
const tag = (field: number, wireType: WireType): number => field * 8 + wireType;
const WIRE_TYPES: readonly (WireType | undefined)[] = [VARINT, FIXED64, BYTES, WireType.StartGroup, WireType.EndGroup, WireType.Bit32];

/** Values nested more deeply are left out: a request must not be able to cause a stack overflow. */
const MAX_DEPTH = 20;

/** Decodes `bytes`. Throws if they are not protobuf. Ignores unknown fields. @internal */
export function decodeOtlp(bytes: Buffer): OtlpRequest {
  const request: { resourceSpans: object[] } = { resourceSpans: [] };
  const reader = new TextReader(bytes);
  readInto(request, reader, reader.len, REQUEST, 0);
  return request;
}

/** Encodes an `ExportTraceServiceResponse`, which is empty if no span was rejected. @internal */
export function encodeAnswer(rejected: number, message: string): Uint8Array {
  if (rejected === 0) return new Uint8Array();
  const partial = new BinaryWriter().tag(1, VARINT).int64(rejected).tag(2, BYTES).string(message).finish();
  return new BinaryWriter().tag(1, BYTES).bytes(partial).finish();
}

/** Encodes a `google.rpc.Status`. @internal */
export function encodeStatus(code: number, message: string): Uint8Array {
  return new BinaryWriter().tag(1, VARINT).int32(code).tag(2, BYTES).string(message).finish();
}

function readInto<T>(target: T, reader: TextReader, end: number, fields: FieldReaders<T>, depth: number): T {
  while (reader.pos < end) {
    const key = reader.uint32();
    const read = fields[key];
    if (read === undefined) skip(reader, key);
    else read(target, reader, depth);
  }
  if (reader.pos !== end) throw new RangeError('a field is longer than its message');
  return target;
}

function skip(reader: TextReader, key: number): void {
  const wireType = WIRE_TYPES[key & 7];
  if (wireType === undefined) throw new RangeError('a field has an unknown wire type');
  reader.skip(wireType, key >>> 3);
}

function message<T>(reader: TextReader, fields: FieldReaders<T>, depth: number, target: T): T {
  if (++reader.messages > MAX_PARTS) throw tooManyParts();
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > reader.len) throw new RangeError('a message is longer than the request');
  if (depth <= MAX_DEPTH) return readInto(target, reader, end, fields, depth);
  reader.pos = end;
  return target;
}

/** A cache of short texts. Keys and most values repeat, and one string for all of them takes less time and memory. */
const recentTexts = new Array<string>(2048).fill('');
const MAX_SHARED_LENGTH = 40;

/** Reads texts directly from the request. `BinaryReader` would create a view for each of them. */
class TextReader extends BinaryReader {
  /** Messages read so far. They are limited, because an empty message takes two bytes in the request but an object in memory. */
  messages = 0;

  constructor(private readonly bytesOfRequest: Buffer) {
    super(bytesOfRequest);
  }

  override string(): string {
    const start = this.startOfBytes();
    const end = this.pos;
    if (end - start > MAX_SHARED_LENGTH) return this.bytesOfRequest.toString('utf8', start, end);
    let hash = end - start;
    for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + (this.bytesOfRequest[at] ?? 0)) | 0;
    const slot = hash & (recentTexts.length - 1);
    const known = recentTexts[slot] ?? '';
    if (this.isAt(known, start, end)) return known;
    return (recentTexts[slot] = this.bytesOfRequest.toString('utf8', start, end));
  }

  encoded(encoding: 'hex' | 'base64'): string {
    return this.bytesOfRequest.toString(encoding, this.startOfBytes(), this.pos);
  }

  private startOfBytes(): number {
    const length = this.uint32();
    const start = this.pos;
    if (start + length > this.len) throw new RangeError('a field is longer than the request');
    this.pos += length;
    return start;
  }

  /** Whether the bytes from `start` to `end` are `text`. Never true for a text with a character beyond ASCII. */
  private isAt(text: string, start: number, end: number): boolean {
    if (text.length !== end - start) return false;
    for (let at = start; at < end; at++) if (text.charCodeAt(at - start) !== this.bytesOfRequest[at]) return false;
    return true;
  }
}

/** Reads a repeated field of messages. */
const repeated =
  <T, Item extends object>(listOf: (target: T) => Item[], fields: FieldReaders<Item>) =>
  (target: T, reader: TextReader, depth: number): void =>
    void listOf(target).push(message(reader, fields, depth, {} as Item));

type Value = Fields<OtlpValue>;
type Pair = Fields<OtlpKeyValue>;
type WithAttributes = { attributes?: Pair[] };

const VALUE: FieldReaders<Value> = {
  [tag(1, BYTES)]: (value, reader) => (value.stringValue = reader.string()),
  [tag(2, VARINT)]: (value, reader) => (value.boolValue = reader.bool()),
  [tag(3, VARINT)]: (value, reader) => (value.intValue = reader.int64()),
  [tag(4, FIXED64)]: (value, reader) => (value.doubleValue = reader.double()),
  [tag(5, BYTES)]: (value, reader, depth) => (value.arrayValue = { values: message<Value[]>(reader, VALUES, depth + 1, []) }),
  [tag(6, BYTES)]: (value, reader, depth) => (value.kvlistValue = { values: message<Pair[]>(reader, PAIRS, depth + 1, []) }),
  [tag(7, BYTES)]: (value, reader) => (value.bytesValue = reader.encoded('base64')),
};
const VALUES: FieldReaders<Value[]> = { [tag(1, BYTES)]: repeated(values => values, VALUE) };
const PAIR: FieldReaders<Pair> = {
  [tag(1, BYTES)]: (pair, reader) => (pair.key = reader.string()),
  [tag(2, BYTES)]: (pair, reader, depth) => (pair.value = message<Value>(reader, VALUE, depth, {})),
};
const PAIRS: FieldReaders<Pair[]> = { [tag(1, BYTES)]: repeated(pairs => pairs, PAIR) };

const attributes = repeated((target: WithAttributes) => (target.attributes ??= []), PAIR);

type Event = Fields<NonNullable<OtlpSpan['events']>[number]> & WithAttributes;
type Link = Fields<NonNullable<OtlpSpan['links']>[number]> & WithAttributes;
type Status = Fields<NonNullable<OtlpSpan['status']>>;
type Span = Fields<Omit<OtlpSpan, 'events' | 'links' | 'attributes'>> & WithAttributes & { events?: Event[]; links?: Link[] };

const EVENT: FieldReaders<Event> = {
  [tag(1, FIXED64)]: (event, reader) => (event.timeUnixNano = reader.fixed64()),
  [tag(2, BYTES)]: (event, reader) => (event.name = reader.string()),
  [tag(3, BYTES)]: attributes,
};
const LINK: FieldReaders<Link> = {
  [tag(1, BYTES)]: (link, reader) => (link.traceId = reader.encoded('hex')),
  [tag(2, BYTES)]: (link, reader) => (link.spanId = reader.encoded('hex')),
  [tag(4, BYTES)]: attributes,
};
const STATUS: FieldReaders<Status> = {
  [tag(2, BYTES)]: (status, reader) => (status.message = reader.string()),
  [tag(3, VARINT)]: (status, reader) => (status.code = reader.int32()),
};
const SPAN: FieldReaders<Span> = {
  [tag(1, BYTES)]: (span, reader) => (span.traceId = reader.encoded('hex')),
  [tag(2, BYTES)]: (span, reader) => (span.spanId = reader.encoded('hex')),
  [tag(4, BYTES)]: (span, reader) => (span.parentSpanId = reader.encoded('hex')),
  [tag(5, BYTES)]: (span, reader) => (span.name = reader.string()),
  [tag(6, VARINT)]: (span, reader) => (span.kind = reader.int32()),
  [tag(7, FIXED64)]: (span, reader) => (span.startTimeUnixNano = reader.fixed64()),
  [tag(8, FIXED64)]: (span, reader) => (span.endTimeUnixNano = reader.fixed64()),
  [tag(9, BYTES)]: attributes,
  [tag(11, BYTES)]: repeated((span: Span) => (span.events ??= []), EVENT),
  [tag(13, BYTES)]: repeated((span: Span) => (span.links ??= []), LINK),
  [tag(15, BYTES)]: (span, reader, depth) => (span.status = message<Status>(reader, STATUS, depth, {})),
};

type Scope = { name?: string; version?: string };
type ScopeSpans = { scope?: Scope; spans?: Span[]; schemaUrl?: string };
type ResourceSpans = { resource?: WithAttributes; scopeSpans?: ScopeSpans[] };

const SCOPE: FieldReaders<Scope> = {
  [tag(1, BYTES)]: (scope, reader) => (scope.name = reader.string()),
  [tag(2, BYTES)]: (scope, reader) => (scope.version = reader.string()),
};
const SCOPE_SPANS: FieldReaders<ScopeSpans> = {
  [tag(1, BYTES)]: (group, reader, depth) => (group.scope = message<Scope>(reader, SCOPE, depth, {})),
  [tag(2, BYTES)]: repeated((group: ScopeSpans) => (group.spans ??= []), SPAN),
  [tag(3, BYTES)]: (group, reader) => (group.schemaUrl = reader.string()),
};
const RESOURCE: FieldReaders<WithAttributes> = { [tag(1, BYTES)]: attributes };
const RESOURCE_SPANS: FieldReaders<ResourceSpans> = {
  [tag(1, BYTES)]: (group, reader, depth) => (group.resource = message<WithAttributes>(reader, RESOURCE, depth, {})),
  [tag(2, BYTES)]: repeated((group: ResourceSpans) => (group.scopeSpans ??= []), SCOPE_SPANS),
};
const REQUEST: FieldReaders<{ resourceSpans: ResourceSpans[] }> = {
  [tag(1, BYTES)]: repeated(request => request.resourceSpans, RESOURCE_SPANS),
};
