/** `@Span()`: a span around each call of a method. */
import type { Link, SpanKind } from '@opentelemetry/api';
import type { Observable } from 'rxjs';
import { messages } from '../tracing.messages.js';
import { type Method, type MethodSpan, tracedMethod } from './traced-method.js';

/**
 * Options of {@link Span}. Callbacks are called for spans that record, and guarded: one that throws is reported once and its result left
 * out. Values that are no attribute values are treated as `@SpanAttribute()` treats them.
 * @publicApi
 */
export interface SpanOptions<Args extends readonly unknown[] = readonly never[], Result = never> {
  /** The span's name, few distinct ones: no ids. @default `Class.method` with the class of the instance */
  readonly name?: string | ((...args: Args) => string);
  /** Recorded when the span starts: an object, or a function of the method's arguments. @default none */
  readonly attributes?: Readonly<Record<string, unknown>> | ((...args: Args) => Readonly<Record<string, unknown>>);
  /**
   * Recorded when the method succeeds, from its result: what a promise resolves to, the last value of an Observable, the return value of a
   * generator that ran to its end. @default none
   */
  readonly resultAttributes?: (result: Result) => Readonly<Record<string, unknown>>;
  /** @default INTERNAL */
  readonly kind?: SpanKind;
  /** Whether a new trace begins; the span that was active becomes a link. @default false */
  readonly root?: boolean;
  /** Spans that this one has to do with, or a function of the method's arguments. @default none */
  readonly links?: readonly Link[] | ((...args: Args) => readonly Link[]);
}

/** {@link SpanOptions} that do not depend on the method. @publicApi */
export interface FixedSpanOptions {
  readonly name?: string;
  readonly attributes?: Readonly<Record<string, unknown>>;
  readonly kind?: SpanKind;
  readonly root?: boolean;
  readonly links?: readonly Link[];
}

/** A decorator for methods that take at least `Args` and result in `Result`. @publicApi */
export type SpanDecorator<Args extends readonly unknown[], Result> = <M extends (...args: never[]) => unknown>(
  target: object,
  method: string | symbol,
  descriptor: TypedPropertyDescriptor<M> & Fitting<Args, Result, M>,
) => void;

type Fitting<Args extends readonly unknown[], Result, M> = M extends (...args: infer Given) => infer Returned
  ? Given extends readonly [...Args, ...unknown[]]
    ? // Options declared without type arguments fit any method.
      [Result] extends [never]
      ? unknown
      : [Outcome<Returned>] extends [Result]
        ? unknown
        : { readonly 'resultAttributes does not accept the result of this method': never }
    : { readonly 'A callback of @Span() does not accept the arguments of this method': never }
  : unknown;

type Outcome<Returned> =
  Returned extends Observable<infer Value>
    ? Value
    : Returned extends Generator<unknown, infer Value, never> | AsyncGenerator<unknown, infer Value, never>
      ? Value
      : Awaited<Returned>;

/**
 * Runs each call of the method in a span. It ends with what the method returns: a value, a promise or other thenable, each subscription
 * to an Observable (from subscribe to complete, error or unsubscribe), a generator (from the first value asked for to its end). What is
 * thrown is recorded and rethrown unchanged. Metadata, name and length of the method are kept: the order among decorators is free.
 *
 * The span of an Observable or generator is a child of the span that is active where it is consumed, else of the one active at the call.
 * Declare the return type of such a method: without it the first span may begin with the call, if the body makes use of it. A query
 * builder runs inside the span if it is awaited right away, else inside a further one.
 *
 * @example
 * \@Span()
 * async load(id: string) {}
 *
 * \@Span({ attributes: (order: Order) => ({ 'order.items': order.items.length }) })
 * save(order: Order) {}
 *
 * @publicApi
 */
export function Span(name?: string, options?: FixedSpanOptions): MethodDecorator;
export function Span(options: FixedSpanOptions): MethodDecorator;
export function Span<Args extends readonly unknown[], Result = unknown>(
  name: string | ((...args: Args) => string),
  options?: SpanOptions<Args, Result>,
): SpanDecorator<Args, Result>;
export function Span<Args extends readonly unknown[], Result = unknown>(options: SpanOptions<Args, Result>): SpanDecorator<Args, Result>;
export function Span(first?: MethodSpan['name'] | MethodSpan, second?: MethodSpan): MethodDecorator {
  const options = typeof first === 'object' ? first : { ...second, name: first ?? second?.name };
  return (target, method, descriptor) => {
    // Without `experimentalDecorators` a decorator is called in another way, and on anything but a method there is nothing to call.
    if (typeof descriptor?.value !== 'function') throw new TypeError(messages.notAMethod('@Span()', target, method));
    descriptor.value = tracedMethod(target, method, descriptor.value as unknown as Method, options) as never;
  };
}
