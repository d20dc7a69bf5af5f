/** Starts an application with Bull queues and processors, on its own Redis. */
import { once } from 'node:events';
import { BullModule } from '@nestjs/bull';
import type { Queue, QueueOptions } from 'bull';
import type { Redis } from 'ioredis';
import { TraceRecorder } from '../../../lib/testing/index.js';
import type { Broker } from '../../../sample/brokers/broker.js';
import { redis } from '../../../sample/brokers/redis.js';
import { describeWith, QueueApplication, type QueueSetup } from '../queue-application.js';

export const describeWithRedis = describeWith(redis, 'Bull');

export interface BullSetup extends QueueSetup {
  readonly queues: readonly string[];
}

/** Returns queue options for the Redis of a spec. The queue finds jobs at once. */
export function connectedTo(port: number): QueueOptions {
  return { redis: { host: '127.0.0.1', port }, settings: { drainDelay: 1, retryProcessDelay: 50 } };
}

/** Waits until all clients of a queue are connected: Bull rejects promises that nobody handles if it is closed before. */
export async function connected(queue: Queue): Promise<void> {
  const { clients } = queue as Queue & { readonly clients: readonly Redis[] };
  const connecting = clients.filter(({ status }) => status === 'connecting' || status === 'connect');
  await Promise.all(connecting.map(client => once(client, 'ready', { signal: AbortSignal.timeout(5000) })));
}

export class BullApplication extends QueueApplication {
  private readonly queues: Queue[] = [];

  static async start(broker: Broker, setup: BullSetup, recorder = new TraceRecorder()): Promise<BullApplication> {
    const queues = BullModule.registerQueue(...setup.queues.map(name => ({ name })));
    const context = await this.create([BullModule.forRoot(connectedTo(broker.port)), queues], setup, recorder);
    const application = new BullApplication(recorder, context);
    application.queues.push(...setup.queues.map(name => application.queue(name)));
    return application;
  }

  override async close(): Promise<void> {
    await Promise.all(this.queues.map(connected));
    await super.close();
  }

  queue(name: string): Queue {
    return this.context.get<Queue>(`BullQueue_${name}`);
  }
}
