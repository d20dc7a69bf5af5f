/** The way of a parcel through every transport that Nest has; hops whose broker the environment does not name are left out. */

/** In this order; the environment variable says where the broker is. */
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

/** The hops that can be taken in an environment, first to last. */
export function hopsIn(env: NodeJS.ProcessEnv): readonly Hop[] {
  return ALL.filter(hop => brokerOf(hop, env) !== '');
}

/** The address of the hop's broker; nothing where it needs none or has none. */
export function brokerOf(hop: Hop, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const variable = BROKERS[hop];
  return variable === undefined ? undefined : (env[variable] ?? '');
}

/** Where a parcel goes after `hop`; the socket is always last. */
export function nextAfter(hop: Hop): Hop {
  const hops = hopsIn(process.env);
  return hops[hops.indexOf(hop) + 1] ?? 'websocket';
}

/** What the handlers of a hop listen to. */
export const patternOf = (hop: Hop): string => (hop === 'mqtt' ? 'parcel/mqtt' : `parcel.${hop}`);
