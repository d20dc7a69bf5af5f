/** Opens local spans: for a call, whose result ends the span, or for code that ends it. */
import { type Attributes, type Context, context, type Span, type SpanOptions, trace } from '@opentelemetry/api';
import { messages } from '../options/messages.js';
import { startTimeAt, wallTime } from './clock.js';
import { attach, linksTo } from './context.js';
import { isLazy, NON_RECORDING_SPAN, RunningSpan, shapeOf } from './running-span.js';
import { reportTrouble } from '../options/trouble.js';
import { isSuppressed } from '../propagation/context-values.js';
import { track } from './track.js';
import { applicationIn, type FinalSpanOptions, type TracingApplication, withWork, workIn } from './work.js';

/** How a local span is opened. @internal */
export interface SpanPlan {
  /** The application that the span belongs to. @default that of the active work, else the oldest running application */
  readonly application?: TracingApplication | undefined;
  /** A function is called only for a span that may record, and must not throw. */
  readonly options: SpanOptions | FinalSpanOptions | (() => SpanOptions | FinalSpanOptions);
  /** True to start a new trace. The span that was active becomes a link. */
  readonly isRoot?: boolean | undefined;
  /** Milliseconds since 1970. */
  readonly startTime?: number | undefined;
  readonly resultAttributes?: ((result: unknown) => Attributes | undefined) | undefined;
  /** Creates the object that ends the span. @default a {@link RunningSpan} with `resultAttributes` */
  readonly running?: ((span: Span, ctx: Context) => RunningSpan) | undefined;
  /** Tells whether earlier calls of the same method returned lazy results. */
  readonly memory?: ResultMemory | undefined;
}

/**
 * `isLazy` is true if a method returns Observables or generators, whose spans start on consumption. Undefined until a call has returned.
 * @internal
 */
export interface ResultMemory {
  isLazy: boolean | undefined;
}

/**
 * Calls `fn` inside a new span, and returns or throws exactly what `fn` does. The span ends with that result: see {@link track}. If nothing
 * is traced, `fn` is just called. Without `args`, `fn` gets the span. All steps are in one function: each further stack frame would remove
 * one of the user's from the end of an error's stack. @internal
 */
export function runInSpan<T>(name: string | (() => string), plan: SpanPlan, fn: (span: Span) => T): T;
export function runInSpan(
  name: string | (() => string),
  plan: SpanPlan,
  fn: (this: unknown, ...args: unknown[]) => unknown,
  self: unknown,
  args: unknown[],
): unknown;
export function runInSpan(
  name: string | (() => string),
  plan: SpanPlan,
  fn: (this: unknown, ...args: never[]) => unknown,
  self?: unknown,
  args?: unknown[],
): unknown {
  const parent = context.active();
  const { memory } = plan;
  // The method returns lazy results: the span is opened when the result is consumed.
  const isBefore = memory?.isLazy === true;
  const calledAt = isBefore ? wallTime() : undefined;
  const running = isBefore ? undefined : openLocalSpan(name, plan, parent);
  if (running === undefined && !isBefore) return Reflect.apply(fn, self, args ?? [NON_RECORDING_SPAN]);
  // It is not known yet whether the result is lazy. If it is, the open span is kept only if something used it.
  const isOnTrial = memory !== undefined && memory.isLazy === undefined && running?.span.isRecording() === true;
  const watched = isOnTrial ? watchUse(running.span) : undefined;
  const handed = args ?? [watched?.span ?? running?.span ?? NON_RECORDING_SPAN];
  const ctx = watched === undefined || running === undefined ? running?.context : trace.setSpan(running.context, watched.span);
  const attached = ctx && attach(ctx);
  let result: unknown;
  try {
    result =
      ctx !== undefined && attached === undefined ? context.with(ctx, fn, self, ...(handed as never[])) : Reflect.apply(fn, self, handed);
  } catch (thrown) {
    attached?.dispose();
    (running ?? openLocalSpan(name, { ...plan, startTime: calledAt }, parent))?.fail(thrown);
    throw thrown;
  }
  attached?.dispose();
  const shape = shapeOf(result);
  if (memory !== undefined && (isOnTrial || memory.isLazy !== isLazy(shape))) memory.isLazy = isOnTrial ? isLazy(shape) : undefined;
  const further = (): RunningSpan | undefined => openLocalSpan(name, plan, parentOfConsumer(parent));
  if (isLazy(shape)) return track(result, watched?.isUsed() === false ? undefined : running, further, false, shape);
  const opened = running ?? openLocalSpan(name, { ...plan, startTime: calledAt }, parent);
  return opened === undefined ? result : track(result, opened, further, false, shape);
}

/**
 * Opens a span for work of several calls. The caller runs code in the span and ends it. `options` is called only if the span may record.
 * @internal
 */
export function openSpan(
  application: TracingApplication,
  name: string,
  options: SpanOptions | (() => SpanOptions),
  parent: Context,
): RunningSpan {
  const span = startSpan(application, name, options, parent);
  return new RunningSpan(span, trace.setSpan(parent, span));
}

/** Starts a span without making it active. The caller ends it. @internal */
export function startSpan(
  application: TracingApplication,
  name: string | (() => string),
  options: SpanOptions | (() => SpanOptions),
  parent: Context,
): Span {
  const unsampled = application.unsampledSpan(parent);
  if (unsampled !== undefined) return unsampled;
  return application.tracer.startSpan(
    typeof name === 'string' ? name : name(),
    typeof options === 'function' ? options() : options,
    parent,
  );
}

/** Returns true if no span may be opened in `ctx`. @internal */
export function isUntraced(ctx: Context): boolean {
  return workIn(ctx)?.passthrough !== undefined || isSuppressed(ctx);
}

/** Returns the consumer's context if it has a span, work or suppression in it, else the context of the call. @internal */
export function parentOfConsumer(called: Context): Context {
  const active = context.active();
  const isInUse = trace.getSpan(active) !== undefined || workIn(active) !== undefined || isSuppressed(active);
  return isInUse ? active : called;
}

/** Returns undefined if nothing is traced: without an application, in an untraced request, in an exporter's own call. @internal */
export function openLocalSpan(name: string | (() => string), plan: SpanPlan, parent: Context): RunningSpan | undefined {
  const work = workIn(parent);
  if (work?.passthrough !== undefined || isSuppressed(parent)) return undefined;
  const application = plan.application ?? work?.application ?? applicationIn(parent);
  if (application === undefined || !application.isEnabled) return undefined;
  const base = plan.isRoot === true ? trace.deleteSpan(parent) : parent;
  try {
    const span = startSpan(application, name, optionsOf(plan, parent), base);
    const active = trace.setSpan(base, span);
    const isSameApplication = plan.application === undefined || work?.application === application;
    const ctx = isSameApplication ? active : withWork(active, { application, within: work?.within ?? work });
    return plan.running?.(span, ctx) ?? new RunningSpan(span, ctx, plan.resultAttributes);
  } catch (error) {
    reportTrouble('span-open', messages.spanNotOpened(), error);
    return undefined;
  }
}

function optionsOf(plan: SpanPlan, parent: Context): SpanPlan['options'] {
  const { options, isRoot, startTime } = plan;
  if (isRoot !== true && startTime === undefined) return options;
  return () => {
    const given = typeof options === 'function' ? options() : options;
    const links = isRoot === true ? [...(given.links ?? []), ...linksTo(parent)] : given.links;
    return { ...given, startTime: startTime === undefined ? given.startTime : startTimeAt(startTime), links };
  };
}

/** Returns a proxy of a span that notices its use: writes, and reads of its ids for a child span, a log line or a header. */
function watchUse(span: Span): { readonly span: Span; isUsed(): boolean } {
  let isUsed = false;
  const watched = new Proxy(span, {
    get(target, key) {
      if (key !== 'isRecording') isUsed = true;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  return { span: watched, isUsed: () => isUsed };
}
