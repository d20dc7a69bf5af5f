import { Controller, type INestApplication, Module, Post, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  Client,
  type ClientKafka,
  Ctx,
  EventPattern,
  type KafkaContext,
  KafkaRetriableException,
  MessagePattern,
  Payload,
  ServerKafka,
  Transport,
} from '@nestjs/microservices';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { Kafka } from 'kafkajs';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { type Found, specsWith } from '../../foreign/found.js';
import { kafka as broker } from '../../../sample/brokers/kafka.js';
import { joinForAnswers, type ResponseSubscriber, TestKafka } from './kafka.js';
import { Microservices, type Setup } from './microservices.js';
import { kafka } from './transports.js';

const missing = broker.missing();
const spec = specsWith('specs of Kafka', (missing === undefined ? { thing: 'Kafka' } : { missing }) as Found<string>);
/** Nest 11 does not support patterns for topics. */
const specOfPatterns = Object.hasOwn(ServerKafka.prototype, 'getHandlerByPattern') ? spec : () => undefined;

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const TRACEPARENT = `00-${TRACE}-${SPAN}-01`;

/** The messages that handlers received. */
const given: { data: unknown; headers: Record<string, unknown> }[] = [];
const note = (data: unknown, ctx: unknown) => void given.push({ data, headers: { ...(ctx as KafkaContext).getMessage().headers } });
let failures = 0;

/** Returns a controller with its own topics, because each consumer reads a topic from its beginning. */
function ordersOn(prefix: string): Type {
  @Controller()
  class Orders {
    @MessagePattern(`${prefix}.price`) price(@Payload() { amount }: { amount: number }, @Ctx() ctx: unknown) {
      note(amount, ctx);
      return { price: amount * 2 };
    }

    @EventPattern(`${prefix}.placed`) placed(@Payload() data: unknown, @Ctx() ctx: unknown) {
      note(data, ctx);
    }

    @EventPattern(`${prefix}.flaky`) flaky(@Payload() _data: unknown) {
      if (failures > 0) {
        failures -= 1;
        throw new KafkaRetriableException('the database is away');
      }
    }
  }
  return Orders;
}

@Controller()
class AnyOrders {
  @EventPattern(/^any[.]/) any(@Payload() data: unknown, @Ctx() ctx: unknown) {
    note(data, ctx);
  }
}

describe('a message over Kafka', () => {
  let running: TestKafka;
  let services: Microservices;

  /** Starts services on the broker of this file. `topics` are the topics of the controllers. */
  const start = (setup: Partial<Setup> = {}, topics?: readonly string[]) =>
    Microservices.start(
      {
        ...kafka,
        async prepare(patterns = []) {
          await running.topics(topics ?? patterns);
          return {
            server: { transport: Transport.KAFKA, options: running.options() },
            client: { transport: Transport.KAFKA, options: running.options() },
            connect: client => joinForAnswers(client as unknown as ResponseSubscriber, patterns),
          };
        },
      },
      { controllers: [ordersOn('orders')], ...setup },
    );
  /** Runs `run` with its own services, whose topics begin with `prefix`. */
  async function withServices(prefix: string, setup: Partial<Setup>, run: (own: Microservices) => Promise<void>) {
    const own = await start({ controllers: [ordersOn(prefix)], ...setup });
    try {
      await run(own);
    } finally {
      await own.close();
    }
  }

  beforeAll(async () => {
    if (missing !== undefined) return;
    running = await TestKafka.start();
    services = await start();
  });
  afterAll(async () => {
    if (missing !== undefined) return;
    await services.close();
    await running.stop();
  });
  beforeEach(() => {
    given.length = 0;
    services?.recorder.clear();
  });

  const clientOf = (of = services) => of.caller.client as unknown as ClientKafka;
  const emit = (data: unknown, of = services, topic = 'orders.placed') =>
    of.inRequest(client => lastValueFrom(client.emit(topic, data), { defaultValue: undefined }));
  const spansOf = (kind: SpanKind, of = services) => of.recorder.spans.filter(span => span.kind === kind);
  const handled = async (count = 1, of = services) => {
    await of.recorder.waitForSpans(spans => spans.filter(({ kind }) => kind === SpanKind.CONSUMER).length >= count, { timeoutMs: 15_000 });
    return spansOf(SpanKind.CONSUMER, of);
  };
  const parentId = (span?: FinishedSpan) => span?.parentSpanContext?.spanId;

  spec('says on both spans where it was put, and on that of the handling who handles it', async () => {
    await emit({ key: 'k7', value: { id: 7 }, partition: 0 });
    const [handling] = await handled();
    const [sending] = spansOf(SpanKind.PRODUCER);
    const { clusterId } = await running.admin.describeCluster();
    const shared = {
      'messaging.system.name': 'kafka',
      'messaging.destination.name': 'orders.placed',
      'messaging.destination.partition.id': '0',
      'kafka.cluster.id': clusterId,
      'kafka.message.key': 'k7',
      'server.address': '127.0.0.1',
      'server.port': running.broker.port,
    };
    expect(sending).toMatchObject({ name: 'send orders.placed', kind: SpanKind.PRODUCER });
    expect(sending!.attributes).toMatchObject({ ...shared, 'messaging.operation.type': 'send', 'messaging.client.id': 'orders-client' });
    expect(handling).toMatchObject({ name: 'process orders.placed', kind: SpanKind.CONSUMER });
    expect(handling!.attributes).toMatchObject({
      ...shared,
      'messaging.operation.type': 'process',
      'messaging.client.id': 'orders-server',
      'messaging.consumer.group.name': expect.stringMatching(/^group-\d+-server$/) as string,
      'code.function.name': 'Orders.placed',
    });
    expect(handling!.attributes['kafka.offset']).toBe(sending!.attributes['kafka.offset']);
    expect(sending!.attributes).not.toHaveProperty('messaging.batch.message_count');
    expect(sending!.attributes).not.toHaveProperty('kafka.message.tombstone');
  });

  spec('has no key on its spans where that is no text', async () => {
    await emit({ key: Buffer.from([0xff, 0xfe]), value: null });
    const [handling] = await handled();
    for (const span of [handling!, spansOf(SpanKind.PRODUCER)[0]!]) {
      expect(span.attributes).not.toHaveProperty('kafka.message.key');
      expect(span.attributes).toMatchObject({ 'kafka.message.tombstone': true });
    }
  });

  spec('that deletes what its key had says so', async () => {
    await emit({ key: 'k8', value: null });
    const [handling] = await handled();
    for (const span of [handling!, spansOf(SpanKind.PRODUCER)[0]!]) {
      expect(span.attributes).toMatchObject({ 'kafka.message.key': 'k8', 'kafka.message.tombstone': true });
    }
  });

  spec('that is answered has one correlation id on both spans, and a sending span that lasts until the answer', async () => {
    const answer = await services.inRequest(client => firstValueFrom(client.send('orders.price', { amount: 3 })));
    expect(answer).toEqual({ price: 6 });
    await services.recorder.waitForTrace();
    const [handling] = spansOf(SpanKind.CONSUMER);
    const [sending] = spansOf(SpanKind.PRODUCER);
    const id = sending!.attributes['messaging.message.conversation_id'];
    expect(id).toEqual(expect.any(String));
    expect(handling!.attributes['messaging.message.conversation_id']).toBe(id);
    expect(services.recorder.parentOf(handling!)).toBe(sending);
    const names = services.recorder.spans.map(({ name }) => name);
    expect(names.indexOf('process orders.price')).toBeLessThan(names.indexOf('send orders.price'));
  });

  spec('keeps the headers that it has, and the object it was given stays free of ours', async () => {
    const message = { value: { id: 9 }, headers: { tenant: 'blue', raw: Buffer.from('bytes') } };
    await emit(message);
    await emit(message);
    const [first, second] = await handled(2);
    expect(Object.keys(message.headers)).toEqual(['tenant', 'raw']);
    const [one, two] = given;
    expect(one!.headers).toMatchObject({ tenant: 'blue', raw: 'bytes', traceparent: expect.stringContaining(parentId(first)!) as string });
    expect(two!.headers['traceparent']).toContain(parentId(second)!);
    expect(parentId(first)).not.toBe(parentId(second));
    for (const { links } of spansOf(SpanKind.PRODUCER)) expect(links).toEqual([]);
  });

  for (const [kind, header] of [
    ['text', TRACEPARENT],
    ['bytes', Buffer.from(TRACEPARENT)],
  ] as const) {
    spec(`that has a trace context already, as ${kind}, keeps it; the sending span is linked to it`, async () => {
      await emit({ value: 'x', headers: { traceparent: header } });
      const [handling] = await handled();
      expect(parentId(handling)).toBe(SPAN);
      expect(handling!.spanContext().traceId).toBe(TRACE);
      const [sending] = spansOf(SpanKind.PRODUCER);
      expect(sending!.links.map(({ context }) => context.spanId)).toEqual([SPAN]);
    });
  }

  spec('that is one of a batch shares its sending span, which says how many there are', async () => {
    const messages = [
      { key: 'a', value: '1' },
      { key: 'b', value: '2', headers: { tenant: 'blue' } },
      { key: 'c', value: '3' },
    ];
    await services.inRequest(() => lastValueFrom(clientOf().emitBatch('orders.placed', { messages }), { defaultValue: undefined }));
    const handlings = await handled(3);
    const sendings = spansOf(SpanKind.PRODUCER);
    expect(sendings).toHaveLength(1);
    expect(sendings[0]).toMatchObject({ name: 'send orders.placed', attributes: { 'messaging.batch.message_count': 3 } });
    expect(services.recorder.parentOf(sendings[0]!)?.name).toBe('request');
    for (const handling of handlings) expect(services.recorder.parentOf(handling)).toBe(sendings[0]);
    expect(given.map(({ data }) => data)).toEqual(['1', '2', '3']);
    expect(given.map(({ headers }) => headers['tenant'])).toEqual([undefined, 'blue', undefined]);
  });

  spec('that is delivered again has a span per delivery; those that failed say what with', async () => {
    failures = 2;
    await emit('x', services, 'orders.flaky');
    const handlings = await handled(3);
    expect(handlings.map(({ status }) => status.code)).toEqual([SpanStatusCode.ERROR, SpanStatusCode.ERROR, SpanStatusCode.UNSET]);
    expect(handlings.map(({ attributes }) => attributes['error.type'])).toEqual([
      'KafkaRetriableException',
      'KafkaRetriableException',
      undefined,
    ]);
    const [sending] = spansOf(SpanKind.PRODUCER);
    for (const handling of handlings) expect(services.recorder.parentOf(handling)).toBe(sending);
  });

  spec('whose answers the client has not subscribed to fails with what the client says', async () => {
    await expect(services.inRequest(client => firstValueFrom(client.send('orders.unknown', {})))).rejects.toThrow();
    const sending = await services.recorder.waitForSpan('send orders.unknown');
    expect(sending.attributes['error.type']).toBe('InvalidKafkaClientTopicException');
  });

  spec('of a client that was closed and connects again is traced, too', async () => {
    await clientOf().close();
    await emit('again');
    expect(await handled()).toHaveLength(1);
    expect(services.recorder.parentOf(spansOf(SpanKind.CONSUMER)[0]!)?.kind).toBe(SpanKind.PRODUCER);
  });

  spec('that the application sends by the producer itself is left as it is', async () => {
    await services.inRequest(async () => {
      await clientOf().producer.send({ topic: 'orders.placed', messages: [{ value: 'own' }] });
    });
    const [handling] = await handled();
    expect(handling!.parentSpanContext).toBeUndefined();
    expect(spansOf(SpanKind.PRODUCER)).toEqual([]);
    expect(given[0]!.headers).toEqual({});
  });

  spec('of a sender with B3 headers in capitals, as other languages write them, continues its trace', async () => {
    const producer = running.kafka.producer();
    await producer.connect();
    const headers = { 'X-B3-TraceId': TRACE, 'X-B3-SpanId': SPAN, 'X-B3-Sampled': '1' };
    await producer.send({ topic: 'orders.placed', messages: [{ value: 'from afar', headers }] });
    await producer.disconnect();
    const [handling] = await handled();
    expect(handling!.spanContext().traceId).toBe(TRACE);
    expect(parentId(handling)).toBe(SPAN);
  });

  spec('reads as ever for who consumes a batch, and links the span of the batch to its senders', async () => {
    const tracer = services.caller.tracer;
    const consumer = clientOf().unwrap<Kafka>().consumer({ groupId: 'batches' });
    await running.topics(['orders.batched']);
    await consumer.connect();
    await consumer.subscribe({ topic: 'orders.batched', fromBeginning: true });
    const messages = [{ value: '1' }, { value: '2', headers: { traceparent: TRACEPARENT } }];
    await services.inRequest(() => lastValueFrom(clientOf().emitBatch('orders.batched', { messages }), { defaultValue: undefined }));
    await consumer.run({
      eachBatch: async ({ batch }) => {
        const links = tracer.linksFrom([undefined, ...batch.messages.map(message => message.headers)]);
        tracer.span('process a batch', { root: true, kind: SpanKind.CONSUMER, links }, () => batch.messages.length);
      },
    });
    const processing = await services.recorder.waitForSpan('process a batch', { timeoutMs: 15_000 });
    await consumer.disconnect();
    const sending = services.recorder.find('send orders.batched')!;
    expect(processing.links.map(({ context }) => context.spanId)).toEqual([sending.spanContext().spanId, SPAN]);
    expect(processing.parentSpanContext).toBeUndefined();
  });

  spec(
    'goes through serializers and deserializers of the user, be they slow, without their noticing',
    async () => {
      const pause = () => new Promise(resolve => setTimeout(resolve, 5));
      class Envelope {
        headers: Record<string, string> = { codec: 'hex' };
        constructor(readonly value: string) {}
      }
      const made: Envelope[] = [];
      const serializer = {
        async serialize(value: unknown) {
          await pause();
          const envelope = new Envelope(Buffer.from(JSON.stringify(value)).toString('hex'));
          made.push(envelope);
          return envelope;
        },
      };
      const deserializer = {
        async deserialize(message: { value: string }, { channel }: { channel: string }) {
          await pause();
          return { pattern: channel, data: JSON.parse(Buffer.from(message.value, 'hex').toString()) as unknown };
        },
      };
      const adapt: Setup['adapt'] = pair =>
        ({
          ...pair,
          server: { ...pair.server, options: { ...pair.server.options, deserializer } },
          client: { ...pair.client, options: { ...pair.client.options, serializer } },
        }) as never;
      await withServices('coded', { adapt }, async own => {
        await emit({ id: 1 }, own, 'coded.placed');
        expect(await own.inRequest(client => firstValueFrom(client.send('coded.price', { amount: 4 })))).toEqual({ price: 8 });
        const handlings = await handled(2, own);
        for (const handling of handlings) expect(own.recorder.parentOf(handling)?.kind).toBe(SpanKind.PRODUCER);
        expect(given.map(({ data }) => data)).toEqual([{ id: 1 }, 4]);
        expect(given[0]!.headers).toMatchObject({ codec: 'hex', traceparent: expect.any(String) as string });
        expect(made[0]!.headers).toEqual({ codec: 'hex' });
      });
    },
    60_000,
  );

  specOfPatterns(
    'that comes by a pattern of topics has the topic on its span and the pattern in its name',
    async () => {
      const topics = ['any.orders', 'any.users'];
      await running.topics(topics);
      const own = await start({ controllers: [AnyOrders] }, topics);
      try {
        for (const topic of topics) await emit(topic, own, topic);
        const handlings = await handled(2, own);
        expect(handlings.map(({ name }) => name)).toEqual(Array(2).fill('process /^any[.]/'));
        expect(handlings.map(({ attributes }) => attributes['messaging.destination.name']).sort()).toEqual(topics);
        expect(handlings[0]!.attributes['messaging.destination.template']).toBe('/^any[.]/');
      } finally {
        await own.close();
      }
    },
    60_000,
  );

  spec(
    'to a receiver that is not traced is answered as ever',
    async () => {
      await withServices('unseen', { untraced: 'server' }, async own => {
        expect(await own.inRequest(client => firstValueFrom(client.send('unseen.price', { amount: 1 })))).toEqual({ price: 2 });
        await own.recorder.waitForTrace();
        expect(own.recorder.spans.map(({ name }) => name)).toEqual(['send unseen.price', 'request']);
      });
    },
    60_000,
  );

  spec(
    'has a trace of its own that is linked to the sender, where the options say so',
    async () => {
      await withServices('linked', { inbound: { messageOrigin: 'link' } }, async own => {
        await emit('x', own, 'linked.placed');
        const [handling] = await handled(1, own);
        const [sending] = spansOf(SpanKind.PRODUCER, own);
        expect(handling!.parentSpanContext).toBeUndefined();
        expect(handling!.links.map(({ context }) => context)).toMatchObject([{ spanId: sending!.spanContext().spanId }]);
      });
    },
    60_000,
  );

  spec(
    'that is ignored where it is sent has neither span nor headers',
    async () => {
      await withServices('unsent', { outbound: { ignoreMessages: 'unsent.*' } }, async own => {
        await emit('x', own, 'unsent.placed');
        const [handling] = await handled(1, own);
        expect(given[0]!.headers).toEqual({});
        expect(handling!.parentSpanContext).toBeUndefined();
        expect(spansOf(SpanKind.PRODUCER, own)).toEqual([]);
      });
    },
    60_000,
  );

  spec(
    'that is ignored where it is handled has no span there',
    async () => {
      const ignoreMessages = ({ headers, destination }: { headers: object; destination: string }) =>
        destination === 'ignored.price' && 'traceparent' in headers;
      await withServices('ignored', { inbound: { ignoreMessages } }, async own => {
        await own.inRequest(client => firstValueFrom(client.send('ignored.price', { amount: 1 })));
        await own.recorder.waitForTrace();
        expect(own.recorder.spans.map(({ name }) => name)).toEqual(['send ignored.price', 'request']);
      });
    },
    60_000,
  );

  describe('of a hybrid application', () => {
    const options: { value?: ConstructorParameters<typeof ServerKafka>[0] } = {};
    let application: INestApplication;
    const recorder = new TraceRecorder();

    @Controller()
    class Hybrid {
      @Client({
        transport: Transport.KAFKA,
        get options() {
          return options.value;
        },
      } as never)
      readonly client!: ClientKafka;
      constructor(private readonly tracer: Tracer) {}

      @Post('orders') async place() {
        await firstValueFrom(this.client.emit('hybrid.placed', { id: 1 }));
        return this.tracer.traceId;
      }

      @EventPattern('hybrid.placed') placed(@Payload() _data: unknown) {
        this.tracer.addEvent('placed');
      }
    }

    spec(
      'is one trace from the request that sends it, by a client of @Client(), to its handler',
      async () => {
        await running.topics(['hybrid.placed']);
        options.value = running.options();
        @Module({ imports: [TracingModule.forRoot({ serviceName: 'hybrid', exporter: recorder })], controllers: [Hybrid] })
        class HybridModule {}
        application = await NestFactory.create(HybridModule, { logger: false });
        application.connectMicroservice({ transport: Transport.KAFKA, options: running.options() });
        try {
          await application.startAllMicroservices();
          await application.listen(0, '127.0.0.1');
          const traceId = await (await fetch(`${await application.getUrl()}/orders`, { method: 'POST' })).text();
          const handling = await recorder.waitForSpan('process hybrid.placed', { timeoutMs: 15_000 });
          await recorder.waitForSpan('POST /orders');
          expect(handling.spanContext().traceId).toBe(traceId);
          expect(handling.events.map(({ name }) => name)).toEqual(['placed']);
          const sending = recorder.parentOf(handling)!;
          expect(sending.name).toBe('send hybrid.placed');
          expect(recorder.parentOf(sending)?.name).toBe('POST /orders');
          expect(recorder.spans.filter(({ kind }) => kind !== SpanKind.CLIENT)).toHaveLength(3);
        } finally {
          await application.get(Hybrid).client.close();
          await application.close();
        }
      },
      60_000,
    );
  });
});
