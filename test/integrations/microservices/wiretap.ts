/** Reads messages on the wire: it listens in place of a Nest server, with the broker's own client library. */
import amqp from 'amqplib';
import { Redis } from 'ioredis';
import mqtt from 'mqtt';
import type { Pair, TestTransport } from './transports.js';

interface WireMessage {
  /** The raw body. */
  readonly body: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

export interface Wiretap {
  next(): Promise<WireMessage>;
  close(): Promise<unknown>;
}

/** The options of all transports. */
interface Options {
  readonly host: string;
  readonly port: number;
  readonly servers: string;
  readonly urls: readonly string[];
  readonly queue: string;
  readonly queueOptions: { readonly durable: boolean };
  readonly url: string;
  readonly protocolVersion: 4 | 5;
}

type Listen = (options: Options, topic: string, heard: (message: WireMessage) => void) => Promise<() => Promise<unknown>>;

/** Listens to one topic or to the queue of the pair. */
export async function tap({ system }: TestTransport, { server }: Pair, topic: string): Promise<Wiretap> {
  const heard: WireMessage[] = [];
  let wake = (): void => {};
  const listen = listeners[system];
  if (listen === undefined) throw new Error(`nobody can listen to ${system}`);
  const close = await listen((server as { options: Options }).options, topic, message => {
    heard.push(message);
    wake();
  });
  return {
    async next() {
      while (heard.length === 0) await new Promise<void>(resolve => (wake = resolve));
      return heard.shift()!;
    },
    close,
  };
}

const listeners: Record<string, Listen> = {
  async redis({ host, port }, topic, heard) {
    const client = new Redis({ host, port });
    await client.subscribe(topic);
    client.on('message', (_channel, body) => heard({ body, headers: {} }));
    return () => client.quit();
  },

  async nats({ servers }, topic, heard) {
    // Nest 11 and 12 use packages with different names.
    const name = await Promise.any(['@nats-io/transport-node', 'nats'].map(name => import(name).then(() => name)));
    const { connect } = (await import(name)) as typeof import('@nats-io/transport-node');
    const client = await connect({ servers });
    client.subscribe(topic, {
      callback: (_error, { data, headers }) =>
        heard({
          body: Buffer.from(data).toString(),
          headers: Object.fromEntries([...(headers ?? [])].map(([key, [value]]) => [key, value])),
        }),
    });
    await client.flush();
    return () => client.close();
  },

  async rabbitmq({ urls, queue, queueOptions }, _topic, heard) {
    const client = await amqp.connect(urls[0]!);
    const channel = await client.createChannel();
    await channel.assertQueue(queue, queueOptions);
    const ear = (message: amqp.ConsumeMessage | null) =>
      message && heard({ body: message.content.toString(), headers: message.properties.headers ?? {} });
    await channel.consume(queue, ear, { noAck: true });
    return () => client.close();
  },

  async mqtt({ url, protocolVersion }, topic, heard) {
    const client = mqtt.connect(url, { protocolVersion });
    await new Promise<void>(resolve => client.once('connect', () => resolve()));
    await client.subscribeAsync(topic);
    client.on('message', (_topic, body, { properties }) => heard({ body: body.toString(), headers: { ...properties?.userProperties } }));
    return () => client.endAsync();
  },
};
