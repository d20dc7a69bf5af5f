/** A span from its start to its end: runs code in it, decides which results it waits for, and ends it exactly once. */
import { type Attributes, type Context, context, INVALID_SPAN_CONTEXT, ROOT_CONTEXT, type Span, trace } from '@opentelemetry/api';
import { recordFailure } from '../conventions/failure.js';
import { messages } from '../options/messages.js';
import { reportTrouble } from '../options/trouble.js';
import { attach } from './context.js';

/** A span that records nothing. Callers that need a span get it if nothing is traced. @internal */
export const NON_RECORDING_SPAN: Span = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);

/** @internal */
export class RunningSpan {
  private isOver = false;
  private last: unknown;
  private hasEmitted = false;

  constructor(
    private opened: Span,
    protected entered: Context,
    private readonly resultAttributes?: (result: unknown) => Attributes | undefined,
  ) {}

  get span(): Span {
    return this.opened;
  }

  /** The context in which the span is active. */
  get context(): Context {
    return this.entered;
  }

  get hasEnded(): boolean {
    return this.isOver;
  }

  /** Calls `fn` with the span active. */
  run<T>(fn: () => T): T {
    const attached = attach(this.context);
    if (attached === undefined) return context.with(this.context, fn);
    try {
      return fn();
    } finally {
      attached.dispose();
    }
  }

  /**
   * Returns true if the span lasts until a result of this shape is over. `isSettled`: true if the result is the value of the returned
   * promise.
   */
  lastsFor(shape: ResultShape, isSettled: boolean): boolean {
    if (isSettled) return shape === 'async-iterable';
    // The work of a promise has started already. If the span does not record, there is no need to wait.
    return shape !== 'promise' || this.opened.isRecording();
  }

  /** Called with each value of a stream. The last one is the result. */
  emitted(value: unknown): void {
    this.hasEmitted = true;
    if (this.resultAttributes !== undefined) this.last = value;
  }

  /** Called when a stream has completed. */
  completed(): void {
    if (this.hasEmitted) this.succeed(this.last);
    else this.end();
  }

  /** Records the attributes of the result, and ends the span like {@link end}. */
  succeed(result: unknown, endTime?: number): void {
    if (this.isOver) return;
    if (this.resultAttributes !== undefined && this.span.isRecording()) {
      const attributes = this.resultAttributes(result);
      if (attributes !== undefined) this.span.setAttributes(attributes);
    }
    this.end(endTime);
  }

  /** Records the error and ends the span. */
  fail(thrown: unknown): void {
    if (this.isOver) return;
    recordFailure(this.span, thrown);
    this.end();
  }

  /** Changes the span no more, and leaves its end to the instrumentation that opened it. */
  release(): void {
    this.isOver = true;
  }

  /** Keeps only the ids of the span. For work that may go on for ever after the span has ended. */
  forget(): void {
    this.opened = trace.wrapSpanContext(this.opened.spanContext());
    this.entered = ROOT_CONTEXT;
  }

  /** Ends the span. Later calls change nothing. `endTime`: milliseconds since 1970. @default now */
  end(endTime?: number): void {
    if (this.isOver) return;
    this.isOver = true;
    this.endSpan(endTime);
  }

  protected endSpan(endTime?: number): void {
    try {
      // The user may have ended the span, and a non-recording span needs no end.
      if (this.span.isRecording()) this.span.end(endTime);
    } catch (error) {
      reportTrouble('span-end', messages.spanNotEnded(), error);
    }
  }
}

/**
 * When the work of a result starts and ends. `value`: has ended. `promise`: ends when it settles. `thenable`: ends when it settles, may
 * start with a call of `then`. `observable` and `generator`: start with the subscription or the first `next()`, end with consumer or
 * source. `async-iterable`: has started, ends with its iteration.
 * @internal
 */
export type ResultShape = 'value' | 'promise' | 'thenable' | 'observable' | 'generator' | 'async-iterable';

/** @internal */
export interface Thenable {
  then(onFulfilled?: unknown, onRejected?: unknown): unknown;
}

/** @internal */
export interface ObservableLike {
  subscribe(...observer: unknown[]): unknown;
}

/** A generator, or an iterator that may lack the optional methods. @internal */
export interface GeneratorLike {
  next(...args: unknown[]): unknown;
  return?(...args: unknown[]): unknown;
  throw?(...args: unknown[]): unknown;
}

/** @internal */
export interface AsyncIterableLike {
  [Symbol.asyncIterator](...args: unknown[]): unknown;
}

/** Returns the shape of a result. Never throws: an object whose properties cannot be read is a value. @internal */
export function shapeOf(result: unknown): ResultShape {
  if ((typeof result !== 'object' || result === null) && typeof result !== 'function') return 'value';
  try {
    if (isPlainPromise(result)) return 'promise';
    const members = result as Readonly<Record<PropertyKey, unknown>>;
    if (typeof members.then === 'function') return 'thenable';
    if (typeof members.subscribe === 'function' && typeof members.pipe === 'function') return 'observable';
    if (typeof members.next === 'function' && isGenerator(members)) return 'generator';
    if (typeof members[Symbol.asyncIterator] === 'function') return 'async-iterable';
  } catch {
    // A getter or proxy that throws.
  }
  return 'value';
}

/** Returns true if the span of a result starts when the result is consumed, not when it is returned. @internal */
export function isLazy(shape: ResultShape): shape is 'observable' | 'generator' {
  return shape === 'observable' || shape === 'generator';
}

/** Returns true for a promise whose `then` is not called by `await`. */
function isPlainPromise(result: object): boolean {
  return result instanceof Promise && result.constructor === Promise;
}

function isGenerator(members: Readonly<Record<PropertyKey, unknown>>): boolean {
  return (
    typeof members.return === 'function' &&
    typeof members.throw === 'function' &&
    (typeof members[Symbol.iterator] === 'function' || typeof members[Symbol.asyncIterator] === 'function')
  );
}
