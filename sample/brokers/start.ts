/** Starts all brokers that this machine has, each on a free port of the loopback interface, and stops them. */
import { Broker, type BrokerKind } from './broker.js';
import { kafka } from './kafka.js';
import { mosquitto } from './mosquitto.js';
import { nats } from './nats.js';
import { rabbitmq } from './rabbitmq.js';
import { redis } from './redis.js';

export interface RunningBrokers {
  /** An environment variable with the address of each broker. */
  readonly env: Readonly<Record<string, string>>;
  /** The brokers that could not be started, and why. */
  readonly missing: readonly string[];
  stop(): Promise<void>;
}

interface Address {
  readonly variable: string;
  readonly kind: BrokerKind;
  readonly at: (port: number) => string;
}

const ADDRESSES: readonly Address[] = [
  { variable: 'REDIS_URL', kind: redis, at: port => `redis://127.0.0.1:${port}` },
  { variable: 'NATS_URL', kind: nats, at: port => `nats://127.0.0.1:${port}` },
  { variable: 'RABBITMQ_URL', kind: rabbitmq, at: port => `amqp://guest:guest@127.0.0.1:${port}` },
  { variable: 'KAFKA_BROKER', kind: kafka, at: port => `127.0.0.1:${port}` },
  { variable: 'MQTT_URL', kind: mosquitto, at: port => `mqtt://127.0.0.1:${port}` },
];

/** Starts the brokers whose address `env` does not contain. */
export async function startBrokers(env: NodeJS.ProcessEnv = process.env): Promise<RunningBrokers> {
  const wanted = ADDRESSES.filter(({ variable }) => !env[variable]).map(address => ({ ...address, reason: address.kind.missing() }));
  const missing = wanted.flatMap(({ kind, variable, reason }) =>
    reason === undefined ? [] : [`${kind.name}: ${reason} (or ${variable})`],
  );
  const starting = wanted
    .filter(({ reason }) => reason === undefined)
    .map(async ({ kind, variable, at }) => ({ variable, at, broker: await Broker.start(kind) }));
  const outcomes = await Promise.allSettled(starting);
  const running = outcomes.flatMap(outcome => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const stop = async (): Promise<void> => {
    await Promise.all(running.map(({ broker }) => broker.stop()));
  };
  const failed = outcomes.find(outcome => outcome.status === 'rejected');
  if (failed !== undefined) {
    await stop();
    throw failed.reason;
  }
  return { env: Object.fromEntries(running.map(({ variable, at, broker }) => [variable, at(broker.port)])), missing, stop };
}
