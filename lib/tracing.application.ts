/** One running application: what its spans are made with, shared by every import of the module in it. */
import { type Context, type Span, type TextMapPropagator, trace, type Tracer } from '@opentelemetry/api';
import { discharge, enlist, type TracingApplication } from './local/work.js';
import { createPipeline, type Pipeline } from './pipeline/pipeline.js';
import { holdContextManager } from './pipeline/global-registration.js';
import { createRelay } from './propagation/relay.propagator.js';
import { type ResolvedInboundOptions, type ResolvedOutboundOptions, resolveOptions, type TracingOptions } from './tracing.options.js';

const applications = new WeakMap<object, Promise<RunningApplication>>();

/** What the module and its imports share while the application runs. @internal */
export class RunningApplication implements TracingApplication {
  readonly tracer: Tracer;
  readonly propagator: TextMapPropagator;
  readonly isEnabled: boolean;
  private inCharge: object | undefined;
  private readonly contextManager = new LateContextManager();

  private constructor(
    private readonly pipeline: Pipeline | undefined,
    propagator: TextMapPropagator,
    readonly inbound: ResolvedInboundOptions,
    readonly outbound: ResolvedOutboundOptions,
    readonly logs: boolean,
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
    const resolved = resolveOptions(options);
    const { inbound, outbound, logs } = resolved;
    if (!resolved.enabled) {
      const relay = createRelay(resolved.propagators);
      return new RunningApplication(undefined, relay, inbound, outbound, false);
    }
    const pipeline = await createPipeline(resolved);
    const application = new RunningApplication(pipeline, pipeline.propagator, inbound, outbound, logs);
    enlist(application);
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

  unsampledSpan(parent: Context): Span | undefined {
    return this.pipeline?.unsampledSpan(parent);
  }

  /** Delivers what has been recorded, within the deadline of the options. */
  async stop(): Promise<void> {
    discharge(this);
    this.contextManager.release();
    await this.pipeline?.shutdown();
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
