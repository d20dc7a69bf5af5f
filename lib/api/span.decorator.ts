/** `@Span()` and `@Traceable()` open a span for each call of a method. `@CurrentSpan()` passes the active span to a handler. */
import { createParamDecorator } from '@nestjs/common';
import { type Link, type SpanKind, trace } from '@opentelemetry/api';
import type { Observable } from 'rxjs';
import { messages } from '../options/messages.js';
import { NON_RECORDING_SPAN } from '../spans/running-span.js';
import { isSpanned } from './span-attribute.decorator.js';
import type { Method } from '../wrapping/replace-method.js';
import { type CallSpanOptions, type MethodSpan, tracedMethod } from './traced-method.js';

/**
 * Options of {@link Span}. Callbacks are called only for spans that record. If one throws, the error is logged once and its result is left
 * out. Attribute values are converted as in `@SpanAttribute()`.
 * @publicApi
 */
export interface SpanOptions<Args extends readonly unknown[] = readonly never[], Result = never> {
  /** The span's name, of low cardinality: no ids in it. @default `Class.method` with the class of the instance */
  readonly name?: string | ((...args: Args) => string);
  /** Recorded when the span starts: an object, or a function of the method's arguments. @default none */
  readonly attributes?: Readonly<Record<string, unknown>> | ((...args: Args) => Readonly<Record<string, unknown>>);
  /**
   * Recorded when the method succeeds: a function of its result. This is the value of a promise, the last value of an Observable, or the
   * return value of a generator that ran to its end. @default none
   */
  readonly resultAttributes?: (result: Result) => Readonly<Record<string, unknown>>;
  /** @default INTERNAL */
  readonly kind?: SpanKind;
  /** True to start a new trace. The span that was active becomes a link. @default false */
  readonly root?: boolean;
  /** Links to related spans: a list, or a function of the method's arguments. @default none */
  readonly links?: readonly Link[] | ((...args: Args) => readonly Link[]);
}

/** {@link SpanOptions} without callbacks. They fit any method. @publicApi */
export interface FixedSpanOptions {
  readonly name?: string;
  readonly attributes?: Readonly<Record<string, unknown>>;
  readonly kind?: SpanKind;
  readonly root?: boolean;
  readonly links?: readonly Link[];
}

/** A decorator for methods whose parameters begin with `Args` and whose result is a `Result`. @publicApi */
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
 * Runs each call of the method in a span, which ends with the result:
 * - a value: at once; a promise or other thenable: when it settles;
 * - an Observable: a span for each subscription, from subscribe to complete, error or unsubscribe;
 * - a generator: from the first `next()` to its end;
 * - another async iterable, like the stream of a language model: from the call to the end of the iteration.
 *
 * An error is recorded and rethrown unchanged. The method keeps its metadata, name and length, so the order of decorators is free.
 *
 * The span of an Observable or generator is a child of the span that is active where it is consumed, else of the one active at the call.
 * Declare the return type of such a method: without it, the first span may start with the call if the method uses the span. A query builder
 * runs inside the span if it is awaited at once, else inside a further span. The iteration of an async iterable must begin within one
 * second; for a stream of Node or the web, within one turn of the event loop. Otherwise the span ends with the call.
 *
 * @example
 * \@Span()
 * async load(id: string) {}
 *
 * \@Span('save', (order: Order) => ({ attributes: { 'order.items': order.items.length } }))
 * \@Span({ attributes: (order: Order) => ({ 'order.items': order.items.length }) })
 * save(order: Order) {}
 *
 * @publicApi
 */
export function Span<Args extends readonly unknown[]>(
  name: string | undefined,
  options: (...args: Args) => CallSpanOptions,
): SpanDecorator<Args, unknown>;
export function Span(name?: string, options?: FixedSpanOptions): MethodDecorator;
export function Span(options: FixedSpanOptions): MethodDecorator;
export function Span<Args extends readonly unknown[], Result = unknown>(
  name: string | ((...args: Args) => string),
  options?: SpanOptions<Args, Result>,
): SpanDecorator<Args, Result>;
export function Span<Args extends readonly unknown[], Result = unknown>(options: SpanOptions<Args, Result>): SpanDecorator<Args, Result>;
export function Span(first?: MethodSpan['name'] | MethodSpan, second?: MethodSpan | MethodSpan['perCall']): MethodDecorator {
  const options = typeof first === 'object' ? first : withName(first, second);
  return (target, method, descriptor) => {
    // There is no such descriptor without `experimentalDecorators`, or if the decorator is not on a method.
    if (typeof descriptor?.value !== 'function') throw new TypeError(messages.notAMethod('@Span()', target, method));
    descriptor.value = tracedMethod(target, method, descriptor.value as unknown as Method, options) as never;
  };
}

function withName(name: MethodSpan['name'], options: MethodSpan | MethodSpan['perCall']): MethodSpan {
  if (typeof options === 'function') return { name, perCall: options };
  return { ...options, name: name ?? options?.name };
}

/** Options of {@link Traceable}. @publicApi */
export interface TraceableOptions {
  /** Recorded on every span of the class. @default none */
  readonly attributes?: Readonly<Record<string, unknown>>;
  /** @default INTERNAL */
  readonly kind?: SpanKind;
}

/**
 * Does what `@Span()` does, for every method that the class itself declares, static ones included. Methods with their own `@Span()` keep
 * it. Methods with `@NoSpan()` get no span. Accessors, constructors and functions in properties stay unchanged.
 *
 * @example
 * \@Traceable()
 * \@Injectable()
 * export class OrdersService {}
 *
 * @publicApi
 */
export function Traceable(options: TraceableOptions = {}): ClassDecorator {
  return target => {
    traceMethods(target.prototype as object, options);
    traceMethods(target, options);
  };
}

function traceMethods(target: object, options: TraceableOptions): void {
  for (const method of Object.getOwnPropertyNames(target)) {
    const descriptor = Object.getOwnPropertyDescriptor(target, method);
    const original: unknown = descriptor?.value;
    // Methods are not enumerable, functions in static properties are.
    if (method === 'constructor' || descriptor?.enumerable !== false || !isMethod(original) || isSpanned(target, method)) continue;
    Reflect.defineProperty(target, method, { ...descriptor, value: tracedMethod(target, method, original, options) });
  }
}

/** Returns false for a class: a static property may hold one, and it cannot be called. */
function isMethod(value: unknown): value is Method {
  return typeof value === 'function' && Object.getOwnPropertyDescriptor(value, 'prototype')?.writable !== false;
}

/**
 * Passes the active span to a parameter of a handler: the server span, even if the handler has its own `@Span()`. If the request is not
 * traced, it is a span that records nothing, never `undefined`.
 *
 * @example
 * \@Get(':id')
 * one(@CurrentSpan() span: Span, @Param('id') id: string) { span.setAttribute('user.id', id); }
 *
 * @publicApi
 */
export const CurrentSpan: () => ParameterDecorator = createParamDecorator(() => trace.getActiveSpan() ?? NON_RECORDING_SPAN);
