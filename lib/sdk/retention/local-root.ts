/** Finds the local root of each span: the request, message or job of this process that the span belongs to. */
import { type Context, createTraceState, type Span, SpanKind, trace, TraceFlags } from '@opentelemetry/api';
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace-node';
import type { KeepReason } from '../../conventions/retention.js';
import { isAsked } from '../../propagation/context-values.js';
import { withoutThreshold } from './probability.js';

export type StartedSpan = Parameters<SpanProcessor['onStart']>[0];

/** A span without a parent in this process, and what is known of the spans below it. @internal */
export class LocalRoot {
  /** The number of its spans that have started, itself included. */
  started = 0;
  /** True if the application or a caller wants the trace to be kept. */
  isAsked = false;
  /** How many calls have no span, by the id of the span that they were made in. */
  omitted: Map<string, number> | undefined = undefined;

  constructor(
    readonly owner: LocalRoots,
    readonly span: StartedSpan,
  ) {}

  get hasEnded(): boolean {
    return !this.span.isRecording();
  }
}

/** A local root whose finished spans are held until its end. @internal */
export class HeldRoot extends LocalRoot {
  /** True if one of its spans has failed. */
  hasFailed = false;
  /** True after its own span has ended, or if it was decided to keep it before that: further spans are not held. */
  isDecided = false;
  /** True if it had to be decided before its end. */
  isEarly = false;
  /** Why it is kept. Undefined if it is not, or not yet. */
  reason: KeepReason | undefined = undefined;
  /** Finished spans that wait for the decision. */
  held: ReadableSpan[] = [];
  heldBytes = 0;
  /** When the first of them was held, in milliseconds of `performance.now()`. */
  heldSince = 0;
  /** How many spans were dropped before the end. */
  discarded = 0;
  /** Neighbours in the list of local roots that hold spans. */
  older: HeldRoot | undefined = undefined;
  newer: HeldRoot | undefined = undefined;
  isListed = false;
  /** By the id of a span that was folded: the span that stands for it. */
  folded: ReadonlyMap<string, ReadableSpan> | undefined = undefined;
}

/** The member of a span that holds its local root. @internal */
export const LOCAL_ROOT = Symbol('nestjs-tracing/local-root');

interface Rooted {
  [LOCAL_ROOT]?: LocalRoot | undefined;
}

/** Makes `span` belong to `root`. @internal */
export function assign(span: object, root: LocalRoot): void {
  (span as Rooted)[LOCAL_ROOT] = root;
}

/** Returns the local root of a span. Returns undefined if the span does not record. @internal */
export function localRootOf(span: object | undefined): LocalRoot | undefined {
  return (span as Rooted | undefined)?.[LOCAL_ROOT];
}

/** Returns the local root of a span, if it holds spans. @internal */
export function heldRootOf(span: object): HeldRoot | undefined {
  const root = localRootOf(span);
  return root instanceof HeldRoot ? root : undefined;
}

/** The member of `tracestate` that asks the next services to keep the trace, too. */
const MEMBER = 'nestjs';
const KEEP = 'keep';

/** What a local root may have at most. */
interface Limit {
  record(root: LocalRoot, span: Span): void;
}

/** Assigns each span to its local root when it starts. @internal */
export class LocalRoots implements SpanProcessor {
  /** `areHeld`: true if finished spans wait for the end of their local root. */
  constructor(
    private readonly budget: Limit | undefined,
    private readonly areHeld: boolean,
  ) {}

  onStart(span: StartedSpan, parent: Context): void {
    const known = localRootOf(trace.getSpan(parent));
    // Another provider in this process has local roots of its own.
    const root = known?.owner === this && !(known.hasEnded && isWork(span)) ? known : this.open(span, parent);
    root.started += 1;
    assign(span, root);
    if (known instanceof HeldRoot && known.reason !== undefined) forgetThreshold(span);
    if (root.isAsked) passOn(span);
  }

  /** Keeps the local root of the active span in `ctx`, whatever happens. Returns false if that is too late. */
  keep(ctx: Context): boolean {
    const active = trace.getSpan(ctx);
    const root = localRootOf(active);
    if (active === undefined || root?.owner !== this) return true;
    if (root instanceof HeldRoot && root.isDecided && root.reason === undefined) return false;
    root.isAsked = true;
    passOn(root.span);
    passOn(active);
    return true;
  }

  onEnding(span: StartedSpan): void {
    const root = localRootOf(span);
    if (root?.omitted !== undefined) this.budget?.record(root, span);
  }

  onEnd(): void {
    // What happens with ended spans is decided elsewhere.
  }

  forceFlush(): Promise<void> {
    return Promise.resolve();
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }

  private open(span: StartedSpan, parent: Context): LocalRoot {
    const root = this.areHeld ? new HeldRoot(this, span) : new LocalRoot(this, span);
    root.isAsked = span.spanContext().traceState?.get(MEMBER) === KEEP || isAsked(parent);
    return root;
  }
}

/** True for a message or request. After the end of the local root that has caused it, it is one of its own. */
function isWork({ kind }: StartedSpan): boolean {
  return kind === SpanKind.CONSUMER || kind === SpanKind.SERVER;
}

/** The span of an exported parent has its threshold. It says nothing of the part of the trace that begins with a call from here. */
function forgetThreshold(span: Span): void {
  const context = span.spanContext();
  if (context.traceState !== undefined) context.traceState = withoutThreshold(context.traceState);
}

/** Lets the headers of outgoing calls ask for the trace. */
function passOn(span: Span): void {
  const context = span.spanContext();
  if ((context.traceFlags & TraceFlags.SAMPLED) === 0 || context.traceState?.get(MEMBER) === KEEP) return;
  context.traceState = (context.traceState ?? createTraceState()).set(MEMBER, KEEP);
}
