/** How much memory a stored span takes, estimated from how V8 lays out objects: exact enough for a cap, cheap enough for every span. */
import type { Attributes, AttributeValue } from '@opentelemetry/api';
import type { TraceSpan } from '../model/trace-span.js';

/** The span itself, two bigints, its ids, empty lists, its place in the trace's map. */
const SPAN = 350;
const EVENT = 136;
const LINK = 200;
const OBJECT = 56;
/** A slot and its share of what objects reserve for growing; with more than a dozen or so they become hash tables. */
const PROPERTY = 12;
const PROPERTY_OF_MANY = 48;
const MANY = 16;

/** Without resource and scope, which many spans share: {@link bytesOfShared}. @internal */
export function bytesOfSpan(span: TraceSpan): number {
  let bytes = SPAN + bytesOfText(span.name) + bytesOfAttributes(span.attributes);
  if (span.statusMessage !== undefined) bytes += bytesOfText(span.statusMessage);
  for (const { name, attributes } of span.events) bytes += EVENT + bytesOfText(name) + bytesOfAttributes(attributes);
  for (const { attributes } of span.links) bytes += LINK + bytesOfAttributes(attributes);
  return bytes;
}

/** What `span` shares with others and `known` does not hold yet, by identity; the service's name is a text of the resource. @internal */
export function bytesOfShared({ resource, scope }: TraceSpan, known: ReadonlySet<object>): number {
  let bytes = known.has(resource) ? 0 : bytesOfResource(resource);
  if (!known.has(scope)) bytes += OBJECT + bytesOfText(scope.name) + bytesOfText(scope.version ?? '');
  return bytes;
}

/** A long resource may belong to a thousand traces of one request. */
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

/** Short texts are mostly shared. Two bytes per character where one of them is beyond Latin-1; long texts are sampled at their start. */
function bytesOfText(text: string): number {
  if (text.length <= 12) return 16;
  return 16 + (WIDE.test(text.length > 64 ? text.slice(0, 64) : text) ? 2 : 1) * text.length;
}

const WIDE = /[\u0100-\uffff]/;
