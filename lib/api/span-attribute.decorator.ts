/** `@SpanAttribute(key)` records an argument on the method's span, or on the server span if a handler has no span of its own. */
import 'reflect-metadata';
import type { Attributes, AttributeValue, Span } from '@opentelemetry/api';
import { messages } from '../options/messages.js';
import { inheritedMetadata } from '../wrapping/replace-method.js';

const RECORDED = Symbol.for('nestjs-tracing/recorded-arguments');
const SPANNED = Symbol.for('nestjs-tracing/spanned');

interface RecordedArgument {
  readonly index: number;
  readonly key: string;
}

/**
 * Records the argument as attribute `key` of the span that `@Span()` or `@Traceable()` opens for the method. On a request handler without
 * these, it is recorded on the server span. Strings, finite numbers, booleans and lists of them are kept. A bigint becomes a string. An
 * object that JSON writes as a scalar (Date, URL, ObjectId) becomes that scalar. Other values are left out: pick parts of them with
 * `@Span({ attributes })`. Throws a TypeError on a parameter of a constructor.
 *
 * @example
 * \@Span()
 * load(@SpanAttribute('order.id') id: string) {}
 *
 * @publicApi
 */
export function SpanAttribute(key: string): ParameterDecorator {
  return (target, method, index) => {
    if (method === undefined) throw new TypeError(messages.notAMethodParameter((target as Function).name, key));
    const others = recordedArguments(target, method);
    Reflect.defineMetadata(RECORDED, [...others, { index, key }], target, method);
  };
}

/** Returns a function that computes a call's attributes, or undefined if the method that `target` declares records none. @internal */
export function spanAttributesOf(target: object, method: string | symbol): ((args: readonly unknown[]) => Attributes) | undefined {
  const recorded = recordedArguments(target, method);
  return recorded.length === 0 ? undefined : args => attributesOf(recorded, args);
}

/** Marks the method: its calls open a span of their own. @internal */
export function markSpanned(target: object, method: string | symbol): void {
  Reflect.defineMetadata(SPANNED, true, target, method);
}

/** Returns true if calls of the method that `target` itself declares open a span of their own. @internal */
export function isSpanned(target: object, method: string | symbol): boolean {
  return Reflect.getOwnMetadata(SPANNED, target, method) === true;
}

/** Returns true if the method that a call on `prototype` reaches opens a span of its own. @internal */
export function opensSpan(prototype: object, method: string | symbol): boolean {
  return inheritedMetadata(prototype, method, SPANNED) === true;
}

/** Returns true if a method records arguments and opens no span of its own. @internal */
export function hasSpanAttributes(prototype: object, method: string): boolean {
  return inheritedMetadata(prototype, method, RECORDED) !== undefined && !opensSpan(prototype, method);
}

/** Records the arguments of a call on `span`. @internal */
export function recordSpanAttributes(span: Span, prototype: object, method: string, args: readonly unknown[]): void {
  if (!span.isRecording()) return;
  const recorded = inheritedMetadata(prototype, method, RECORDED) as readonly RecordedArgument[] | undefined;
  if (recorded !== undefined) span.setAttributes(attributesOf(recorded, args));
}

function recordedArguments(target: object, method: string | symbol): readonly RecordedArgument[] {
  return (Reflect.getOwnMetadata(RECORDED, target, method) as readonly RecordedArgument[] | undefined) ?? [];
}

function attributesOf(recorded: readonly RecordedArgument[], args: readonly unknown[]): Attributes {
  const values: Record<string, unknown> = {};
  for (const { index, key } of recorded) values[key] = args[index];
  return toAttributes(values);
}

type Scalar = string | number | boolean;

/**
 * Returns those of `values` that can be recorded. Scalars are kept. A bigint becomes a string. An object that JSON writes as a scalar
 * (Date, URL, ObjectId, Decimal) becomes that scalar. A list of these is kept; if its types differ, all become strings. Other objects,
 * `null`, `undefined` and numbers that are not finite are left out. Never throws. @internal
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
