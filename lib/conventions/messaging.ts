/** Names and attributes of message spans (semantic conventions for messaging and for RabbitMQ, in development). */
import type { Attributes } from '@opentelemetry/api';
import { addPeer, memberAt } from './peer.js';
import { addServer, type ServerAddress } from './rpc.js';

/** Values of a message that are known only when it is sent or received. Ids that are not text are left out. */
export interface MessageInTransit {
  /** The id that a request and its reply share. */
  readonly conversationId?: unknown;
  readonly messageId?: unknown;
  /** The name or number of the connection at the broker. */
  readonly clientId?: unknown;
  /** The socket to the broker. */
  readonly connection?: unknown;
}

/** An operation on a message. `operation` is the system's own word for it: `publish`, `send`, `process`. */
export interface MessageOperation extends MessageInTransit {
  /** `kafka`, `rabbitmq`, `nats`, `mqtt`, `redis`. */
  readonly system: string;
  readonly operation: string;
  readonly type: 'send' | 'create' | 'process';
  /** Topic, subject, channel or queue. */
  readonly destination: string;
  /** The pattern that matches the destination, if the application listens to a pattern. */
  readonly template?: string | undefined;
  /** True if the destination has no name or a generated one. @default false */
  readonly isAnonymous?: boolean | undefined;
  /** True if the destination may no longer exist when its messages are processed. @default false */
  readonly isTemporary?: boolean | undefined;
  /** The consumer group. One of its members gets each message. */
  readonly consumerGroup?: string | undefined;
  readonly count?: number | undefined;
  readonly server?: ServerAddress | undefined;
}

/**
 * Returns `{operation} {destination}`. A template replaces the destination, because it has low cardinality. A generated or temporary name
 * is left out.
 */
export function messageSpanName({ operation, destination, template, isAnonymous, isTemporary }: MessageOperation): string {
  if (template === undefined && (isAnonymous === true || isTemporary === true)) return operation;
  return `${operation} ${template ?? destination}`;
}

export function messageAttributes(message: MessageOperation): Attributes {
  const attributes: Attributes = {
    'messaging.system.name': message.system,
    'messaging.operation.name': message.operation,
    'messaging.operation.type': message.type,
    'messaging.destination.name': message.destination,
  };
  const { template, destination, consumerGroup } = message;
  if (template !== undefined && template !== destination) attributes['messaging.destination.template'] = template;
  if (message.isAnonymous === true) attributes['messaging.destination.anonymous'] = true;
  if (message.isTemporary === true) attributes['messaging.destination.temporary'] = true;
  if (consumerGroup !== undefined) attributes['messaging.consumer.group.name'] = consumerGroup;
  if (message.count !== undefined) attributes['messaging.batch.message_count'] = message.count;
  addServer(attributes, message.server);
  return transitAttributes(message, attributes);
}

/** Adds the attributes that are known only when a message is sent, and returns all attributes. */
export function transitAttributes(
  { conversationId, messageId, clientId, connection }: MessageInTransit,
  attributes: Attributes = {},
): Attributes {
  if (isId(conversationId)) attributes['messaging.message.conversation_id'] = conversationId;
  if (isId(messageId)) attributes['messaging.message.id'] = messageId;
  if (isId(clientId)) attributes['messaging.client.id'] = clientId;
  addPeer(attributes, connection);
  return attributes;
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

/** The default exchange has no name. This name is used if there is no routing key. */
const DEFAULT_EXCHANGE = 'amq.default';
/** The broker's prefix for queues that are declared without a name. */
const SERVER_NAMED = 'amq.gen-';

/** Returns `{exchange}:{routing key}`, for consumers with `:{queue}`. Empty and repeated parts are left out. */
export function rabbitmqDestination(exchange: string | undefined, routingKey: string | undefined, queue?: string): string {
  const parts = [exchange, routingKey, queue === routingKey ? undefined : queue].filter(part => part !== undefined && part !== '');
  return parts.length === 0 ? DEFAULT_EXCHANGE : parts.join(':');
}

/** Says whether the queue's name was generated, and whether the queue may no longer exist when its messages are processed. */
export function rabbitmqQueue(queue: string | undefined, options: unknown): { isAnonymous: boolean; isTemporary: boolean } {
  const isAnonymous = queue?.startsWith(SERVER_NAMED) === true;
  const isTemporary = isAnonymous || memberAt(options, 'exclusive') === true || memberAt(options, 'autoDelete') === true;
  return { isAnonymous, isTemporary };
}

/** Returns RabbitMQ's attributes of one message. */
export function rabbitmqAttributes(routingKey: string | undefined, deliveryTag?: unknown): Attributes {
  const attributes: Attributes = {};
  if (routingKey !== undefined && routingKey !== '') attributes['rabbitmq.destination.routing_key'] = routingKey;
  if (typeof deliveryTag === 'number') attributes['rabbitmq.message.delivery_tag'] = deliveryTag;
  return attributes;
}

/** Returns the connection name in the settings of a connection manager. The broker shows this name. */
export function rabbitmqClientId(settings: unknown): string | undefined {
  const name =
    memberAt(settings, 'connectionOptions', 'clientProperties', 'connection_name') ??
    memberAt(settings, 'clientProperties', 'connection_name');
  return typeof name === 'string' ? name : undefined;
}

/** Returns the socket of a connection manager. */
export function rabbitmqSocket(manager: unknown): unknown {
  return memberAt(manager, 'connection', 'connection', 'stream');
}
