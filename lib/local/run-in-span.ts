/** The one place that opens a local span, makes it active around a call, and sees to it that whatever the call returns ends it. */
import {
  type Attributes,
  type Context,
  context,
  INVALID_SPAN_CONTEXT,
  isSpanContextValid,
  type Link,
  type Span,
  type SpanOptions,
  trace,
} from '@opentelemetry/api';
import { setCodeName } from '../conventions/code.js';
import { messages } from '../tracing.messages.js';
import { followGenerator } from './follow-generator.js';
import { followObservable } from './follow-observable.js';
import { followPromise, followThenable } from './follow-promise.js';
import { type GeneratorLike, type ObservableLike, type ResultShape, shapeOf, type Thenable } from './result-shape.js';
import { RunningSpan } from './running-span.js';
import { reportTrouble } from './trouble.js';
import { applicationIn, isSuppressed, type TracingApplication, withWork, workIn } from './work.js';
import { watchUse } from './watched-span.js';

/** How a local span is opened. @internal */
export interface SpanPlan {
  /** Whose span it is. Otherwise that of the work in the active context, else the oldest application alive. */
  readonly application?: TracingApplication | undefined;
  /** A function is called only for a span that may record, and must not throw. */
  readonly options: SpanOptions | (() => SpanOptions);
  /** The method that runs, as `Class.method`. */
  readonly codeName?: string | undefined;
  /** A new trace; the span that was active becomes a link. */
  readonly isRoot?: boolean | undefined;
  /** Milliseconds since 1970. */
  readonly startTime?: number | undefined;
  readonly resultAttributes?: ((result: unknown) => Attributes | undefined) | undefined;
  /** What ends the span. @default a {@link RunningSpan} with `resultAttributes` */
  readonly running?: ((span: Span, ctx: Context) => RunningSpan) | undefined;
  /** What earlier calls of the same method returned. */
  readonly memory?: ResultMemory | undefined;
}

/**
 * Whether a method returns Observables or generators, whose spans begin when they are consumed; `undefined` while nobody knows.
 * @internal
 */
export interface ResultMemory {
  isLazy: boolean | undefined;
}

/** A span for callers that want one where nothing is traced. @internal */
export const NO_SPAN: Span = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);

/**
 * Calls `fn` inside a new span, which ends with what `fn` returns: a value, a promise, a thenable, each subscription to an Observable, a
 * generator. What is returned or thrown passes unchanged. Where nothing is traced `fn` is just called. @internal
 */
export function runInSpan<T>(name: string | (() => string), plan: SpanPlan, fn: (span: Span) => T): T {
  const parent = context.active();
  const { memory } = plan;
  if (memory?.isLazy === true) return runBeforeSpan(name, plan, memory, parent, fn);
  const running = openSpan(name, plan, parent);
  if (running === undefined) return fn(NO_SPAN);
  if (memory !== undefined && memory.isLazy === undefined && running.span.isRecording()) {
    return runOnTrial(name, plan, memory, parent, running, fn);
  }
  let result: T;
  try {
    result = context.with(running.context, fn, undefined, running.span);
  } catch (thrown) {
    running.fail(thrown);
    throw thrown;
  }
  const shape = shapeOf(result);
  if (isLazy(shape)) {
    if (memory !== undefined) memory.isLazy = undefined;
    return followLazy(result, shape, name, plan, parent, running);
  }
  return follow(result, shape, name, plan, parent, running);
}

/** Nobody knows yet what comes back: should it be lazy, the span that was opened counts only if somebody made use of it. */
function runOnTrial<T>(
  name: string | (() => string),
  plan: SpanPlan,
  memory: ResultMemory,
  parent: Context,
  running: RunningSpan,
  fn: (span: Span) => T,
): T {
  const watched = watchUse(running.span);
  let result: T;
  try {
    result = context.with(trace.setSpan(running.context, watched.span), fn, undefined, watched.span);
  } catch (thrown) {
    running.fail(thrown);
    throw thrown;
  }
  const shape = shapeOf(result);
  memory.isLazy = isLazy(shape);
  if (!memory.isLazy) return follow(result, shape, name, plan, parent, running);
  return followLazy(result, shape, name, plan, parent, watched.isUsed() ? running : undefined);
}

/** What comes back is lazy: the call itself only prepares, outside of the span. Should it fail or return something else, the span is made up for. */
function runBeforeSpan<T>(name: string | (() => string), plan: SpanPlan, memory: ResultMemory, parent: Context, fn: (span: Span) => T): T {
  const startTime = Date.now();
  let result: T;
  try {
    result = fn(NO_SPAN);
  } catch (thrown) {
    openSpan(name, { ...plan, startTime }, parent)?.fail(thrown);
    throw thrown;
  }
  const shape = shapeOf(result);
  if (isLazy(shape)) return followLazy(result, shape, name, plan, parent, undefined);
  memory.isLazy = undefined;
  const running = openSpan(name, { ...plan, startTime }, parent);
  return running === undefined ? result : follow(result, shape, name, plan, parent, running);
}

function isLazy(shape: ResultShape): boolean {
  return shape === 'observable' || shape === 'generator';
}

function follow<T>(result: T, shape: ResultShape, name: string | (() => string), plan: SpanPlan, called: Context, running: RunningSpan): T {
  switch (shape) {
    case 'promise':
      return running.span.isRecording() ? (followPromise(result as Promise<unknown>, running) as T) : result;
    case 'thenable':
      return followThenable(result as T & Thenable, running, () => openSpan(name, plan, parentOfConsumer(called)));
    default:
      running.succeed(result);
      return result;
  }
}

/** `adopted`: a span that is open already, for the first consumer. */
function followLazy<T>(
  result: T,
  shape: ResultShape,
  name: string | (() => string),
  plan: SpanPlan,
  called: Context,
  adopted: RunningSpan | undefined,
): T {
  const open = (): RunningSpan | undefined => {
    const waiting = adopted;
    adopted = undefined;
    return waiting ?? openSpan(name, plan, parentOfConsumer(called));
  };
  if (shape === 'generator') return followGenerator(result as T & GeneratorLike, open);
  return followObservable(result as T & ObservableLike, open);
}

/** The consumer's context, unless it is nobody's: then that of the call. */
function parentOfConsumer(called: Context): Context {
  const active = context.active();
  const isSomebodys = trace.getSpan(active) !== undefined || workIn(active) !== undefined || isSuppressed(active);
  return isSomebodys ? active : called;
}

/** `undefined` where nothing is traced: no application, a request that is not traced, an exporter's own call. */
function openSpan(name: string | (() => string), plan: SpanPlan, parent: Context): RunningSpan | undefined {
  const work = workIn(parent);
  if (work?.relay !== undefined || isSuppressed(parent)) return undefined;
  const application = plan.application ?? work?.application ?? applicationIn(parent);
  if (application === undefined || !application.isEnabled) return undefined;
  const base = plan.isRoot === true ? trace.deleteSpan(parent) : parent;
  try {
    const unsampled = application.unsampledSpan(base);
    const span = unsampled ?? application.tracer.startSpan(typeof name === 'string' ? name : name(), spanOptions(plan, parent), base);
    if (plan.codeName !== undefined && span.isRecording()) setCodeName(span, plan.codeName);
    const active = trace.setSpan(base, span);
    const isAtHome = plan.application === undefined || work?.application === application;
    const ctx = isAtHome ? active : withWork(active, { application });
    return plan.running?.(span, ctx) ?? new RunningSpan(span, ctx, plan.resultAttributes);
  } catch (error) {
    reportTrouble('span-open', messages.spanNotOpened(), error);
    return undefined;
  }
}

/** Whether no span may be opened in `ctx`. @internal */
export function isUntraced(ctx: Context): boolean {
  return workIn(ctx)?.relay !== undefined || isSuppressed(ctx);
}

function spanOptions({ options, isRoot, startTime }: SpanPlan, parent: Context): SpanOptions {
  const given = typeof options === 'function' ? options() : options;
  if (isRoot !== true && startTime === undefined) return given;
  return {
    ...given,
    startTime: startTime ?? given.startTime,
    links: isRoot === true ? [...(given.links ?? []), ...linkTo(parent)] : given.links,
  };
}

/** The span that was active, for one that leaves its trace. */
function linkTo(parent: Context): Link[] {
  const ambient = trace.getSpanContext(parent);
  return ambient !== undefined && isSpanContextValid(ambient) ? [{ context: ambient }] : [];
}
