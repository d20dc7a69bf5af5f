/** Specs of the attributes for connections and message ids. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Controller } from '@nestjs/common';
import { EventPattern, MessagePattern, NatsRecordBuilder, Payload, RmqRecordBuilder } from '@nestjs/microservices';
import { type Attributes, SpanKind } from '@opentelemetry/api';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { Books, DeskController, deskOf, grpc } from './desk.js';
import { Microservices } from './microservices.js';
import { describeOver, mqtt311, mqtt5, nats, type Pair, rabbitmq, redis, tcp, type TestTransport } from './transports.js';

@Controller()
class Handlers {
  @MessagePattern('sum') sum(@Payload() [a, b]: number[]) {
    return Number(a) + Number(b);
  }
  @EventPattern('happened') happened(@Payload() _data: unknown) {}
}

const isSending = ({ kind }: FinishedSpan) => kind === SpanKind.PRODUCER || kind === SpanKind.CLIENT;
const isHandling = ({ kind }: FinishedSpan) => kind === SpanKind.CONSUMER || kind === SpanKind.SERVER;

let services: Microservices;
afterEach(() => services.close());

async function start(transport: TestTransport, options: object = {}, client: object = options): Promise<void> {
  services = await Microservices.start(transport, {
    controllers: [Handlers],
    adapt: pair =>
      ({
        server: { ...pair.server, options: { ...pair.server.options, ...options } },
        client: { ...pair.client, options: { ...pair.client.options, ...client } },
      }) as Pair,
  });
}

/** Returns the attributes of both spans of one message. */
async function attributesOf(send: () => Promise<unknown>): Promise<{ sending: Attributes; handling: Attributes }> {
  services.recorder.clear();
  await send();
  const handling = await services.recorder.waitForSpan(isHandling);
  const sending = await services.recorder.waitForSpan(isSending);
  return { sending: sending.attributes, handling: handling.attributes };
}

const ask = (data: unknown = [1, 2]) => services.inRequest(client => firstValueFrom(client.send('sum', data)));
const tell = (data: unknown = {}) =>
  services.inRequest(client => lastValueFrom(client.emit('happened', data), { defaultValue: undefined }));
const text = expect.any(String) as string;

describeOver([tcp, redis, nats, rabbitmq, mqtt5, mqtt311], 'a message over $name', transport => {
  it('names the socket that it went through, from the first message on', async () => {
    await start(transport);
    for (const send of [ask, tell]) {
      const { sending, handling } = await attributesOf(send);
      const peer = { 'network.peer.address': '127.0.0.1', 'network.peer.port': sending['server.port'] };
      expect(sending).toMatchObject(peer);
      // The peer of a call's server is the client.
      if (transport.protocol === 'messaging') expect(handling).toMatchObject(peer);
      else expect(handling['network.peer.port']).not.toBe(sending['server.port']);
      expect(handling).toMatchObject({ 'network.peer.address': '127.0.0.1', 'network.peer.port': expect.any(Number) as number });
    }
  });
});

describeOver([redis, nats, rabbitmq, mqtt5, mqtt311], 'a request over $name', transport => {
  it('names the exchange that it begins, on both sides; an event begins none', async () => {
    await start(transport);
    const { sending, handling } = await attributesOf(ask);
    expect(sending['messaging.message.conversation_id']).toEqual(text);
    expect(handling['messaging.message.conversation_id']).toBe(sending['messaging.message.conversation_id']);
    const event = await attributesOf(tell);
    expect(event.sending).not.toHaveProperty(['messaging.message.conversation_id']);
    expect(event.handling).not.toHaveProperty(['messaging.message.conversation_id']);
  });
});

describeOver([redis, nats, rabbitmq, mqtt5], 'a client of $name', transport => {
  it('has the name that its connection has', async () => {
    const named: Record<string, object> = {
      Redis: { connectionName: 'till-1' },
      NATS: { name: 'till-1' },
      RabbitMQ: { socketOptions: { connectionOptions: { clientProperties: { connection_name: 'till-1' } } } },
      'MQTT 5': { clientId: 'till-1' },
    };
    await start(transport, {}, named[transport.name]);
    const { sending, handling } = await attributesOf(tell);
    expect(sending['messaging.client.id']).toBe('till-1');
    // NATS numbers its clients. An MQTT client always has a name.
    const generated = { NATS: expect.stringMatching(/^\d+$/) as string, 'MQTT 5': expect.stringMatching(/^mqttjs_/) as string };
    expect(handling['messaging.client.id']).toEqual((generated as Record<string, string>)[transport.name]);
  });
});

describeOver([nats], 'a message over $name', () => {
  it('has the id that the user gave it, a request else that of Nest', async () => {
    await start(nats);
    const request = await attributesOf(ask);
    expect(request.sending['messaging.message.id']).toEqual(text);
    expect(request.handling['messaging.message.id']).toBe(request.sending['messaging.message.id']);
    const event = await attributesOf(tell);
    expect(event.sending).not.toHaveProperty(['messaging.message.id']);
    expect(event.handling).not.toHaveProperty(['messaging.message.id']);
    for (const [send, data] of [
      [ask, [1, 2]],
      [tell, {}],
    ] as const) {
      const name = await Promise.any(['@nats-io/transport-node', 'nats'].map(found => import(found).then(() => found)));
      const { headers: natsHeaders } = (await import(name)) as typeof import('@nats-io/transport-node');
      const headers = natsHeaders();
      headers.set('Nats-Msg-Id', 'order-7');
      const { sending, handling } = await attributesOf(() => send(new NatsRecordBuilder(data).setHeaders(headers).build()));
      expect(sending['messaging.message.id']).toBe('order-7');
      expect(handling['messaging.message.id']).toBe('order-7');
    }
  });
});

describeOver([rabbitmq], 'a message over $name', () => {
  it('has the id that the user gave it, and the correlation id of a request', async () => {
    await start(rabbitmq);
    const record = (data: unknown) => new RmqRecordBuilder(data).setOptions({ messageId: 'order-7' }).build();
    for (const send of [() => ask(record([1, 2])), () => tell(record({}))]) {
      const { sending, handling } = await attributesOf(send);
      expect(sending['messaging.message.id']).toBe('order-7');
      expect(handling['messaging.message.id']).toBe('order-7');
    }
    // An object that only looks like a record has no message id.
    const { sending } = await attributesOf(() => tell({ options: { messageId: 'order-8' } }));
    expect(sending).not.toHaveProperty(['messaging.message.id']);
  });

  it('to the default exchange without a routing key names that exchange', async () => {
    await start(rabbitmq, {}, { queue: '', queueOptions: { exclusive: true } });
    services.recorder.clear();
    await tell();
    const { attributes, name } = await services.recorder.waitForSpan(isSending);
    expect(attributes).toMatchObject({ 'messaging.destination.name': 'amq.default', 'messaging.destination.template': 'happened' });
    expect(attributes).not.toHaveProperty(['rabbitmq.destination.routing_key']);
    expect(name).toBe('publish happened');
  });

  it('out of a queue that the broker names is out of an anonymous and temporary one, also after a new connection', async () => {
    const exchange = { exchange: 'shop', wildcards: true };
    await start(rabbitmq, { ...exchange, queue: '', queueOptions: { exclusive: true } }, exchange);
    const { sending, handling } = await attributesOf(tell);
    expect(sending['messaging.destination.name']).toBe('shop:happened');
    for (const key of ['messaging.destination.anonymous', 'messaging.destination.temporary']) expect(sending).not.toHaveProperty([key]);
    expect(handling).toMatchObject({
      'messaging.destination.name': expect.stringMatching(/^shop:happened:amq\.gen-/) as string,
      'messaging.destination.anonymous': true,
      'messaging.destination.temporary': true,
    });
    const queue = String(handling['messaging.destination.name']).split(':')[2]!;
    await services.close();

    // A client that knows the name of the queue can send to it.
    await start(rabbitmq, { queue: '', queueOptions: { exclusive: true } }, { queue, noAssert: true });
    services.recorder.clear();
    await tell();
    const direct = await services.recorder.waitForSpan(isSending);
    expect(direct.attributes).toMatchObject({
      'messaging.destination.name': queue,
      'messaging.destination.anonymous': true,
      'messaging.destination.temporary': true,
    });
  });

  it('to a queue that goes with its consumers is to a temporary one, which has a name', async () => {
    await start(rabbitmq, { queue: `passing-${process.pid}`, queueOptions: { durable: false, autoDelete: true } });
    const { sending, handling } = await attributesOf(tell);
    for (const attributes of [sending, handling]) {
      expect(attributes).toMatchObject({ 'messaging.destination.temporary': true });
      expect(attributes).not.toHaveProperty(['messaging.destination.anonymous']);
    }
  });
});

it('a call over gRPC through a socket in the file system names its path as the address, without a port', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'grpc-'));
  const path = join(folder, 'desk.sock');
  services = await Microservices.start(grpc, {
    controllers: [DeskController],
    providers: [Books],
    outbound: { propagateTo: ['*'] },
    adapt: ({ server, client }) =>
      ({
        server: { ...server, options: { ...server.options, url: `unix:${path}` } },
        client: { ...client, options: { ...client.options, url: `unix:${path}` } },
      }) as Pair,
  });
  await services.inRequest(client => firstValueFrom(deskOf(client).ask({ what: 'now', number: 1 })));
  const { attributes } = await services.recorder.waitForSpan(({ kind }) => kind === SpanKind.CLIENT);
  expect(attributes).toMatchObject({ 'rpc.system.name': 'grpc', 'server.address': path });
  expect(attributes).not.toHaveProperty(['server.port']);
  // A host rule cannot name a socket path.
  const serving = await services.recorder.waitForSpan(({ kind }) => kind === SpanKind.SERVER);
  expect(serving.parentSpanContext).toBeUndefined();
  rmSync(folder, { recursive: true });
});
