import { Broker } from '../../../sample/brokers/broker.js';
import { redis } from '../../../sample/brokers/redis.js';
import { CompiledLibrary } from '../compiled-library.js';
import { describeWithRedis } from './jobs.js';

describeWithRedis('BullMQ together with instrumentation-ioredis', () => {
  let broker: Broker;
  let library: CompiledLibrary;
  beforeAll(async () => {
    broker = await Broker.start(redis);
    library = await CompiledLibrary.compile();
  }, 120_000);
  afterAll(async () => {
    library?.remove();
    await broker?.stop();
  });

  it('has the commands of a queue in the span of its sending, and those of a processor below the processing', async () => {
    expect(await library.printedBy('bullmq/instrumented.cjs', broker.port)).toEqual([
      'request (nestjs-tracing)',
      'request > send mail (nestjs-tracing)',
      'request > send mail > process mail (nestjs-tracing)',
      'request > send mail > process mail > get (@opentelemetry/instrumentation-ioredis)',
    ]);
  });
});
