/** Nest's transports as the specs of this folder run over them: what a server and a client need to find each other. */
import { createServer } from 'node:net';
import { type ClientOptions, type ClientProxy, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import type { BrokerKind } from '../brokers/broker.js';
import { kafka as kafkaBroker } from '../brokers/kafka.js';
import { joinForAnswers, type ResponseSubscriber, TestKafka } from './kafka.js';

export interface TestTransport {
  readonly name: string;
  /** `messaging.system.name` or `rpc.system.name`. */
  readonly system: string;
  readonly protocol: 'rpc' | 'messaging';
  /** What is put before the destination in the names of sending and handling spans; nothing for calls. */
  readonly sending: string;
  readonly handling: string;
  /** Settings of one pair of server and client, unlike those of any other; the server listens to `patterns`. */
  prepare(patterns: readonly string[]): Promise<Pair>;
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

export const kafka: TestTransport = {
  name: 'Kafka',
  system: 'kafka',
  protocol: 'messaging',
  sending: 'send ',
  handling: 'process ',
  async prepare(patterns) {
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
export const transports: readonly TestTransport[] = [tcp, ...where(kafka, kafkaBroker)];

function where(transport: TestTransport, broker: BrokerKind): TestTransport[] {
  const missing = broker.missing();
  if (missing === undefined) return [transport];
  process.stderr.write(`SKIPPED specs over ${transport.name}: ${missing}\n`);
  return [];
}

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
