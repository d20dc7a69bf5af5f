/** Starts a traced application without a server, for specs of work inside the process. */
import { type INestApplicationContext, Module, type ModuleMetadata } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Tracer, TracingModule, type TracingOptions } from '../lib/index.js';
import { TraceRecorder } from '../lib/testing/index.js';

export class TracedContext {
  private constructor(
    readonly recorder: TraceRecorder,
    readonly context: INestApplicationContext,
  ) {}

  static async start(module: ModuleMetadata, options: TracingOptions = {}): Promise<TracedContext> {
    const recorder = new TraceRecorder();
    @Module({
      ...module,
      imports: [...(module.imports ?? []), TracingModule.forRoot({ serviceName: 'inside', exporter: recorder, ...options })],
    })
    class AppModule {}
    return new TracedContext(recorder, await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false }));
  }

  /** Calls `fn` in a root span "request". */
  inRequest<T>(fn: () => T): T {
    return this.context.get(Tracer).span('request', fn);
  }

  /** Returns each span with the name of its parent, and how often it occurs. */
  hops(): string[] {
    return this.recorder.spans.map(span => `${this.recorder.parentOf(span)?.name ?? '-'} > ${span.name}`).sort();
  }
}
