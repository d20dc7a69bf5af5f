/** One running application: what its spans are made with, shared by every import of the module in it. */
import { type Context, type Span, type TextMapPropagator, trace, type Tracer } from '@opentelemetry/api';
import { undoAll } from './local/replace-method.js';
import { discharge, enlist, type TracingApplication } from './local/work.js';
import { createPipeline, type Pipeline } from './pipeline/pipeline.js';
import { holdContextManager } from './pipeline/global-registration.js';
import { createRelay } from './propagation/relay.propagator.js';
import type { TracingOptions } from './tracing.options.js';
import {
  type ResolvedGraphqlOptions,
  type ResolvedInboundOptions,
  type ResolvedOutboundOptions,
  resolveOptions,
} from './tracing.resolution.js';

const applications = new WeakMap<object, Promise<RunningApplication>>();

/**
 * Applications that Nest has not brought up yet. Nobody is told when a start-up fails, and what failed is not closed either: the next
 * application to start finds it here, also where this file has been loaded anew (`jest.resetModules()`).
 */
const STARTS = Symbol.for('nestjs-tracing/starts');
const starts: { readonly pending: Set<RunningApplication>; count: number } = ((
  globalThis as {
    [STARTS]?: { readonly pending: Set<RunningApplication>; count: number };
  }
)[STARTS] ??= { pending: new Set(), count: 0 });

/** What the module and its imports share while the application runs. @internal */
export class RunningApplication implements TracingApplication {
  readonly tracer: Tracer;
  readonly propagator: TextMapPropagator;
  readonly isEnabled: boolean;
  private inCharge: object | undefined;
  private isInForce = false;
  private isStopped = false;
  private readonly installs: (() => () => void)[] = [];
  private readonly undo: (() => void)[] = [];
  private readonly contextManager = new LateContextManager();

  private constructor(
    private readonly pipeline: Pipeline | undefined,
    propagator: TextMapPropagator,
    readonly inbound: ResolvedInboundOptions,
    readonly outbound: ResolvedOutboundOptions,
    readonly graphql: ResolvedGraphqlOptions,
    readonly logs: boolean,
    /** When the start began, in milliseconds since 1970; `undefined` where it is not to be traced. */
    readonly startedAt: number | undefined,
  ) {
    this.isEnabled = pipeline !== undefined;
    this.propagator = this.isEnabled ? propagator : this.contextManager.around(propagator);
    // Nobody asks for the tracer of an application that is not enabled.
    this.tracer = pipeline?.tracer ?? trace.getTracer('nestjs-tracing');
  }

  /** The one application of a Nest container, however often the module is imported into it; the first import's options count. */
  static of(options: TracingOptions, container: object): Promise<RunningApplication> {
    let running = applications.get(container);
    if (running === undefined) {
      running = RunningApplication.start(options);
      applications.set(container, running);
    }
    return running;
  }

  /** Checks the options and builds the pipeline; with tracing disabled nothing is built and nothing registered. */
  private static async start(options: TracingOptions): Promise<RunningApplication> {
    const startedAt = Date.now();
    const resolved = resolveOptions(options);
    const { inbound, outbound, graphql, logs } = resolved;
    if (resolved.enabled) for (const forerunner of [...starts.pending]) forerunner.giveWay();
    const start = resolved.enabled ? ++starts.count : starts.count;
    const pipeline = resolved.enabled ? await createPipeline(resolved) : undefined;
    const propagator = pipeline?.propagator ?? createRelay(resolved.propagators);
    const isStartTraced = pipeline !== undefined && resolved.startUp;
    const application = new RunningApplication(
      pipeline,
      propagator,
      inbound,
      outbound,
      graphql,
      pipeline !== undefined && logs,
      isStartTraced ? startedAt : undefined,
    );
    application.enterForce();
    starts.pending.add(application);
    // What failed while the pipeline was built is found out here.
    if (start !== starts.count) application.giveWay();
    return application;
  }

  /** Whether `module` is the one import that sets the hooks. */
  takeCharge(module: object): boolean {
    this.inCharge ??= module;
    return this.inCharge === module;
  }

  get traceUrlPrefix(): string | undefined {
    return this.pipeline?.traceUrlPrefix;
  }

  /** Nest brings the application up: it is in force, also where another one has started meanwhile. */
  proceed(): void {
    // Closed while it was starting.
    if (this.isStopped) return;
    if (!this.isInForce) {
      this.pipeline?.comeBack();
      this.enterForce();
    }
    starts.pending.add(this);
  }

  /** The application is up: only its own end takes it out of force. */
  succeed(): void {
    this.proceed();
    starts.pending.delete(this);
  }

  /** Installs what others in the process share, now and whenever the application comes into force; `install` returns how to undo it. */
  whileInForce(install: () => () => void): void {
    this.installs.push(install);
    if (this.isInForce) this.undo.push(install());
  }

  unsampledSpan(parent: Context): Span | undefined {
    return this.pipeline?.unsampledSpan(parent);
  }

  /** Delivers what has ended so far, within the deadline of the options. Never rejects. */
  async deliver(): Promise<void> {
    await this.pipeline?.forceFlush();
  }

  /** Delivers what has been recorded, within the deadline of the options. */
  async stop(): Promise<void> {
    this.isStopped = true;
    starts.pending.delete(this);
    this.installs.length = 0;
    this.leaveForce();
    await this.pipeline?.shutdown();
  }

  /** Leaves the process as if the application had never been started. Its exporters stay usable: a second attempt may be given the same. */
  private giveWay(): void {
    starts.pending.delete(this);
    this.leaveForce();
    this.pipeline?.withdraw();
  }

  private enterForce(): void {
    this.isInForce = true;
    if (this.isEnabled) enlist(this);
    for (const install of this.installs) this.undo.push(install());
  }

  private leaveForce(): void {
    this.isInForce = false;
    undoAll(this.undo.splice(0))();
    discharge(this);
    this.contextManager.release();
  }
}

/** Holds a context manager from the moment a caller's context first travels through an application that is not traced itself. */
class LateContextManager {
  private leave: (() => void) | undefined;

  around(propagator: TextMapPropagator): TextMapPropagator {
    return {
      inject: (ctx, carrier, setter) => propagator.inject(ctx, carrier, setter),
      extract: (ctx, carrier, getter) => {
        const incoming = propagator.extract(ctx, carrier, getter);
        if (incoming !== ctx) this.leave ??= holdContextManager();
        return incoming;
      },
      fields: () => propagator.fields(),
    };
  }

  release(): void {
    this.leave?.();
    this.leave = undefined;
  }
}
