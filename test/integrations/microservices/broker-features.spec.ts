import { Controller, type INestMicroservice, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type ClientProxy, Ctx, EventPattern, MessagePattern, type MicroserviceOptions, Payload, RmqContext } from '@nestjs/microservices';
import { context, ROOT_CONTEXT, SpanKind } from '@opentelemetry/api';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { TracingModule } from '../../../lib/index.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { specsWith } from '../../foreign/found.js';
import { Microservices, type Setup } from './microservices.js';
import { brokerOf, mqtt5, nats, type Pair, rabbitmq, redis, type TestTransport } from './transports.js';

let services: Microservices;
const others: INestMicroservice[] = [];
afterEach(async () => {
  for (const other of others.splice(0)) await other.close();
  await services.close();
});

async function start(transport: TestTransport, controller: Setup['controllers'][number], options: object = {}, client: object = options) {
  services = await Microservices.start(transport, {
    controllers: [controller],
    adapt: pair =>
      ({
        server: { ...pair.server, options: { ...pair.server.options, ...options } },
        client: { ...pair.client, options: { ...pair.client.options, ...client } },
      }) as Pair,
  });
  return services.recorder;
}

const tell = (pattern: string, data: unknown = {}) =>
  services.inRequest((client: ClientProxy) => lastValueFrom(client.emit(pattern, data), { defaultValue: undefined }));
const isSending = ({ kind }: FinishedSpan) => kind === SpanKind.PRODUCER;
const isHandling = ({ kind }: FinishedSpan) => kind === SpanKind.CONSUMER;

/** If the broker is missing, the specs are skipped and one line says so. */
function over(transport: TestTransport) {
  const missing = transport.broker?.missing();
  return specsWith(`what only ${transport.name} can do`, missing === undefined ? { thing: transport } : { missing });
}

describe('a message over RabbitMQ', () => {
  const spec = over(rabbitmq);

  spec(
    'names its queue, routing key, exchange and delivery',
    async transport => {
      @Controller()
      class Handlers {
        @MessagePattern('sum') sum(@Ctx() ctx: RmqContext) {
          (ctx.getChannelRef() as { ack(message: unknown): void }).ack(ctx.getMessage());
          return 3;
        }
      }
      const recorder = await start(transport, Handlers, { queue: 'sums', noAck: false }, { queue: 'sums', noAck: true });
      expect(await services.inRequest(client => firstValueFrom(client.send('sum', [1, 2])))).toBe(3);
      await recorder.waitForTrace();
      const { port } = await brokerOf(transport);
      const place = {
        'messaging.system.name': 'rabbitmq',
        'server.address': '127.0.0.1',
        'server.port': port,
        'network.peer.address': '127.0.0.1',
        'network.peer.port': port,
      };
      const address = {
        'messaging.destination.name': 'sums',
        'messaging.destination.template': 'sum',
        'rabbitmq.destination.routing_key': 'sums',
      };
      expect(recorder.find(isSending)!.attributes).toEqual({
        ...place,
        ...address,
        'messaging.operation.name': 'publish',
        'messaging.operation.type': 'send',
        'messaging.message.conversation_id': expect.any(String) as string,
      });
      expect(recorder.find(isHandling)!.attributes).toEqual({
        ...place,
        ...address,
        'messaging.operation.name': 'consume',
        'messaging.operation.type': 'process',
        'messaging.message.conversation_id': expect.any(String) as string,
        'rabbitmq.message.delivery_tag': 1,
        'code.function.name': 'Handlers.sum',
      });
    },
    60_000,
  );

  spec('that is delivered again is handled in a span of its own each time, in the same trace', async transport => {
    let deliveries = 0;
    @Controller()
    class Handlers {
      @EventPattern('poison') poison(@Ctx() ctx: RmqContext) {
        const channel = ctx.getChannelRef() as { ack(message: unknown): void; nack(message: unknown, all: boolean, again: boolean): void };
        deliveries += 1;
        if (deliveries === 4) {
          channel.ack(ctx.getMessage());
          return;
        }
        channel.nack(ctx.getMessage(), false, true);
        throw new RangeError(`delivery ${deliveries}`);
      }
    }
    const recorder = await start(transport, Handlers, { noAck: false }, { noAck: true });
    await tell('poison');
    await recorder.waitForSpans(6);
    const handlings = recorder.spans.filter(isHandling);
    expect(handlings.map(span => recorder.parentOf(span)?.kind)).toEqual(Array(4).fill(SpanKind.PRODUCER));
    expect(handlings.map(({ status }) => status.message)).toEqual(['delivery 1', 'delivery 2', 'delivery 3', undefined]);
    expect(handlings.map(({ attributes }) => attributes['rabbitmq.message.delivery_tag'])).toEqual([1, 2, 3, 4]);
  });

  spec('through a topic exchange has the pattern as its template', async transport => {
    @Controller()
    class Handlers {
      @EventPattern('orders.*') ordered(@Payload() _data: unknown) {}
    }
    const recorder = await start(transport, Handlers, { wildcards: true, exchange: 'shop', queue: 'billing' });
    await tell('orders.created');
    await recorder.waitForSpans(3);
    expect(recorder.find(isSending)!.name).toBe('publish orders.created');
    expect(recorder.find(isSending)!.attributes['messaging.destination.name']).toBe('shop:orders.created');
    const handling = recorder.find(isHandling)!;
    expect(handling.name).toBe('consume orders.*');
    expect(handling.attributes['messaging.destination.name']).toBe('shop:orders.created:billing');
    expect(handling.attributes['messaging.destination.template']).toBe('orders.*');
    expect(recorder.parentOf(handling)).toBe(recorder.find(isSending));
  });

  spec('through a fanout exchange has one sender and a span in each of its receivers', async transport => {
    @Controller()
    class Handlers {
      @EventPattern('news') news(@Payload() _data: unknown) {}
    }
    const fanout = { exchange: 'all', exchangeType: 'fanout' };
    const recorder = await start(transport, Handlers, { ...fanout, queue: 'one' });
    @Module({ imports: [TracingModule.forRoot({ exporter: recorder })], controllers: [Handlers] })
    class SecondModule {}
    const { server } = await transport.prepare();
    const settings = { ...server, options: { ...server.options, ...fanout, queue: 'two' } } as MicroserviceOptions;
    const second = await NestFactory.createMicroservice(SecondModule, { ...settings, logger: false });
    await second.listen();
    others.push(second);
    await tell('news');
    await recorder.waitForSpans(4);
    const handlings = recorder.spans.filter(isHandling);
    expect(handlings.map(span => recorder.parentOf(span)?.name)).toEqual(['publish news', 'publish news']);
    const destinations = handlings.map(({ attributes }) => attributes['messaging.destination.name']);
    expect(destinations.sort()).toEqual(['all:news:one', 'all:news:two']);
  });
});

describe('a message over NATS', () => {
  over(nats)(
    'names its subject and the queue group that shares the messages',
    async transport => {
      @Controller()
      class Handlers {
        @EventPattern('orders.*') ordered(@Payload() _data: unknown) {}
      }
      const recorder = await start(transport, Handlers, { queue: 'billing' }, {});
      await tell('orders.created');
      await recorder.waitForSpans(3);
      const handling = recorder.find(isHandling)!;
      expect(handling.name).toBe('process orders.*');
      expect(handling.attributes).toMatchObject({
        'messaging.destination.name': 'orders.created',
        'messaging.destination.template': 'orders.*',
        'messaging.consumer.group.name': 'billing',
        'server.address': '127.0.0.1',
        'server.port': (await brokerOf(transport)).port,
      });
    },
    60_000,
  );
});

describe('a message over MQTT', () => {
  over(mqtt5)(
    'names its topic, and what was subscribed to; a shared subscription is a consumer group',
    async transport => {
      const seen: unknown[] = [];
      @Controller()
      class Handlers {
        @EventPattern('$share/billing/orders/+/done') done(@Payload() data: unknown) {
          seen.push(data);
        }
      }
      const recorder = await start(transport, Handlers, {}, { clientId: 'till-1' });
      await tell('orders/7/done', 'paid');
      await recorder.waitForSpans(3);
      const handling = recorder.find(isHandling)!;
      expect(handling.name).toBe('process orders/+/done');
      expect(handling.attributes).toMatchObject({
        'messaging.destination.name': 'orders/7/done',
        'messaging.destination.template': 'orders/+/done',
        'messaging.consumer.group.name': 'billing',
      });
      expect(recorder.parentOf(handling)?.name).toBe('publish orders/7/done');
      expect(seen).toEqual(['paid']);
    },
    60_000,
  );
});

describe('a request over MQTT', () => {
  over(mqtt5)(
    'is in its trace, too, where the library confirms subscriptions outside of any context',
    async transport => {
      @Controller()
      class Handlers {
        @MessagePattern('sum') sum() {
          return 3;
        }
      }
      const recorder = await start(transport, Handlers);
      const { client } = services.caller;
      await client.connect();
      // Some versions of the library call back from their socket, outside of the context.
      const connection = client.unwrap<{ subscribe: (topic: string, done: (error: Error | null) => void) => unknown }>();
      const { subscribe } = connection;
      connection.subscribe = (topic, done) => subscribe.call(connection, topic, error => context.with(ROOT_CONTEXT, () => done(error)));
      expect(await services.inRequest(sender => firstValueFrom(sender.send('sum', {})))).toBe(3);
      await recorder.waitForTrace();
      expect(recorder.parentOf(recorder.find(isHandling)!)).toBe(recorder.find(isSending));
    },
    60_000,
  );
});

describe('a message over Redis', () => {
  over(redis)(
    'names its channel and the pattern that was subscribed to',
    async transport => {
      @Controller()
      class Handlers {
        @MessagePattern('users.*') users() {
          return 'ok';
        }
        @EventPattern('orders.*') ordered(@Payload() _data: unknown) {}
      }
      const recorder = await start(transport, Handlers, { wildcards: true }, {});
      await tell('orders.created');
      await recorder.waitForSpans(3);
      const handling = recorder.find(isHandling)!;
      expect(handling.name).toBe('process orders.*');
      expect(handling.attributes).toMatchObject({
        'messaging.destination.name': 'orders.created',
        'messaging.destination.template': 'orders.*',
      });
      expect(recorder.parentOf(handling)?.name).toBe('publish orders.created');
    },
    60_000,
  );
});
