/** The unit of work in a context: which application it belongs to, and whether it is traced. */
import { type Context, context, propagation, type Span, type SpanOptions, type TextMapPropagator, type Tracer } from '@opentelemetry/api';
import { untracedContext, WORK } from './context.js';
import type { SpanFacts } from './facts.js';
import { NON_RECORDING_SPAN, type ResultShape, RunningSpan } from './running-span.js';
import type {
  ResolvedDatabaseOptions,
  ResolvedGraphqlOptions,
  ResolvedInboundOptions,
  ResolvedMethodsOptions,
  ResolvedOutboundOptions,
} from '../options/resolved-options.js';

/** The part of a running application that the rest of the library uses. @internal */
export interface TracingApplication {
  /** False if no spans are made. A caller's context still reaches outgoing calls. */
  readonly isEnabled: boolean;
  /** True after the application has begun to close. */
  readonly isClosing: boolean;
  /** The tracer of the provider in use. */
  readonly tracer: SpanStarter;
  /** Reads and writes the headers of every carrier. */
  readonly propagator: TextMapPropagator;
  readonly inbound: ResolvedInboundOptions;
  readonly outbound: ResolvedOutboundOptions;
  readonly graphql: ResolvedGraphqlOptions;
  /** Undefined if statements and commands to databases are not traced. */
  readonly databases: ResolvedDatabaseOptions | undefined;
  /** Undefined if methods of providers are not traced. */
  readonly methods?: ResolvedMethodsOptions | undefined;
  readonly logs: boolean;
  /** The URL of a trace without the trace id at its end. Undefined if no viewer shows traces. */
  readonly traceUrlPrefix: string | undefined;
  /**
   * Returns a span to use if the next span in `parent` is not made. It has ids and records nothing, so attributes are not needed. If the
   * sampler drops the span, it propagates "not sampled". If the budget is used up, it propagates the nearest recorded span. Returns undefined
   * if the span may record: start it on the tracer. `isWork`: the span is that of a request, message or job.
   */
  unsampledSpan(parent: Context, isWork?: boolean): Span | undefined;
  /** Keeps the trace of the recorded span in `ctx`, whatever the option `keep` says. Returns false if it is too late. */
  keepTrace(ctx: Context): boolean;
  /** Exports the spans that have ended so far, within `shutdownTimeoutMs`. Never rejects. */
  deliver(): Promise<void>;
}

/** How our own spans start. The built-in tracer does not copy final attributes. @internal */
export interface FinalSpanOptions extends SpanOptions {
  /** True if nobody changes the attributes any more. */
  readonly areAttributesFinal: true;
  /** Stand for the attributes, if the tracer takes facts. */
  readonly facts?: SpanFacts | undefined;
}

/** A tracer that our spans start on. The built-in one takes facts in place of attributes. @internal */
export type SpanStarter = Pick<Tracer, 'startSpan'> & { readonly takesFacts?: boolean };

/** A unit of work that a context carries: a request, a message or a root span. @internal */
export interface Work {
  readonly application: TracingApplication;
  /** Set if the work is not traced: the context that outgoing calls pass on. It holds the context of a trusted caller. */
  passthrough?: Context | undefined;
  /** The enclosing work, if the tracer of another application opened this work inside a request. */
  readonly within?: Work | undefined;
}

/** @internal */
export function workIn(ctx: Context = context.active()): Work | undefined {
  return ctx.getValue(WORK) as Work | undefined;
}

/** @internal */
export function withWork(ctx: Context, work: Work): Context {
  return ctx.setValue(WORK, work);
}

/** Work that is not traced: no span is made in it, and outgoing calls pass the caller's context on. @internal */
export class UntracedWork extends RunningSpan implements Work {
  /** `home`: the context of another instrumentation, in which the work runs. @default a context in which no span is made */
  constructor(
    readonly application: TracingApplication,
    readonly passthrough: Context,
    home?: Context,
  ) {
    super(NON_RECORDING_SPAN, passthrough);
    this.entered = home === undefined ? untracedContext(this) : withWork(home, this);
  }

  /** Its context must be active during its handler's result: interceptors run when Nest subscribes to an Observable. */
  override lastsFor(shape: ResultShape): boolean {
    return shape !== 'generator' && shape !== 'async-iterable';
  }

  /** Does nothing: each further subscription runs in the same context. */
  override end(): void {}
}

/**
 * Returns the context that calls in `ctx` pass on if its work is not traced: the caller's context with the baggage of `ctx`. Returns
 * undefined if the work is traced: then calls pass on `ctx` itself. @internal
 */
export function passthroughIn(ctx: Context): Context | undefined {
  const passthrough = workIn(ctx)?.passthrough;
  if (passthrough === undefined) return undefined;
  const baggage = propagation.getBaggage(ctx);
  if (baggage === propagation.getBaggage(passthrough)) return passthrough;
  return baggage === undefined ? propagation.deleteBaggage(passthrough) : propagation.setBaggage(passthrough, baggage);
}

const LIVE = Symbol.for('nestjs-tracing/applications');
const live: TracingApplication[] = ((globalThis as { [LIVE]?: TracingApplication[] })[LIVE] ??= []);

/** Returns the application that spans opened in `ctx` belong to: that of the work in `ctx`, else the oldest running one. @internal */
export function applicationIn(ctx: Context = context.active()): TracingApplication | undefined {
  return workIn(ctx)?.application ?? live[0];
}

/** Adds `application` to those that work outside any request may belong to. @internal */
export function enlist(application: TracingApplication): void {
  live.push(application);
}

/** Returns true if there is an application that work outside any request may belong to. @internal */
export function isAnyoneEnlisted(): boolean {
  return live.length > 0;
}

/** Undoes {@link enlist}. @internal */
export function discharge(application: TracingApplication): void {
  const index = live.indexOf(application);
  if (index >= 0) live.splice(index, 1);
}
