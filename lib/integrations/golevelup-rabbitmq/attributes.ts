/** Names and attributes of spans of golevelup's RabbitMQ messages, on both sides. */
import type { Attributes } from '@opentelemetry/api';
import {
  messageAttributes,
  type MessageOperation,
  rabbitmqAttributes,
  rabbitmqClientId,
  rabbitmqDestination,
  rabbitmqQueue,
  rabbitmqSocket,
} from '../../conventions/messaging.js';
import { memberAt } from '../../conventions/peer.js';
import { serverAddressOf } from '../../conventions/rpc.js';

export const RABBITMQ = 'rabbitmq';

/** The used members of an `AmqpConnection`. The package need not be installed. */
export interface Connection {
  readonly configuration?: {
    readonly uri?: unknown;
    readonly connectionManagerOptions?: unknown;
  };
  /** The connection of amqp-connection-manager. */
  readonly managedConnection?: unknown;
  readonly managedChannels?: Readonly<Record<string, object>>;
}

export interface Delivery {
  readonly fields?: { readonly exchange?: string; readonly routingKey?: string; readonly deliveryTag?: number };
  readonly properties?: {
    readonly headers?: object;
    readonly correlationId?: unknown;
    readonly messageId?: unknown;
    readonly replyTo?: unknown;
  };
}

/** The options of a handler's decorator. */
export interface HandlerOptions {
  readonly exchange?: string;
  readonly routingKey?: string | readonly string[];
  readonly bindings?: readonly { readonly routingKey?: string }[];
  readonly queue?: string;
  readonly queueOptions?: object;
}

/** The destination of a message. A queue is a routing key of the default exchange, whose name is empty. */
export interface Address {
  readonly exchange: string;
  readonly routingKey: string;
}

/** An operation on a message, with the attributes that only RabbitMQ messages have. */
export interface RabbitOperation extends MessageOperation {
  readonly routingKey?: string | undefined;
  readonly deliveryTag?: number | undefined;
}

export function sendOperation(operation: 'publish' | 'request', { exchange, routingKey }: Address): RabbitOperation {
  const destination = rabbitmqDestination(exchange, routingKey);
  const queue = exchange === '' ? rabbitmqQueue(routingKey, undefined) : undefined;
  return { system: RABBITMQ, operation, type: 'send', destination, routingKey, ...queue };
}

/** For a batch, `delivery` is its first message and `count` its size. */
export function consumeOperation(options: HandlerOptions, delivery: Delivery, count?: number): RabbitOperation {
  const { fields = {}, properties = {} } = delivery;
  const { exchange, routingKey, deliveryTag } = fields;
  const queue = options.queue === '' ? undefined : options.queue;
  // A message that is sent to a queue has the queue's name as routing key.
  const template = rabbitmqDestination(exchange, exchange === '' ? routingKey : declaredKey(options, routingKey), queue);
  const { isTemporary } = rabbitmqQueue(queue, options.queueOptions);
  const operation = {
    system: RABBITMQ,
    operation: 'consume',
    type: 'process',
    template,
    isAnonymous: queue === undefined,
    isTemporary: isTemporary || queue === undefined,
  } as const;
  if (count !== undefined) return { ...operation, destination: template, count };
  const { correlationId: conversationId, messageId } = properties;
  const destination = rabbitmqDestination(exchange, routingKey, queue);
  return { ...operation, destination, routingKey, deliveryTag, conversationId, messageId };
}

export function operationAttributes(operation: RabbitOperation, connection: Connection): Attributes {
  return {
    ...messageAttributes({
      ...operation,
      server: serverAddressOf(connection.configuration?.uri, 5672),
      connection: rabbitmqSocket(connection.managedConnection),
      clientId: rabbitmqClientId(memberAt(connection, 'configuration', 'connectionManagerOptions')),
    }),
    ...rabbitmqAttributes(operation.routingKey, operation.deliveryTag),
  };
}

/** Returns the handler's declared routing key that matches the message's key. Returns undefined if none does. */
function declaredKey({ routingKey, bindings }: HandlerOptions, key: string | undefined): string | undefined {
  const bound = bindings?.map(binding => binding.routingKey);
  const declared = [routingKey, bound].flat(2).filter(pattern => typeof pattern === 'string');
  if (key === undefined || declared.includes(key)) return key;
  return declared.length === 1 ? declared[0] : declared.find(pattern => matches(pattern, key));
}

/** Matches like a topic exchange: `*` stands for one word, `#` for any number of words. */
function matches(pattern: string, key: string): boolean {
  const source = pattern
    .replace(/[^\w*#]/g, '\\$&')
    .replace(/\*/g, '[^.]+')
    .replace(/(\\\.)?#/g, '.*');
  return new RegExp(`^${source}$`).test(key);
}
