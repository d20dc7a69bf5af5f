/** Two implementations of `Context` that cost little, and functions that read a context or make it active. */
import type { AsyncLocalStorage } from 'node:async_hooks';
import type { EventEmitter } from 'node:events';
import {
  type Context,
  context,
  createContextKey,
  isSpanContextValid,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  trace,
} from '@opentelemetry/api';
import { RANDOM_FLAG, SUPPRESSED } from '../propagation/context-values.js';
import { replaceMethod } from '../wrapping/replace-method.js';

/**
 * The key of the span in a context. The API does not export it. It is a registered symbol, so it is the same in every copy and version of the
 * API. @internal
 */
export const SPAN = createContextKey('OpenTelemetry Context Key SPAN');

/** The key of the unit of work in a context. @internal */
export const WORK = createContextKey('nestjs-tracing/work');

/** The key of the outbound operation that is being sent in a context. @internal */
export const OUTBOUND = createContextKey('nestjs-tracing/outbound');

/** The key of the mark of {@link inBackground}. */
const BACKGROUND = createContextKey('nestjs-tracing/background');

/** Returns a copy of `ctx` for the own calls of a library, such as polls: calls through `node:http` start no trace in it. @internal */
export function inBackground(ctx: Context): Context {
  return ctx.setValue(BACKGROUND, true);
}

/** @internal */
export function isBackground(ctx: Context): boolean {
  return ctx.getValue(BACKGROUND) === true;
}

/** The part of the work that is read here. `passthrough` is set if it is not traced. */
interface PerhapsUntraced {
  readonly passthrough?: Context | undefined;
}

/** A call whose span opens when the context in which it was called is asked for it. @internal */
export interface PendingSpan {
  /** The context in which the call was made. It stays active during the call. */
  readonly parent: Context;
  /** The context with the span of the call. Undefined if it gets no span. Opens the span. */
  readonly context: Context | undefined;
}

/** The innermost call that has not returned. It has no promise to wait for, so nothing else runs meanwhile. */
let pending: PendingSpan | undefined = undefined;

/** @internal */
export function pendingSpan(): PendingSpan | undefined {
  return pending;
}

/** How many calls of {@link quietly} are running. */
let quiet = 0;

/** Calls `fn`, a part of the pipeline that a user wrote. No span is made of methods in it: such a span would call it again. @internal */
export function quietly<T>(fn: () => T): T {
  quiet += 1;
  try {
    return fn();
  } finally {
    quiet -= 1;
  }
}

/** Returns true inside of {@link quietly}. @internal */
export function isQuiet(): boolean {
  return quiet > 0;
}

/** Makes `call` the innermost call. Returns the one before. The caller must restore that before it returns. @internal */
export function swapPending(call: PendingSpan | undefined): PendingSpan | undefined {
  const before = pending;
  pending = call;
  return before;
}

/** Returns true if a call is pending in `ctx`. @internal */
export function hasPending(ctx: Context): boolean {
  return pending !== undefined && pending.parent === ctx;
}

/** An immutable context with one field for each frequent key. `rest` holds the values of all other keys. */
class SlimContext implements Context {
  constructor(
    private readonly rest: Context,
    private readonly span: unknown,
    private readonly work: unknown,
    private readonly randomFlag: unknown,
    private readonly outbound: unknown,
  ) {}

  getValue(key: symbol): unknown {
    if (key === WORK) return this.work;
    // Work may become untraced later. Then this context must behave as untraced, too.
    const passthrough = (this.work as PerhapsUntraced | undefined)?.passthrough;
    if (passthrough !== undefined && key === SUPPRESSED) return true;
    if (key === SPAN) {
      if (passthrough !== undefined) return passthrough.getValue(SPAN);
      const inside = hasPending(this) ? pending?.context : undefined;
      return inside === undefined ? this.span : inside.getValue(SPAN);
    }
    if (key === RANDOM_FLAG) return this.randomFlag;
    if (key === OUTBOUND) return this.outbound;
    return this.rest.getValue(key);
  }

  setValue(key: symbol, value: unknown): Context {
    const { rest, span, work, randomFlag, outbound } = this;
    if (key === SPAN) return new SlimContext(rest, value, work, randomFlag, outbound);
    const inside = hasPending(this) ? pending?.context : undefined;
    if (inside !== undefined) return inside.setValue(key, value);
    if (key === WORK) return new SlimContext(rest, span, value, randomFlag, outbound);
    if (key === RANDOM_FLAG) return new SlimContext(rest, span, work, value, outbound);
    if (key === OUTBOUND) return new SlimContext(rest, span, work, randomFlag, value);
    return new SlimContext(rest.setValue(key, value), span, work, randomFlag, outbound);
  }

  /** Sets both values at once. */
  withWork(span: unknown, work: unknown): Context {
    return new SlimContext(this.rest, span, work, this.randomFlag, this.outbound);
  }

  /** Sets both values at once. */
  withOutbound(span: unknown, outbound: unknown): Context {
    return new SlimContext(this.rest, span, this.work, this.randomFlag, outbound);
  }

  deleteValue(key: symbol): Context {
    if (key === SPAN || key === WORK || key === RANDOM_FLAG || key === OUTBOUND) return this.setValue(key, undefined);
    const inside = hasPending(this) ? pending?.context : undefined;
    if (inside !== undefined) return inside.deleteValue(key);
    return new SlimContext(this.rest.deleteValue(key), this.span, this.work, this.randomFlag, this.outbound);
  }
}

/** Returns true if `ctx` answers with the span of the call that is pending in it. @internal */
export function answersForPending(ctx: Context): boolean {
  return ctx instanceof SlimContext;
}

/** Returns a copy of a context of another library that answers with the span of the call that is pending in it. @internal */
export function answeringFor(ctx: Context): Context {
  return new SlimContext(ctx, ctx.getValue(SPAN), ctx.getValue(WORK), ctx.getValue(RANDOM_FLAG), ctx.getValue(OUTBOUND));
}

/** The empty slim context. Other contexts derive from it instead of `ROOT_CONTEXT`. @internal */
export const SLIM_ROOT: Context = new SlimContext(ROOT_CONTEXT, undefined, undefined, undefined, undefined);

/** Returns `ctx` with a span and the unit of work that the span belongs to. @internal */
export function contextOfWork(ctx: Context, span: Span, work: object): Context {
  return ctx instanceof SlimContext ? ctx.withWork(span, work) : ctx.setValue(SPAN, span).setValue(WORK, work);
}

/** Returns `ctx` with the span of an outbound operation, and with the operation. @internal */
export function contextOfSending(ctx: Context, span: Span, operation: object): Context {
  return ctx instanceof SlimContext ? ctx.withOutbound(span, operation) : ctx.setValue(SPAN, span).setValue(OUTBOUND, operation);
}

/** Returns a context that holds the passthrough context of `work`, and in which no span can be opened. @internal */
export function untracedContext<Work extends { readonly passthrough: Context }>(work: Work): Context {
  return new SlimContext(work.passthrough, undefined, work, undefined, undefined);
}

/** A context that is created on first use. Most untraced requests never use it, as they make no outgoing calls. @internal */
export class LazyContext implements Context {
  private context: Context | undefined;
  private isBeingMade = false;

  constructor(private readonly create: () => Context) {}

  getValue(key: symbol): unknown {
    return this.known().getValue(key);
  }

  setValue(key: symbol, value: unknown): Context {
    return this.known().setValue(key, value);
  }

  deleteValue(key: symbol): Context {
    return this.known().deleteValue(key);
  }

  private known(): Context {
    if (this.context !== undefined) return this.context;
    // A user's propagator may read the active context while `create` calls it. It gets an empty context.
    if (this.isBeingMade) return SLIM_ROOT;
    this.isBeingMade = true;
    return (this.context = this.create());
  }
}

/** Returns the ids and flags of the span in `ctx`. Returns undefined if `ctx` holds no span. @internal */
export function spanContextIn(ctx: Context): SpanContext | undefined {
  const found = trace.getSpanContext(ctx);
  // A caller's sampling decision without ids is stored as an invalid span context.
  return found !== undefined && isSpanContextValid(found) ? found : undefined;
}

/** Returns the link to the span in `ctx` as a list, which may be empty. @internal */
export function linksTo(ctx: Context): Link[] {
  const found = spanContextIn(ctx);
  return found === undefined ? [] : [{ context: found }];
}

/** `dispose()` makes the previous context active again. */
interface Attached {
  dispose(): void;
}

// The API does not export the context manager. It registers the manager under this symbol.
const API = Symbol.for('opentelemetry.js.api.1');
const slots = globalThis as { [API]?: { readonly context?: Manager } };

interface Manager {
  attach?(ctx: Context): Attached;
  /** OpenTelemetry's manager keeps the active context in it. */
  readonly _asyncLocalStorage?: AsyncLocalStorage<Context>;
}

/**
 * Returns the store that holds the active context, to bind it to diagnostics channels. Returns undefined if the context manager of the
 * process has none. @internal
 */
export function contextStore(): AsyncLocalStorage<Context> | undefined {
  return slots[API]?.context?._asyncLocalStorage;
}

/** Returns what `context.active()` returns, in half the time. @internal */
export function activeContext(): Context {
  const store = slots[API]?.context?._asyncLocalStorage;
  return store === undefined ? context.active() : (store.getStore() ?? ROOT_CONTEXT);
}

/**
 * Makes `ctx` active until the caller calls `dispose()`. The caller must do so before it returns or awaits. Returns undefined if the
 * context manager of the process has no `attach()`. @internal
 */
export function attach(ctx: Context): Attached | undefined {
  return slots[API]?.context?.attach?.(ctx);
}

/** Calls `fn` with `ctx` active. @internal */
export function inContext<Args extends unknown[], T>(
  ctx: Context,
  fn: (this: never, ...args: Args) => T,
  self?: unknown,
  ...args: [...Args]
): T {
  // To enter a context costs as much as a small span.
  if (activeContext() === ctx) return Reflect.apply(fn, self, args) as T;
  const attached = attach(ctx);
  if (attached === undefined) return context.with(ctx, fn, self as undefined, ...args);
  try {
    return Reflect.apply(fn, self, args) as T;
  } finally {
    attached.dispose();
  }
}

/**
 * Makes all listeners of `emitter` run in `ctx` from now on: sockets and streams emit outside of any context. Calls `onEvent`, which must
 * not throw, before the listeners of each event. @internal
 */
export function emitInContext(
  emitter: Pick<EventEmitter, 'emit'>,
  ctx: Context,
  onEvent: (event: unknown, value: unknown) => void = () => undefined,
): void {
  replaceMethod(emitter, 'emit', emit => {
    return function (...args) {
      onEvent(args[0], args[1]);
      return inContext(ctx, emit, this, ...args);
    };
  });
}
