/** What spans of messages are called and carry (semantic conventions for messaging, in development), on either side. */
import type { Attributes } from '@opentelemetry/api';
import { addServer, type ServerAddress } from './rpc.js';

/** What is done with a message, in the words of its system: `publish`, `send`, `process`. */
export interface MessageOperation {
  /** `kafka`, `rabbitmq`, `nats`, `mqtt`, `redis`. */
  readonly system: string;
  readonly operation: string;
  readonly type: 'send' | 'create' | 'process';
  /** Topic, subject, channel or queue. */
  readonly destination: string;
  /** What the destination is an instance of, where the application listens to a pattern. */
  readonly template?: string | undefined;
  /** Identifies the exchange that a request and its reply belong to. */
  readonly conversationId?: string | undefined;
  readonly messageId?: string | undefined;
  readonly clientId?: string | undefined;
  /** Of which one member gets each message. */
  readonly consumerGroup?: string | undefined;
  readonly server?: ServerAddress | undefined;
}

/** `{operation} {destination}`: that of the template where there is one, as it takes few values. */
export function messageSpanName({ operation, destination, template }: MessageOperation): string {
  return `${operation} ${template ?? destination}`;
}

/** Attributes of one message. */
export function messageAttributes(message: MessageOperation): Attributes {
  const attributes: Attributes = {
    'messaging.system.name': message.system,
    'messaging.operation.name': message.operation,
    'messaging.operation.type': message.type,
    'messaging.destination.name': message.destination,
  };
  const { template, destination, conversationId, messageId, clientId, consumerGroup } = message;
  if (template !== undefined && template !== destination) attributes['messaging.destination.template'] = template;
  if (conversationId !== undefined) attributes['messaging.message.conversation_id'] = conversationId;
  if (messageId !== undefined) attributes['messaging.message.id'] = messageId;
  if (clientId !== undefined) attributes['messaging.client.id'] = clientId;
  if (consumerGroup !== undefined) attributes['messaging.consumer.group.name'] = consumerGroup;
  addServer(attributes, message.server);
  return attributes;
}

/** `{exchange}:{routing key}`, for consumers with `:{queue}`; what is empty or says the same again is left out. */
export function rabbitmqDestination(exchange: string | undefined, routingKey: string | undefined, queue?: string): string | undefined {
  const parts = [exchange, routingKey, queue === routingKey ? undefined : queue].filter(part => part !== undefined && part !== '');
  return parts.length === 0 ? undefined : parts.join(':');
}

/** What RabbitMQ says about one message. */
export function rabbitmqAttributes(routingKey: string | undefined, deliveryTag?: unknown): Attributes {
  const attributes: Attributes = {};
  if (routingKey !== undefined && routingKey !== '') attributes['rabbitmq.destination.routing_key'] = routingKey;
  if (typeof deliveryTag === 'number') attributes['rabbitmq.message.delivery_tag'] = deliveryTag;
  return attributes;
}
