/** A traced application without server, as specs of what happens inside one need it. */
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

  /** In a root span "request". */
  inRequest<T>(fn: () => T): T {
    return this.context.get(Tracer).span('request', fn);
  }

  /** How often each span occurs, with the name of its parent in front. */
  hops(): string[] {
    return this.recorder.spans.map(span => `${this.recorder.parentOf(span)?.name ?? '-'} > ${span.name}`).sort();
  }
}
