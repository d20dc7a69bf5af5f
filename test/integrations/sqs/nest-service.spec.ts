import { Broker } from '../../../sample/brokers/broker.js';
import { elasticmq } from '../../../sample/brokers/elasticmq.js';
import { CompiledLibrary } from '../compiled-library.js';
import { describeWithSqs } from './sqs.js';

describeWithSqs('an application with @ssut/nestjs-sqs', () => {
  let broker: Broker;
  let library: CompiledLibrary;
  // In jest, CommonJS packages cannot load Nest 12.
  beforeAll(async () => {
    library = await CompiledLibrary.compile();
  }, 120_000);
  afterAll(() => library?.remove());
  beforeEach(async () => {
    broker = await Broker.start(elasticmq);
  });
  afterEach(() => broker.stop());

  it.each([
    ['on its own', 'plain', ['nestjs-tracing']],
    ['together with instrumentation-aws-sdk', 'instrumented', ['@opentelemetry/instrumentation-aws-sdk', 'nestjs-tracing']],
  ])(
    '%s has one span for each message that is sent or handled, with the method that handles it',
    async (_how, mode, libraries) => {
      expect(await library.printedBy('sqs/application.cjs', broker.port, mode)).toEqual({
        handled: ['batches', 'orders', 'quiet'],
        lines: [
          'process batches (nestjs-tracing) Handlers.batch linked to send batches',
          'request (nestjs-tracing)',
          'request > send batches (nestjs-tracing)',
          'request > send orders (nestjs-tracing)',
          'request > send orders > process orders (nestjs-tracing) Handlers.order linked to send orders',
          'request > send quiet (nestjs-tracing)',
        ],
        libraries,
      });
    },
    60_000,
  );
});
