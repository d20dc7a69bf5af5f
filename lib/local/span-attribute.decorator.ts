/** `@SpanAttribute(key)`: arguments that are recorded on the method's span, or on the request's for a handler without one. */
import type { Attributes, Span } from '@opentelemetry/api';
import { messages } from '../tracing.messages.js';
import { toAttributes } from './attribute-value.js';
import { inheritedMethodMark, markMethod, methodMark } from './method-marks.js';

const RECORDED = Symbol.for('nestjs-tracing/recorded-arguments');
const SPANNED = Symbol.for('nestjs-tracing/spanned');

interface RecordedArgument {
  readonly index: number;
  readonly key: string;
}

/**
 * Records the argument as attribute `key` of the span that `@Span()` or `@Traceable()` opens for the method; on a request handler without
 * either, of the server span. Strings, finite numbers, booleans and lists of them are recorded as they are, a bigint as string, an object
 * that JSON writes as a scalar (Date, URL, ObjectId) as that scalar. Everything else is left out: use `@Span({ attributes })` to pick.
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
    markMethod(target, method, RECORDED, [...others, { index, key }]);
  };
}

/** The attributes that a call with `args` records, by the method as `target` declares it; `undefined` where there are none. @internal */
export function spanAttributesOf(target: object, method: string | symbol): ((args: readonly unknown[]) => Attributes) | undefined {
  const recorded = recordedArguments(target, method);
  return recorded.length === 0 ? undefined : args => attributesOf(recorded, args);
}

/** Notes that calls of the method open a span of their own. @internal */
export function markSpanned(target: object, method: string | symbol): void {
  markMethod(target, method, SPANNED, true);
}

/** Whether calls of the method, as `target` declares it, open a span of their own. @internal */
export function isSpanned(target: object, method: string | symbol): boolean {
  return methodMark(target, method, SPANNED) === true;
}

/** Whether a method records arguments and has no span of its own to record them on. @internal */
export function hasSpanAttributes(prototype: object, method: string): boolean {
  return inheritedMethodMark(prototype, method, RECORDED) !== undefined && inheritedMethodMark(prototype, method, SPANNED) !== true;
}

/** Records the arguments of a call on `span`. @internal */
export function recordSpanAttributes(span: Span, prototype: object, method: string, args: readonly unknown[]): void {
  if (!span.isRecording()) return;
  const recorded = inheritedMethodMark(prototype, method, RECORDED) as readonly RecordedArgument[] | undefined;
  if (recorded !== undefined) span.setAttributes(attributesOf(recorded, args));
}

function recordedArguments(target: object, method: string | symbol): readonly RecordedArgument[] {
  return (methodMark(target, method, RECORDED) as readonly RecordedArgument[] | undefined) ?? [];
}

function attributesOf(recorded: readonly RecordedArgument[], args: readonly unknown[]): Attributes {
  const values: Record<string, unknown> = {};
  for (const { index, key } of recorded) values[key] = args[index];
  return toAttributes(values);
}
