/** Attributes in OTLP JSON: arrays of key and value, where each value names its type. */
import type { Attributes, AttributeValue } from '@opentelemetry/api';

/** @internal */
export interface OtlpKeyValue {
  readonly key?: string;
  readonly value?: OtlpValue;
}

/** Has at most one field. A value without a field is null. @internal */
export interface OtlpValue {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: number | string | bigint;
  readonly doubleValue?: number | string;
  /** Base64. */
  readonly bytesValue?: string;
  readonly arrayValue?: { readonly values?: readonly OtlpValue[] };
  readonly kvlistValue?: { readonly values?: readonly OtlpKeyValue[] };
}

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** Reads attributes. Maps, bytes and nested arrays become readable text, because OpenTelemetry's API has no such values. @internal */
export function readAttributes(pairs: unknown): Attributes {
  const attributes: Attributes = {};
  if (!Array.isArray(pairs)) return attributes;
  for (const pair of pairs as readonly (OtlpKeyValue | null)[]) {
    const key = pair?.key;
    if (typeof key === 'string') put(attributes, key, attributeOf(jsonOf(pair?.value, 0)));
  }
  return attributes;
}

/** @internal */
export function writeAttributes(attributes: Attributes = {}): OtlpKeyValue[] {
  const pairs: OtlpKeyValue[] = [];
  for (const key of Object.keys(attributes)) {
    const value = attributes[key];
    if (value !== undefined) pairs.push({ key, value: write(value) });
  }
  return pairs;
}

function write(value: AttributeValue | null | undefined): OtlpValue {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) return { intValue: String(value) };
    // JSON has no NaN and no infinity, and loses the sign of -0.
    return { doubleValue: Number.isFinite(value) && value !== 0 ? value : Object.is(value, -0) ? '-0' : String(value) };
  }
  return Array.isArray(value) ? { arrayValue: { values: value.map(write) } } : {};
}

/** Values nested more deeply are left out: a request must not be able to cause a stack overflow. */
const MAX_DEPTH = 20;

function jsonOf(value: OtlpValue | null | undefined, depth: number): Json {
  if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return null;
  if (typeof value.stringValue === 'string') return value.stringValue;
  if (typeof value.boolValue === 'boolean') return value.boolValue;
  if (value.intValue !== undefined) return integer(value.intValue);
  if (value.doubleValue !== undefined) return Number(value.doubleValue);
  if (typeof value.bytesValue === 'string') return `base64:${value.bytesValue}`;
  const { arrayValue, kvlistValue } = value;
  if (arrayValue !== undefined) return listOf(arrayValue?.values).map(item => jsonOf(item as OtlpValue, depth + 1));
  if (kvlistValue === undefined) return null;
  const pairs: readonly unknown[] = listOf(kvlistValue?.values);
  return Object.fromEntries((pairs as readonly (OtlpKeyValue | null)[]).map(pair => [String(pair?.key), jsonOf(pair?.value, depth + 1)]));
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** OTLP JSON writes integers of 64 bits as text. An integer of more than 53 bits stays text, because a number would not be exact. */
function integer(value: number | string | bigint): number | string {
  if (typeof value === 'number') return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

function attributeOf(value: Json): AttributeValue {
  if (value === null) return '';
  if (!Array.isArray(value)) return typeof value === 'object' ? JSON.stringify(value) : value;
  return value.some(item => typeof item === 'object' && item !== null) ? JSON.stringify(value) : (value as string[]);
}

/** The key `__proto__` is set as an ordinary property. */
function put(attributes: Attributes, key: string, value: AttributeValue): void {
  if (key === '__proto__') Object.defineProperty(attributes, key, { value, enumerable: true, configurable: true, writable: true });
  else attributes[key] = value;
}
