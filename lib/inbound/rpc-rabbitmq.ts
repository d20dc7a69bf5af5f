/** Messages over RabbitMQ: the sender's headers are those of the message, and one queue holds messages of many patterns. */
import { rabbitmqAttributes, rabbitmqDestination } from '../conventions/messaging.js';
import { serverAddressOf } from '../conventions/rpc.js';
import { fromContext, lowerCased, propertyOf, textFrom, textOf } from './rpc-context.js';
import { currentEnvelope, watchDeliveries } from './rpc-envelope.js';
import type { RpcTransport } from './rpc-transport.js';

interface Delivery {
  readonly fields?: { readonly exchange?: unknown; readonly routingKey?: unknown; readonly deliveryTag?: unknown };
  readonly properties?: { readonly headers?: object; readonly correlationId?: unknown; readonly messageId?: unknown };
}

export const rabbitmq: RpcTransport = {
  system: 'rabbitmq',
  protocol: 'messaging',
  operation: 'consume',
  takesAnything: true,
  instrumentation: '@opentelemetry/instrumentation-amqplib',
  read(server, registered, [, ctx]) {
    const { fields, properties } = (fromContext(ctx, 'getMessage') ?? currentEnvelope()?.delivery ?? {}) as Delivery;
    const routingKey = textOf(fields?.routingKey);
    return {
      destination: rabbitmqDestination(textOf(fields?.exchange), routingKey, textOf(propertyOf(server, 'queue'))) ?? registered,
      pattern: textFrom(ctx, 'getPattern') ?? registered,
      headers: lowerCased(Object.entries(properties?.headers ?? {})),
      conversationId: textOf(properties?.correlationId),
      messageId: textOf(properties?.messageId),
      attributes: () => rabbitmqAttributes(routingKey, fields?.deliveryTag),
    };
  },
  watch: watchDeliveries,
  serverOf: server => serverAddressOf(propertyOf(server, 'urls'), 5672),
};
