/** A running application: its options, tracer and propagator, which all imports of the module share. */
import { setTimeout as pause } from 'node:timers/promises';
import { type Context, type TextMapPropagator, trace } from '@opentelemetry/api';
import { wallTime } from './spans/clock.js';
import { undoAll } from './wrapping/replace-method.js';
import { discharge, enlist, type SpanStarter, type TracingApplication } from './spans/work.js';
import { reportUnseenCopies } from './sdk/api-copies.js';
import { disableEarly, registerInstrumentations } from './sdk/instrumentations.js';
import { createPipeline, type Pipeline } from './sdk/pipeline.js';
import { apiVersion, holdContextManager } from './sdk/global-registration.js';
import { createPassthroughPropagator } from './propagation/passthrough.propagator.js';
import { isSame } from './options/module-imports.js';
import { messages } from './options/messages.js';
import type { TracingOptions } from './options/tracing-options.js';
import { resolveOptions, type ResolvedTracingOptions } from './options/resolved-options.js';

/** The part of the shutdown deadline that the export of the last spans gets, in milliseconds. */
const DELIVERY_MS = 1000;
/** How often closing checks whether handlers are done, in milliseconds. */
const LOOK_MS = 20;

const applications = new WeakMap<object, { readonly options: TracingOptions; readonly running: Promise<RunningApplication> }>();

/**
 * Applications that Nest is still starting. If a start fails, Nest neither tells its modules nor closes them. The next application that
 * starts finds the failed one here, even if this file was loaded again (`jest.resetModules()`).
 */
interface Starts {
  readonly pending: Set<RunningApplication>;
  count: number;
}
const STARTS = Symbol.for('nestjs-tracing/starts');
const starts: Starts = ((globalThis as { [STARTS]?: Starts })[STARTS] ??= { pending: new Set(), count: 0 });

type Load = (options: ResolvedTracingOptions) => Promise<unknown>;

/** The state that all imports of the module share while the application runs. @internal */
export class RunningApplication implements TracingApplication {
  readonly tracer: SpanStarter;
  readonly propagator: TextMapPropagator;
  readonly isEnabled: boolean;
  readonly inbound: ResolvedTracingOptions['inbound'];
  readonly outbound: ResolvedTracingOptions['outbound'];
  readonly graphql: ResolvedTracingOptions['graphql'];
  readonly databases: ResolvedTracingOptions['databases'];
  readonly methods: ResolvedTracingOptions['methods'];
  readonly logs: boolean;
  readonly unsampledSpan: TracingApplication['unsampledSpan'];
  /** When the start began, in milliseconds since 1970. Undefined if the start is not traced. */
  readonly startedAt: number | undefined;
  isClosing = false;
  private readonly readUrlPrefix: Pipeline['traceUrlPrefix'];
  private inCharge: object | undefined;
  private isInForce = false;
  private isStopped = false;
  private readonly installs: (() => () => void)[] = [];
  private readonly undo: (() => void)[] = [];
  private readonly shutdownTimeoutMs: number;
  private stopsAt = 0;
  private releaseContextManager: (() => void) | undefined;

  private constructor(
    private readonly pipeline: Pipeline | undefined,
    options: ResolvedTracingOptions,
    startedAt: number,
  ) {
    ({
      inbound: this.inbound,
      outbound: this.outbound,
      graphql: this.graphql,
      databases: this.databases,
      methods: this.methods,
      shutdownTimeoutMs: this.shutdownTimeoutMs,
    } = options);
    this.isEnabled = pipeline !== undefined;
    this.readUrlPrefix = pipeline?.traceUrlPrefix;
    this.logs = this.isEnabled && options.logs;
    this.startedAt = this.isEnabled && options.startUp ? startedAt : undefined;
    this.propagator = pipeline?.propagator ?? this.passingOn(createPassthroughPropagator(options.propagators));
    this.unsampledSpan = pipeline?.unsampledSpan ?? (() => undefined);
    // A disabled application never uses its tracer.
    this.tracer = pipeline?.tracer ?? trace.getTracer('nestjs-tracing');
    if (pipeline === undefined) disableEarly();
    else this.installs.push(() => registerInstrumentations(options.instrumentations, pipeline.provider));
  }

  /**
   * Returns the one application of a Nest container, for all imports of the module. Throws if imports have different options: their order
   * would decide which ones apply. `importers` returns the names of the importing modules. `load` loads code that the options need.
   */
  static of(options: TracingOptions, container: object, importers: () => readonly string[], load: Load): Promise<RunningApplication> {
    const first = applications.get(container);
    if (first !== undefined) {
      if (isSame(first.options, options)) return first.running;
      // The error makes the start fail, and Nest does not close what failed. An application that is up already stays up.
      first.running.then(
        running => starts.pending.has(running) && running.giveWay(),
        () => undefined,
      );
      throw new Error(messages.importedTwice(importers()));
    }
    const running = RunningApplication.start(options, load);
    applications.set(container, { options, running });
    return running;
  }

  /** Returns the application of a Nest container. Returns undefined if the container is not traced. */
  static in(container: object): Promise<RunningApplication> | undefined {
    return applications.get(container)?.running;
  }

  /** Checks the options and builds the pipeline. If tracing is disabled, builds and registers nothing. */
  private static async start(options: TracingOptions, load: Load): Promise<RunningApplication> {
    const startedAt = wallTime();
    const resolved = resolveOptions(options);
    if (resolved.enabled) for (const forerunner of [...starts.pending]) forerunner.giveWay();
    const start = resolved.enabled ? ++starts.count : starts.count;
    const [pipeline] = resolved.enabled ? await Promise.all([createPipeline(resolved), load(resolved)]) : [];
    const application = new RunningApplication(pipeline, resolved, startedAt);
    application.enterForce();
    starts.pending.add(application);
    // Another application has started meanwhile, so this start may have failed. If not, `proceed()` reverts this.
    if (start !== starts.count) application.giveWay();
    return application;
  }

  /** Returns true for the first import that calls it: this import sets the hooks. */
  takeCharge(module: object): boolean {
    this.inCharge ??= module;
    return this.inCharge === module;
  }

  get traceUrlPrefix(): string | undefined {
    return this.readUrlPrefix?.();
  }

  /** Called during the start. Puts the application into force, even if another one has started meanwhile. */
  proceed(): void {
    // The application was closed during its start.
    if (this.isStopped) return;
    if (!this.isInForce) {
      this.pipeline?.comeBack();
      this.enterForce();
    }
    starts.pending.add(this);
  }

  /** Called when the application is up. From now on only its own end takes it out of force. */
  succeed(): void {
    this.proceed();
    starts.pending.delete(this);
    // All libraries are loaded by now. The check reads files, so it must not delay the start.
    if (this.isEnabled) setImmediate(() => reportUnseenCopies(apiVersion())).unref();
  }

  /** Calls `install` now, if the application is in force, and whenever it comes into force. `install` returns how to undo it. */
  whileInForce(install: () => () => void): void {
    this.installs.push(install);
    if (this.isInForce) this.undo.push(install());
  }

  keepTrace(ctx: Context): boolean {
    return this.pipeline?.keepTrace(ctx) ?? false;
  }

  async deliver(): Promise<void> {
    await this.pipeline?.forceFlush();
  }

  /** Exports spans as soon as they end: the application begins to close, and its process may be killed meanwhile. */
  exportAtOnce(): void {
    this.isClosing = true;
    this.pipeline?.exportAtOnce();
  }

  /** Waits until no handler is running, but leaves {@link stop} enough time before the deadline. */
  async finish(isAtWork: () => boolean): Promise<void> {
    this.stopsAt = performance.now() + this.shutdownTimeoutMs;
    const waitsUntil = this.stopsAt - Math.min(this.shutdownTimeoutMs / 5, DELIVERY_MS);
    // With the fake timers of a test the clock stands still, so the checks are counted, too.
    for (let looks = this.shutdownTimeoutMs / LOOK_MS; isAtWork() && looks > 0 && performance.now() < waitsUntil; looks--) {
      await pause(Math.min(LOOK_MS, waitsUntil - performance.now()));
    }
  }

  /** Exports the recorded spans, within the rest of the deadline. */
  async stop(): Promise<void> {
    this.isStopped = true;
    starts.pending.delete(this);
    this.installs.length = 0;
    this.leaveForce();
    await this.pipeline?.shutdown(this.stopsAt - performance.now());
  }

  /** Undoes the start of the application. Its exporters stay usable, because a second attempt may use the same ones. */
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
    this.releaseContextManager?.();
    this.releaseContextManager = undefined;
  }

  /** Registers a context manager for a disabled application, as soon as a caller's context comes in. */
  private passingOn(propagator: TextMapPropagator): TextMapPropagator {
    return {
      inject: (ctx, carrier, setter) => propagator.inject(ctx, carrier, setter),
      extract: (ctx, carrier, getter) => {
        const incoming = propagator.extract(ctx, carrier, getter);
        if (incoming !== ctx) this.releaseContextManager ??= holdContextManager();
        return incoming;
      },
      fields: () => propagator.fields(),
    };
  }
}
