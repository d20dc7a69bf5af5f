/** How the clients of Nest's transports are told apart. */
import { serverAddress } from '../conventions/rpc.js';
import { carryInEnvelope } from './client-envelope.js';
import { isKafka, kafka } from './client-kafka.js';
import { isMqtt, mqtt } from './client-mqtt.js';
import { isNats, nats } from './client-nats.js';
import { isRabbitmq, rabbitmq } from './client-rabbitmq.js';
import { isRedis, redis } from './client-redis.js';
import { type ClientProxy, type ClientTransport, hasMembers } from './client-transport.js';

const METHODS = ['dispatchEvent', 'publish', 'emit', 'send', 'connect', 'normalizePattern'] as const;

/** Whether something is a client proxy, of whichever copy of @nestjs/microservices; no getter is asked. */
export function isClientProxy(value: unknown): value is ClientProxy {
  return typeof value === 'object' && value !== null && METHODS.every(name => hasMethod(value, name));
}

function hasMethod(value: object, name: string): boolean {
  for (let owner: object | null = value; owner !== null; owner = Object.getPrototypeOf(owner) as object | null) {
    const property = Object.getOwnPropertyDescriptor(owner, name);
    if (property !== undefined) return typeof property.value === 'function';
  }
  return false;
}

export function transportOf(client: ClientProxy): ClientTransport {
  return transports.find(([recognises]) => recognises(client))?.[1] ?? custom;
}

const tcp: ClientTransport = {
  system: 'nestjs.tcp',
  protocol: 'rpc',
  operation: 'call',
  serverOf: client => serverAddress(Reflect.get(client, 'host'), Reflect.get(client, 'port')),
  carry: carryInEnvelope,
};

function isTcp(client: object): boolean {
  return hasMembers(client, 'socketClass', 'host', 'port');
}

/** Clients of the user's: they are given `metadata`, as Nest's own dispatch hook would give it. */
const custom: ClientTransport = {
  system: 'nestjs.custom',
  protocol: 'rpc',
  operation: 'call',
  serverOf: () => undefined,
  carry: carryInEnvelope,
};

/** Known by their members. */
const transports: readonly (readonly [(client: ClientProxy) => boolean, ClientTransport])[] = [
  [isTcp, tcp],
  [isRedis, redis],
  [isNats, nats],
  [isRabbitmq, rabbitmq],
  [isMqtt, mqtt],
  [isKafka, kafka],
];
