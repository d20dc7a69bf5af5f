/** Estimates how much memory a finished span takes. It is fast enough for every span. */
import type { Attributes } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-node';
import { LightSpan } from '../span/light-span.js';

/** The span with its ids and times. */
const SPAN = 700;
const EVENT = 200;
const LINK = 250;
const ATTRIBUTE = 24;
const NO_LISTS: Pick<ReadableSpan, 'events' | 'links'> = { events: [], links: [] };

/** @internal */
export function bytesOf(span: ReadableSpan): number {
  // A span of ours makes these lists when they are read.
  const { events, links } = (span instanceof LightSpan ? span.lists : span) ?? NO_LISTS;
  const attributes = (span instanceof LightSpan ? span.sharedAttributes : undefined) ?? span.attributes;
  const { name } = span;
  let bytes = SPAN + name.length + bytesOfAttributes(attributes);
  for (const event of events) bytes += EVENT + event.name.length + bytesOfAttributes(event.attributes);
  for (const link of links) bytes += LINK + bytesOfAttributes(link.attributes);
  return bytes;
}

/** Keys are mostly shared, so only values count. */
function bytesOfAttributes(attributes: Attributes | undefined): number {
  let bytes = 0;
  for (const key in attributes) {
    const value = attributes[key];
    bytes += ATTRIBUTE;
    if (typeof value === 'string') bytes += value.length;
    else if (Array.isArray(value)) for (const item of value) bytes += typeof item === 'string' ? 24 + item.length : 16;
  }
  return bytes;
}
