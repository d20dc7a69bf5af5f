/** Nest's transports as the specs of this folder run over them: what a server and a client need to find each other. */
import { createServer } from 'node:net';
import { type ClientOptions, type ClientProxy, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { Broker, type BrokerKind } from '../../sample/brokers/broker.js';
import { kafka as kafkaBroker } from '../../sample/brokers/kafka.js';
import { mosquitto } from '../../sample/brokers/mosquitto.js';
import { nats as natsServer } from '../../sample/brokers/nats.js';
import { rabbitmq as rabbitmqServer } from '../../sample/brokers/rabbitmq.js';
import { redis as redisServer } from '../../sample/brokers/redis.js';
import { joinForAnswers, type ResponseSubscriber, TestKafka } from './kafka.js';

export interface TestTransport {
  readonly name: string;
  /** `messaging.system.name` or `rpc.system.name`. */
  readonly system: string;
  readonly protocol: 'rpc' | 'messaging';
  /** What is put before the destination in the names of sending and handling spans; nothing for calls. */
  readonly sending: string;
  readonly handling: string;
  /** What the messages go through; one for all pairs of a spec file. */
  readonly broker?: BrokerKind;
  /** Settings of one pair of server and client, unlike those of any other; the server listens to `patterns`. */
  prepare(patterns?: readonly string[]): Promise<Pair>;
}

export interface Pair {
  readonly server: MicroserviceOptions;
  readonly client: ClientOptions;
  /** What the client does before it sends anything. */
  connect?(client: ClientProxy): Promise<void>;
  /** Ends what was started for the pair. */
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
    // An answer that cannot be sent is an unhandled rejection in Nest 11: it waits for the broker's return.
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

/** Those that can run here; a broker that is missing is said once. */
export const transports: readonly TestTransport[] = [tcp, redis, nats, rabbitmq, mqtt5, mqtt311].filter(canRun);

/** Kafka, too, whose client must name what it wants answers to before it connects. */
export const transportsAndKafka: readonly TestTransport[] = [...transports, ...[kafka].filter(canRun)];

function canRun({ name, broker }: TestTransport): boolean {
  const missing = broker?.missing();
  if (missing !== undefined) process.stderr.write(`SKIPPED messages over ${name}: ${missing}\n`);
  return missing === undefined;
}

/** Specs of those among `wanted` that can run here; where none can, they are skipped. */
export function describeOver(wanted: readonly TestTransport[], title: string, specs: (transport: TestTransport) => void): void {
  const found = wanted.filter(transport => transports.includes(transport));
  if (found.length > 0) describe.each(found)(title, specs);
  else describe.skip.each(wanted)(title, specs); // The lines above say what the machine lacks.
}

const brokers = new Map<BrokerKind, Promise<Broker>>();

/** Starts it where it is not running yet; ended with the spec file. */
export function brokerOf({ name, broker: kind }: TestTransport): Promise<Broker> {
  if (kind === undefined) throw new Error(`${name} has no broker`);
  const broker = brokers.get(kind) ?? Broker.start(kind);
  brokers.set(kind, broker);
  return broker;
}

afterAll(async () => {
  await Promise.all([...brokers.values()].map(broker => broker.then(running => running.stop())));
  brokers.clear();
}, 60_000);

/** A port of the loopback interface that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
