/** Starts an application with BullMQ queues and processors, on its own Redis. */
import { BullModule } from '@nestjs/bullmq';
import type { Queue } from 'bullmq';
import { TraceRecorder } from '../../../lib/testing/index.js';
import type { Broker } from '../../../sample/brokers/broker.js';
import { redis } from '../../../sample/brokers/redis.js';
import { describeWith, QueueApplication, type QueueSetup } from '../queue-application.js';

export const describeWithRedis = describeWith(redis, 'BullMQ');

export interface JobsSetup extends QueueSetup {
  readonly queues: readonly string[];
  readonly flows?: readonly string[];
  /** More options for every queue and worker. */
  readonly shared?: object;
}

export class JobsApplication extends QueueApplication {
  static async start(broker: Broker, setup: JobsSetup, recorder = new TraceRecorder()): Promise<JobsApplication> {
    const { queues, flows = [], shared } = setup;
    const modules = [
      BullModule.forRoot({ connection: { host: '127.0.0.1', port: broker.port }, ...shared }),
      BullModule.registerQueue(...queues.map(name => ({ name }))),
      BullModule.registerFlowProducer(...flows.map(name => ({ name }))),
    ];
    return new JobsApplication(recorder, await this.create(modules, setup, recorder));
  }

  queue(name: string): Queue {
    return this.context.get<Queue>(`BullQueue_${name}`);
  }
}
