/** Messages over RabbitMQ: headers go into those of the message; the exchange and its keys, or the queue, are where it goes. */
import { rabbitmqAttributes, rabbitmqDestination } from '../conventions/messaging.js';
import { serverAddressOf } from '../conventions/rpc.js';
import { replaceMethod, undoAll } from '../local/replace-method.js';
import { type ClientProxy, type ClientTransport, hasMembers } from './client-transport.js';
import { outgoingHeaders } from './departure.js';
import { withoutOtherSpans } from './other-spans.js';

export const rabbitmq: ClientTransport = {
  system: 'rabbitmq',
  protocol: 'messaging',
  operation: 'publish',
  serverOf: ({ options }) => serverAddressOf(options?.['urls'] ?? 'localhost', 5672),
  destination(client, pattern) {
    const { exchange, routingKey } = addressOf(client, pattern);
    return rabbitmqDestination(exchange, routingKey);
  },
  attributes: (client, pattern) => rabbitmqAttributes(addressOf(client, pattern).routingKey),
  carry: client => undoAll([carryInHeaders(client), withoutPublishSpans(client)]),
};

export function isRabbitmq(client: object): boolean {
  return hasMembers(client, 'replyQueue', 'mergeHeaders');
}

interface RabbitmqClient extends ClientProxy {
  readonly queue?: string;
  /** Of amqp-connection-manager; once there is a connection. */
  readonly channel?: { addSetup?(setup: Setup): unknown; removeSetup?(setup: Setup): unknown } | null;
}

type Setup = (channel: object) => Promise<void>;

/** As Nest addresses messages: to its queue, or to an exchange by the pattern. */
function addressOf(client: RabbitmqClient, pattern: unknown): { exchange?: string; routingKey?: string | undefined } {
  const { options = {}, queue } = client;
  if (!options['wildcards'] && options['exchangeType'] !== 'fanout') return { routingKey: queue };
  const exchange = typeof options['exchange'] === 'string' ? options['exchange'] : (queue ?? '');
  return { exchange, routingKey: typeof pattern === 'string' ? pattern : JSON.stringify(pattern) };
}

function carryInHeaders(client: ClientProxy): () => void {
  return replaceMethod(client, 'mergeHeaders', mergeHeaders => {
    return function (given) {
      const merged = mergeHeaders.call(this, given) as object | undefined;
      const headers = outgoingHeaders(merged);
      return headers === undefined ? merged : { ...merged, ...headers };
    };
  });
}

/** Messages wait for the channel, and leave in whatever context it is ready in: what may happen below is settled on the channel itself. */
function withoutPublishSpans(client: RabbitmqClient): () => void {
  let isOver = false;
  const silence = (channel: object): void => {
    replaceMethod(channel, 'publish', publish => {
      return function (...args) {
        return isOver ? publish.apply(this, args) : withoutOtherSpans(() => publish.apply(this, args));
      };
    });
  };
  const setup: Setup = channel => {
    silence(channel);
    return Promise.resolve();
  };
  const { channel: connected } = client;
  void connected?.addSetup?.(setup);
  return undoAll([
    () => void connected?.removeSetup?.(setup),
    () => (isOver = true),
    replaceMethod(client, 'setupChannel', setupChannel => {
      return function (channel, ...rest) {
        if (typeof channel === 'object' && channel !== null) silence(channel);
        return setupChannel.call(this, channel, ...rest);
      };
    }),
  ]);
}
