/** Reads the answer of a collector, in JSON or protobuf: how many spans it refused, and why. */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import type { Answer } from './http-post.js';

interface ReadAnswer {
  readonly refused: number;
  /** One line, possibly empty. */
  readonly reason: string;
}

const MAX_TEXT = 200;

/** Returns how many of the `sent` spans were refused. Returns undefined if the answer is not OTLP. @internal */
export function readAnswer({ headers, body }: Answer, sent: number): ReadAnswer | undefined {
  if (body.length === 0) return { refused: 0, reason: '' };
  try {
    const { refused, reason } = isJson(headers) ? fromJson(body) : fromProtobuf(body);
    return Number.isInteger(refused) && refused >= 0 && refused <= sent ? { refused, reason: oneLine(reason) } : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the text of an error answer: the message of a gRPC `Status`, or plain text. @internal */
export function textOf({ headers, body }: Answer): string {
  try {
    if (isJson(headers)) return oneLine(stringIn(objectIn(JSON.parse(body.toString())).message));
    const type = headers['content-type'] ?? '';
    if (type.includes('protobuf')) return oneLine(fieldsOf(body).text(2));
    return type.startsWith('text/plain') ? oneLine(body.toString()) : '';
  } catch {
    return '';
  }
}

function fromJson(body: Buffer): ReadAnswer {
  const { rejectedSpans = 0, errorMessage = '' } = objectIn(objectIn(JSON.parse(body.toString())).partialSuccess ?? {});
  return { refused: Number(rejectedSpans), reason: stringIn(errorMessage) };
}

// opentelemetry/proto/collector/trace/v1/trace_service.proto
function fromProtobuf(body: Buffer): ReadAnswer {
  const partialSuccess = fieldsOf(body).bytes(1);
  const fields = fieldsOf(partialSuccess);
  return { refused: fields.number(1), reason: fields.text(2) };
}

function stringIn(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function isJson(headers: Answer['headers']): boolean {
  return headers['content-type']?.includes('json') === true;
}

function objectIn(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw new TypeError('not an object');
  return value as Record<string, unknown>;
}

/** Reads the fields of a protobuf message. If a number occurs twice, the last field counts. Throws if the message is not protobuf. */
function fieldsOf(message: Uint8Array) {
  const values = new Map<number, number | Uint8Array>();
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === WireType.Varint) values.set(number, Number(reader.int64()));
    else if (type === WireType.LengthDelimited) values.set(number, reader.bytes());
    else reader.skip(type, number);
  }
  const bytes = (number: number): Uint8Array => {
    const value = values.get(number);
    return value instanceof Uint8Array ? value : new Uint8Array();
  };
  return {
    bytes,
    number: (number: number) => Number(values.get(number) ?? 0),
    text: (number: number) => Buffer.from(bytes(number)).toString(),
  };
}

function oneLine(text: string): string {
  const line = text.replace(/[\s\p{Cc}]+/gu, ' ').trim();
  return line.length > MAX_TEXT ? `${line.slice(0, MAX_TEXT)}…` : line;
}
