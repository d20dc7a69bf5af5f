/** Estimates the memory of a stored span in bytes, from the memory layout of objects in V8. It is fast enough for every span. */
import type { Attributes, AttributeValue } from '@opentelemetry/api';
import type { TraceSpan } from '../model/trace-span.js';

/** The span itself, two bigints, its ids, empty arrays, and its entry in the trace's map. */
const SPAN = 350;
const EVENT = 136;
const LINK = 200;
const OBJECT = 56;
/** A property and its part of the memory that V8 reserves for more. Objects with many properties become hash tables. */
const PROPERTY = 12;
const PROPERTY_OF_MANY = 48;
const MANY = 16;

/** Does not count the resource and the scope, which many spans share: {@link bytesOfShared} does. @internal */
export function bytesOfSpan(span: TraceSpan): number {
  let bytes = SPAN + bytesOfText(span.name) + bytesOfAttributes(span.attributes);
  if (span.statusMessage !== undefined) bytes += bytesOfText(span.statusMessage);
  for (const { name, attributes } of span.events) bytes += EVENT + bytesOfText(name) + bytesOfAttributes(attributes);
  for (const { attributes } of span.links) bytes += LINK + bytesOfAttributes(attributes);
  return bytes;
}

/** The bytes of the resource and the scope of `span`, as far as these objects are not in `known` yet. @internal */
export function bytesOfShared({ resource, scope }: TraceSpan, known: ReadonlySet<object>): number {
  let bytes = known.has(resource) ? 0 : bytesOfResource(resource);
  if (!known.has(scope)) bytes += OBJECT + bytesOfText(scope.name) + bytesOfText(scope.version ?? '') + bytesOfText(scope.schemaUrl ?? '');
  return bytes;
}

/** A cache: one request may bring a thousand traces with the same long resource. */
const measured = new WeakMap<Attributes, number>();

/** @internal */
export function bytesOfResource(resource: Attributes): number {
  let bytes = measured.get(resource);
  if (bytes === undefined) measured.set(resource, (bytes = bytesOfAttributes(resource)));
  return bytes;
}

function bytesOfAttributes(attributes: Attributes | undefined): number {
  let bytes = OBJECT;
  let count = 0;
  for (const key in attributes) {
    bytes += bytesOfText(key) + bytesOfValue(attributes[key]);
    count++;
  }
  return bytes + count * (count > MANY ? PROPERTY_OF_MANY : PROPERTY);
}

function bytesOfValue(value: AttributeValue | null | undefined): number {
  if (typeof value === 'string') return bytesOfText(value);
  if (typeof value === 'number') return 12;
  if (!Array.isArray(value)) return 0;
  let bytes = 32;
  for (const item of value) bytes += 8 + bytesOfValue(item);
  return bytes;
}

/**
 * Counts little for short texts, which are mostly shared. V8 stores two bytes per character if one of them is beyond Latin-1. Only the
 * start of a long text is checked for this.
 */
function bytesOfText(text: string): number {
  if (text.length <= 12) return 16;
  return 16 + (WIDE.test(text.length > 64 ? text.slice(0, 64) : text) ? 2 : 1) * text.length;
}

const WIDE = /[\u0100-\uffff]/;
