/** An application with queues and processors on a Redis of its own. */
import { BullModule } from '@nestjs/bullmq';
import { type INestApplicationContext, Module, type ModuleMetadata } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Queue } from 'bullmq';
import { type InboundOptions, type OutboundOptions, Tracer, TracingModule } from '../../lib/index.js';
import { TraceRecorder } from '../../lib/testing/index.js';
import type { FinishedSpan } from '../../lib/viewer/model/trace-span.js';
import type { Broker } from '../../sample/brokers/broker.js';
import { redis } from '../../sample/brokers/redis.js';

/** `describe` where there is a Redis; where there is none, the specs are skipped and one line says so. */
export const describeWithRedis = choose();

function choose(): typeof describe {
  const missing = redis.missing();
  if (missing === undefined) return describe;
  process.stderr.write(`SKIPPED BullMQ: ${missing}\n`);
  return describe.skip; // The machine has no Redis; the line above says so.
}

export interface JobsSetup extends Pick<ModuleMetadata, 'providers' | 'imports'> {
  readonly queues: readonly string[];
  readonly flows?: readonly string[];
  readonly inbound?: InboundOptions;
  readonly outbound?: OutboundOptions;
  readonly enabled?: boolean;
  /** Further options of every queue and worker. */
  readonly shared?: object;
}

export class JobsApplication {
  private constructor(
    readonly recorder: TraceRecorder,
    readonly context: INestApplicationContext,
  ) {}

  static async start(broker: Broker, setup: JobsSetup, recorder = new TraceRecorder()): Promise<JobsApplication> {
    const { inbound, outbound, enabled } = setup;
    @Module({
      imports: [
        // After the others' modules: the place in the list makes no difference.
        BullModule.forRoot({ connection: { host: '127.0.0.1', port: broker.port }, ...setup.shared }),
        BullModule.registerQueue(...setup.queues.map(name => ({ name }))),
        BullModule.registerFlowProducer(...(setup.flows ?? []).map(name => ({ name }))),
        TracingModule.forRoot({ serviceName: 'jobs', exporter: recorder, inbound, outbound, enabled }),
        ...(setup.imports ?? []),
      ],
      providers: setup.providers,
    })
    class AppModule {}
    return new JobsApplication(recorder, await NestFactory.createApplicationContext(AppModule, { logger: false }));
  }

  queue(name: string): Queue {
    return this.context.get<Queue>(`BullQueue_${name}`);
  }

  /** In a root span "request". */
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
