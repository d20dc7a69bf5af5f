/** Turns values that users hand over into attribute values that every SDK and backend accepts. */
import type { Attributes, AttributeValue } from '@opentelemetry/api';

type Scalar = string | number | boolean;

/**
 * The values among `values` that can be recorded. Scalars are kept; a bigint becomes a string; an object that JSON writes as a scalar
 * (Date, URL, ObjectId, Decimal) becomes that; a list of these is kept, as strings where its types differ. Other objects, `null`,
 * `undefined` and numbers that are not finite are left out. Never throws. @internal
 */
export function toAttributes(values: Readonly<Record<string, unknown>>): Attributes {
  const attributes: Attributes = {};
  for (const key of Object.keys(values)) {
    const value = toAttributeValue(values[key]);
    if (value !== undefined) attributes[key] = value;
  }
  return attributes;
}

function toAttributeValue(value: unknown): AttributeValue | undefined {
  if (!Array.isArray(value)) return toScalar(value);
  const scalars = value.map(toScalar).filter(scalar => scalar !== undefined);
  const [first] = scalars;
  if (first === undefined) return value.length === 0 ? [] : undefined;
  const isUniform = scalars.every(scalar => typeof scalar === typeof first);
  return isUniform ? (scalars as string[]) : scalars.map(String);
}

function toScalar(value: unknown): Scalar | undefined {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : undefined;
    case 'bigint':
      return String(value);
    case 'object':
      return value === null ? undefined : jsonScalar(value);
    default:
      return undefined;
  }
}

function jsonScalar(value: object): Scalar | undefined {
  try {
    if (!('toJSON' in value) || typeof value.toJSON !== 'function') return undefined;
    const json: unknown = (value.toJSON as () => unknown)();
    return typeof json === 'object' ? undefined : toScalar(json);
  } catch {
    return undefined;
  }
}
