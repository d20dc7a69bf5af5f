/** Nest's transports for the specs of this folder, with matching settings for server and client. */
import { type ClientOptions, type ClientProxy, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { Broker, type BrokerKind } from '../../../sample/brokers/broker.js';
import { kafka as kafkaBroker } from '../../../sample/brokers/kafka.js';
import { mosquitto } from '../../../sample/brokers/mosquitto.js';
import { nats as natsServer } from '../../../sample/brokers/nats.js';
import { rabbitmq as rabbitmqServer } from '../../../sample/brokers/rabbitmq.js';
import { redis as redisServer } from '../../../sample/brokers/redis.js';
import { joinForAnswers, type ResponseSubscriber, TestKafka } from './kafka.js';
import { freePort } from '../../../sample/runner/free-ports.js';

export interface TestTransport {
  readonly name: string;
  /** `messaging.system.name` or `rpc.system.name`. */
  readonly system: string;
  readonly protocol: 'rpc' | 'messaging';
  /** The text before the destination in the names of sending and handling spans. It is empty for calls. */
  readonly sending: string;
  readonly handling: string;
  /** The broker of the messages. All pairs of a spec file share it. */
  readonly broker?: BrokerKind;
  /** Returns new settings for one pair of server and client. The server listens to `patterns`. */
  prepare(patterns?: readonly string[]): Promise<Pair>;
}

export interface Pair {
  readonly server: MicroserviceOptions;
  readonly client: ClientOptions;
  /** Prepares the client before it sends. */
  connect?(client: ClientProxy): Promise<void>;
  /** Stops everything that was started for the pair. */
  release?(): Promise<void>;
}

export const tcp: TestTransport = {
  name: 'TCP',
  system: 'nestjs.tcp',
  protocol: 'rpc',
  sending: '',
  handling: '',
  async prepare() {
    const options = { host: '127.0.0.1', port: await freePort() };
    return { server: { transport: Transport.TCP, options }, client: { transport: Transport.TCP, options } };
  },
};

const published = { protocol: 'messaging', sending: 'publish ', handling: 'process ' } as const;

export const redis: TestTransport = {
  ...published,
  name: 'Redis',
  system: 'redis',
  broker: redisServer,
  async prepare() {
    const { port } = await brokerOf(redis);
    // In Nest 11, an answer that cannot be sent is an unhandled rejection. With these retries it waits for the broker.
    const options = { host: '127.0.0.1', port, retryAttempts: 1000, retryDelay: 50, maxRetriesPerRequest: null };
    return { server: { transport: Transport.REDIS, options }, client: { transport: Transport.REDIS, options } };
  },
};

export const nats: TestTransport = {
  ...published,
  name: 'NATS',
  system: 'nats',
  broker: natsServer,
  async prepare() {
    const { port } = await brokerOf(nats);
    const options = { servers: `nats://127.0.0.1:${port}`, reconnectTimeWait: 50, maxReconnectAttempts: -1 };
    return { server: { transport: Transport.NATS, options }, client: { transport: Transport.NATS, options } };
  },
};

let queues = 0;

export const rabbitmq: TestTransport = {
  ...published,
  name: 'RabbitMQ',
  system: 'rabbitmq',
  handling: 'consume ',
  broker: rabbitmqServer,
  async prepare() {
    const { port } = await brokerOf(rabbitmq);
    const options = {
      urls: [`amqp://guest:guest@127.0.0.1:${port}`],
      queue: `queue-${++queues}`,
      queueOptions: { durable: true },
      socketOptions: { reconnectTimeInSeconds: 0.05, heartbeatIntervalInSeconds: 5 },
    };
    return { server: { transport: Transport.RMQ, options }, client: { transport: Transport.RMQ, options } };
  },
};

export const mqtt5 = mqtt('MQTT 5', 5);
export const mqtt311 = mqtt('MQTT 3.1.1', 4);

function mqtt(name: string, protocolVersion: 4 | 5): TestTransport {
  const transport: TestTransport = {
    ...published,
    name,
    system: 'mqtt',
    broker: mosquitto,
    async prepare() {
      const { port } = await brokerOf(transport);
      const options = { url: `mqtt://127.0.0.1:${port}`, protocolVersion, reconnectPeriod: 50 } as const;
      return { server: { transport: Transport.MQTT, options }, client: { transport: Transport.MQTT, options } };
    },
  };
  return transport;
}

export const kafka: TestTransport = {
  name: 'Kafka',
  system: 'kafka',
  protocol: 'messaging',
  sending: 'send ',
  handling: 'process ',
  broker: kafkaBroker,
  async prepare(patterns = []) {
    const running = await TestKafka.start();
    await running.topics(patterns, 4);
    return {
      server: { transport: Transport.KAFKA, options: running.options() },
      client: { transport: Transport.KAFKA, options: running.options() },
      connect: client => joinForAnswers(client as unknown as ResponseSubscriber, patterns),
      release: () => running.stop(),
    };
  },
};

/** The transports that can run here. One line names each missing broker. */
export const transports: readonly TestTransport[] = [tcp, redis, nats, rabbitmq, mqtt5, mqtt311].filter(canRun);

/** All these and Kafka. Its client must name the patterns that it sends before it connects. */
export const transportsAndKafka: readonly TestTransport[] = [...transports, ...[kafka].filter(canRun)];

function canRun({ name, broker }: TestTransport): boolean {
  const missing = broker?.missing();
  if (missing !== undefined) process.stderr.write(`SKIPPED messages over ${name}: ${missing}\n`);
  return missing === undefined;
}

/** Runs the specs over the `wanted` transports that can run here. If there are none, the specs are skipped. */
export function describeOver(wanted: readonly TestTransport[], title: string, specs: (transport: TestTransport) => void): void {
  const found = wanted.filter(transport => transports.includes(transport));
  if (found.length > 0) describe.each(found)(title, specs);
  else describe.skip.each(wanted)(title, specs); // The lines above say what the machine lacks.
}

const brokers = new Map<BrokerKind, Promise<Broker>>();

/** Starts the broker if it is not running. It is stopped after the spec file. */
export function brokerOf({ name, broker: kind }: TestTransport): Promise<Broker> {
  if (kind === undefined) throw new Error(`${name} has no broker`);
  const broker = brokers.get(kind) ?? Broker.start(kind);
  brokers.set(kind, broker);
  return broker;
}

afterAll(async () => {
  await Promise.all([...brokers.values()].map(broker => broker.then(running => running.stop())));
  brokers.clear();
});
