/** The hops of a parcel through every transport of Nest. A hop is left out if the environment has no address of its broker. */

/** In this order. The environment variable contains the address of the broker. */
const BROKERS = {
  tcp: undefined,
  grpc: undefined,
  redis: 'REDIS_URL',
  nats: 'NATS_URL',
  rabbitmq: 'RABBITMQ_URL',
  kafka: 'KAFKA_BROKER',
  mqtt: 'MQTT_URL',
  bullmq: 'REDIS_URL',
  websocket: undefined,
} as const;

export type Hop = keyof typeof BROKERS;

const ALL = Object.keys(BROKERS) as Hop[];

/** Returns the possible hops in order. */
export function hopsIn(env: NodeJS.ProcessEnv): readonly Hop[] {
  return ALL.filter(hop => brokerOf(hop, env) !== '');
}

/** Returns the address of the hop's broker. Returns undefined if the hop needs no broker or the environment has none. */
export function brokerOf(hop: Hop, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const variable = BROKERS[hop];
  return variable === undefined ? undefined : (env[variable] ?? '');
}

/** Returns the hop after `hop`. The socket is always last. */
export function nextAfter(hop: Hop): Hop {
  const hops = hopsIn(process.env);
  return hops[hops.indexOf(hop) + 1] ?? 'websocket';
}

/** The pattern that the handlers of a hop listen to. */
export const patternOf = (hop: Hop): string => (hop === 'mqtt' ? 'parcel/mqtt' : `parcel.${hop}`);
