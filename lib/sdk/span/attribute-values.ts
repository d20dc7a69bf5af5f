/** Checks and limits of attributes, as the SDK applies them. */
import { type Attributes, type AttributeValue, diag } from '@opentelemetry/api';
import { isAttributeValue } from '@opentelemetry/core';
import type { SpanLimits } from '@opentelemetry/sdk-trace-node';

/** True if the SDK records `value` for `key`. Warns about a key or value that no span can have. */
export function isRecordable(key: string, value: unknown): value is AttributeValue {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
      if (key !== '') return true;
      break;
    default:
      if (value === undefined || value === null) return false;
  }
  if (key === '') {
    diag.warn(`Invalid attribute key: ${key}`);
    return false;
  }
  if (isAttributeValue(value)) return true;
  diag.warn(`Invalid attribute value set for key: ${key}`);
  return false;
}

/** Returns how many attributes there are, or -1 if one of them may not be copied as it is. */
function countPlain(attributes: Attributes): number {
  let count = 0;
  for (const key in attributes) {
    const type = typeof attributes[key];
    if ((type !== 'string' && type !== 'number' && type !== 'boolean') || key === '') return -1;
    count++;
  }
  return count;
}

/** Returns how many `attributes` there are, or -1 if a span would not keep all of them as they are. */
export function countKept(attributes: Attributes, limits: Readonly<Required<SpanLimits>>): number {
  const count = limits.attributeValueLengthLimit === Infinity ? countPlain(attributes) : -1;
  return count <= limits.attributeCountLimit ? count : -1;
}

/** Returns `value` with every text cut to `limit` characters. */
export function shortened(value: AttributeValue, limit: number): AttributeValue {
  if (typeof value === 'string') return value.length <= limit ? value : value.slice(0, limit);
  if (!Array.isArray(value)) return value;
  return value.map(one => (typeof one === 'string' ? shortened(one, limit) : one)) as AttributeValue;
}

interface Limited {
  readonly attributes: Attributes;
  readonly droppedAttributesCount: number;
}

/** Returns a copy of the attributes of an event or link that keeps the limits. */
export function limited(attributes: Attributes | undefined, maxCount: number, maxLength: number): Limited {
  const kept: Attributes = {};
  let count = 0;
  let droppedAttributesCount = 0;
  if (typeof attributes !== 'object') return { attributes: kept, droppedAttributesCount };
  for (const key in attributes) {
    if (!Object.hasOwn(attributes, key)) continue;
    const value = attributes[key];
    if (value !== undefined && value !== null && !isRecordable(key, value)) continue;
    if (count >= maxCount) droppedAttributesCount++;
    else {
      // As in the SDK, an event keeps a key without a value.
      kept[key] = value === undefined || value === null ? value : shortened(value, maxLength);
      count++;
    }
  }
  return { attributes: kept, droppedAttributesCount };
}
