import { Processor, WorkerHost } from '@nestjs/bullmq';
import type { Job } from 'bullmq';
import { Broker } from '../../../sample/brokers/broker.js';
import { redis } from '../../../sample/brokers/redis.js';
import { describeWithRedis, JobsApplication } from './jobs.js';

@Processor('mail', { concurrency: 5, runRetryDelay: 50 })
class MailProcessor extends WorkerHost {
  readonly seen = new Set<number>();
  async process(job: Job) {
    await new Promise(resolve => setTimeout(resolve, 5));
    this.seen.add(job.data.n);
  }
}

describeWithRedis('a Redis that is killed and comes back', () => {
  it('leaves no span open and mixes up no trace', async () => {
    const broker = await Broker.start(redis);
    const application = await JobsApplication.start(broker, { queues: ['mail'], providers: [MailProcessor] });
    const { recorder } = application;
    const queue = application.queue('mail');
    const { worker, seen } = application.context.get(MailProcessor);
    // Without this listener, a lost connection would end the process.
    queue.on('error', () => {});
    worker.on('error', () => {});
    const add = (from: number, count: number) =>
      Promise.allSettled(Array.from({ length: count }, (_, i) => application.inRequest(() => queue.add('job', { n: from + i }))));
    await add(0, 50);
    const midFlight = add(50, 50);
    await broker.kill();
    await broker.restart();
    await midFlight;
    await add(100, 50);
    await recorder.waitForSpans(() => Array.from({ length: 50 }, (_, i) => 100 + i).every(n => seen.has(n)), { timeoutMs: 30_000 });
    await application.close();
    await broker.stop();
    // Every send span has ended, successfully or not. Every process span is a child of the send span of its job.
    const sendings = application.named('send mail');
    expect(sendings).toHaveLength(150);
    expect(application.named('request')).toHaveLength(150);
    const processings = application.named('process mail');
    expect(processings.length).toBeGreaterThanOrEqual(50);
    for (const processing of processings) {
      const sending = application.parentOf(processing)!;
      expect(sending.name).toBe('send mail');
      const { 'messaging.message.id': id } = sending.attributes;
      if (id !== undefined) expect(processing.attributes['messaging.message.id']).toBe(id);
      expect(application.parentOf(sending)!.name).toBe('request');
    }
  });
});
