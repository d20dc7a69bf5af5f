/** Starts a traced application without a server that sends and processes messages or jobs, for the specs of all queue libraries. */
import { type INestApplicationContext, Module, type ModuleMetadata } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Tracer, TracingModule, type TracingOptions } from '../../lib/index.js';
import { TraceRecorder } from '../../lib/testing/index.js';
import type { FinishedSpan } from '../../lib/viewer/model/trace-span.js';
import type { BrokerKind } from '../../sample/brokers/broker.js';

/** Returns `describe` if the broker is available. Otherwise the specs are skipped and one line says why. */
export function describeWith(kind: BrokerKind, library: string): typeof describe {
  const missing = kind.missing();
  if (missing === undefined) return describe;
  process.stderr.write(`SKIPPED ${library}: ${missing}\n`);
  return describe.skip; // The line above says what the machine lacks.
}

export interface QueueSetup
  extends
    Pick<ModuleMetadata, 'providers' | 'imports'>,
    Pick<TracingOptions, 'inbound' | 'outbound' | 'enabled' | 'databases' | 'methods'> {}

export class QueueApplication {
  protected constructor(
    readonly recorder: TraceRecorder,
    readonly context: INestApplicationContext,
  ) {}

  /** Creates the application with the `modules` of the library. */
  protected static create(modules: NonNullable<ModuleMetadata['imports']>, setup: QueueSetup, recorder: TraceRecorder) {
    const { inbound, outbound, enabled, databases, methods, imports = [], providers } = setup;
    const tracing = TracingModule.forRoot({ serviceName: 'jobs', exporter: recorder, inbound, outbound, enabled, databases, methods });
    @Module({ imports: [...modules, tracing, ...imports], providers })
    class AppModule {}
    return NestFactory.createApplicationContext(AppModule, { logger: false });
  }

  /** Calls `fn` in a root span "request". */
  inRequest<T>(fn: () => Promise<T>): Promise<T> {
    return this.context.get(Tracer).span('request', fn);
  }

  named(name: string): FinishedSpan[] {
    return this.recorder.spans.filter(span => span.name === name);
  }

  parentOf(span: FinishedSpan | undefined): FinishedSpan | undefined {
    return span && this.recorder.parentOf(span);
  }

  close(): Promise<void> {
    return this.context.close();
  }
}
