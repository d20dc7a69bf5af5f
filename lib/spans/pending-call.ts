/**
 * A call that gets its span only if that is worth it: if something is traced in it, if it fails, takes long, or goes on after it has
 * returned. Any other call is counted on the span around it. No context is entered for a call: while it runs, the active context answers
 * with its span.
 */
import { type Attributes, type Context, context, ROOT_CONTEXT, type Span, trace } from '@opentelemetry/api';
import { CallCounts, countsOf } from './call-counts.js';
import { wallTime } from './clock.js';
import {
  answersForPending,
  answeringFor,
  attach,
  hasPending,
  isQuiet,
  type PendingSpan,
  pendingSpan,
  SPAN,
  swapPending,
} from './context.js';
import { openLocalSpan, parentOfConsumer, runInSpan, type SpanPlan } from './run-in-span.js';
import { isLazy, RunningSpan, shapeOf } from './running-span.js';
import { track } from './track.js';

/** Data that all calls of a method on instances of one class share. @internal */
export interface CallSite {
  /** The name of the span, and of the counts. */
  readonly name: string;
  readonly plan: SpanPlan;
  /** A call that returns a value sooner is counted. Milliseconds. */
  readonly countBelowMs: number;
  /** Computes all attributes of a call, if they depend on its arguments. */
  readonly attributesOf?: ((args: readonly unknown[]) => Attributes) | undefined;
  /** True if calls go on after they have returned. Their spans open at once. Learned from the results. */
  isAsync: boolean;
}

/** A span that opens later than its call begins takes over that beginning. Below this time, in milliseconds, its own start is as good. */
const LATE_MS = 0.05;

/** Returns true if a span that records is active in `ctx`, or would be if something asked for it. @internal */
export function isRecordingIn(ctx: Context): boolean {
  if (ctx === ROOT_CONTEXT || isQuiet()) return false;
  if (hasPending(ctx)) return true;
  return (ctx.getValue(SPAN) as Span | undefined)?.isRecording() === true;
}

/**
 * Calls `fn`, and returns or throws exactly what `fn` does. `parent` is the active context, in which a span records. `args` are those of the
 * call. @internal
 */
export function runPending(
  site: CallSite,
  parent: Context,
  fn: (this: unknown, ...args: unknown[]) => unknown,
  self: unknown,
  args: unknown[],
): unknown {
  if (site.isAsync) {
    const result = runInSpan(site.name, planOf(site, args), fn, self, args);
    site.isAsync = shapeOf(result) !== 'value';
    return result;
  }
  if (!answersForPending(parent)) return runInside(site, parent, fn, self, args);
  const call = new PendingCall(site, parent, args, pendingSpan());
  swapPending(call);
  let result: unknown;
  try {
    result = Reflect.apply(fn, self, args);
  } catch (thrown) {
    call.failed(thrown);
    throw thrown;
  } finally {
    swapPending(call.outer);
  }
  return call.returned(result);
}

/** Does the same in a context that answers with the span: that of another tracer does not. */
function runInside(
  site: CallSite,
  foreign: Context,
  fn: (this: unknown, ...args: unknown[]) => unknown,
  self: unknown,
  args: unknown[],
): unknown {
  const parent = answeringFor(foreign);
  const attached = attach(parent);
  if (attached === undefined) return context.with(parent, () => runPending(site, parent, fn, self, args));
  try {
    return runPending(site, parent, fn, self, args);
  } finally {
    attached.dispose();
  }
}

function planOf({ plan, attributesOf }: CallSite, args: readonly unknown[]): SpanPlan {
  if (attributesOf === undefined) return plan;
  return { ...plan, options: () => ({ attributes: attributesOf(args), areAttributesFinal: true }) };
}

/** A call that is pending, for code that ends it by itself. @internal */
export class PendingCall implements PendingSpan {
  private readonly startedAt = performance.now();
  private running: RunningSpan | undefined = undefined;
  private counts: CallCounts | undefined = undefined;
  private isRefused = false;

  constructor(
    private readonly site: CallSite,
    readonly parent: Context,
    private readonly args: readonly unknown[],
    /** The call that is pending around this one. */
    readonly outer: PendingSpan | undefined,
  ) {}

  /** The context with the span of this call. Opens the span. */
  get context(): Context | undefined {
    return this.open()?.context;
  }

  /** Opens the span of a call that goes on after it has returned. The caller ends it. */
  goOn(): RunningSpan | undefined {
    return this.open();
  }

  failed(thrown: unknown): void {
    this.open()?.fail(thrown);
  }

  /** Called with the result when the call is over. Returns what to use in place of it. */
  returned(result: unknown): unknown {
    const { site, parent } = this;
    const shape = shapeOf(result);
    if (shape === 'value') {
      const ms = performance.now() - this.startedAt;
      if (this.running === undefined && ms < site.countBelowMs) this.count(ms);
      else this.open()?.end();
      return result;
    }
    const plan = planOf(site, this.args);
    const further = (): RunningSpan | undefined => openLocalSpan(site.name, plan, parentOfConsumer(parent));
    // The span of an Observable or generator opens when it is consumed, unless the call itself has needed one.
    if (isLazy(shape)) return track(result, this.running, further, false, shape);
    site.isAsync = true;
    const running = this.open();
    return running === undefined ? result : track(result, running, further, false, shape);
  }

  /** The counts of calls in this one. */
  get countsInside(): CallCounts | undefined {
    if (this.running !== undefined) return countsOf(this.running.span);
    return this.isRefused ? undefined : (this.counts ??= new CallCounts());
  }

  private count(ms: number): void {
    const { outer, parent } = this;
    const counts = outer instanceof PendingCall && outer.parent === parent ? outer.countsInside : countsIn(parent);
    if (counts === undefined) return;
    counts.add(this.site.name, ms);
    if (this.counts !== undefined) counts.addAll(this.counts);
  }

  private open(): RunningSpan | undefined {
    if (this.running !== undefined || this.isRefused) return this.running;
    const plan = planOf(this.site, this.args);
    const isLate = performance.now() - this.startedAt >= LATE_MS;
    // Meanwhile the context answers with the span around this call.
    const current = swapPending(this.outer);
    this.running = openLocalSpan(
      this.site.name,
      isLate ? { ...plan, startTime: wallTime(this.startedAt), running: lateSpan } : plan,
      this.parent,
    );
    swapPending(current);
    this.isRefused = this.running === undefined;
    if (this.counts !== undefined && this.running !== undefined) countsOf(this.running.span).addAll(this.counts);
    this.counts = undefined;
    return this.running;
  }
}

/** Returns the counts of the span in a context. */
function countsIn(ctx: Context): CallCounts | undefined {
  const span = trace.getSpan(ctx);
  return span?.isRecording() === true ? countsOf(span) : undefined;
}

/** A span whose start was given. It ends by the clock of its start. */
class LateSpan extends RunningSpan {
  protected override endSpan(endTime = wallTime()): void {
    super.endSpan(endTime);
  }
}

function lateSpan(span: Span, ctx: Context): RunningSpan {
  return new LateSpan(span, ctx);
}
