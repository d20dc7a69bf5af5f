/** Describes RabbitMQ messages. Headers are the message's own. The destination is the exchange and routing key, or the queue. */
import {
  rabbitmqAttributes,
  rabbitmqClientId,
  rabbitmqDestination,
  rabbitmqQueue,
  rabbitmqSocket,
  transitAttributes,
} from '../../conventions/messaging.js';
import { memberAt } from '../../conventions/peer.js';
import { serverAddressOf } from '../../conventions/rpc.js';
import { lowerCased } from '../../propagation/message-headers.js';
import { outboundIn, outgoingHeaders, withoutOtherSpans } from '../../spans/outbound.js';
import { type Method, replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { currentEnvelope, watchDeliveries } from './envelope.js';
import {
  type ClientProxy,
  type ClientTransport,
  fromContext,
  OnConnection,
  replaceSending,
  type ServerTransport,
  textFrom,
  textOf,
  type Transport,
} from './transport.js';

const rabbitmq: Transport = {
  system: 'rabbitmq',
  protocol: 'messaging',
  clientIdOf: ({ options }) => rabbitmqClientId(options?.['socketOptions']),
};

interface Delivery {
  readonly fields?: { readonly exchange?: unknown; readonly routingKey?: unknown; readonly deliveryTag?: unknown };
  readonly properties?: { readonly headers?: object; readonly correlationId?: unknown; readonly messageId?: unknown };
}

/** One queue holds messages of many patterns, so `read` sets `pattern`. */
export const rabbitmqServer: ServerTransport = {
  ...rabbitmq,
  operation: 'consume',
  takesAnything: true,
  instrumentation: '@opentelemetry/instrumentation-amqplib',
  read(server, registered, [, ctx]) {
    const { fields, properties } = (fromContext(ctx, 'getMessage') ?? currentEnvelope()?.delivery ?? {}) as Delivery;
    const routingKey = textOf(fields?.routingKey);
    const queue = consumed.get(server) ?? textOf(memberAt(server, 'queue'));
    return {
      destination: rabbitmqDestination(textOf(fields?.exchange), routingKey, queue),
      ...rabbitmqQueue(queue, memberAt(server, 'queueOptions')),
      pattern: textFrom(ctx, 'getPattern') ?? registered,
      headers: lowerCased(Object.entries(properties?.headers ?? {})),
      conversationId: properties?.correlationId,
      messageId: properties?.messageId,
      attributes: () => rabbitmqAttributes(routingKey, fields?.deliveryTag),
    };
  },
  watch: server => undoAll([watchDeliveries(server), noteQueue(server)]),
  serverOf: server => serverAddressOf(memberAt(server, 'urls'), 5672),
  connectionOf: server => rabbitmqSocket(memberAt(server, 'server')),
};

/** The queue of each server. If the options give no name, the broker creates a new name for each connection. */
const consumed = new WeakMap<object, string>();

function noteQueue(server: object): Undo {
  return onChannels(server, channel => {
    replaceMethod(channel, 'consume', consume => {
      return function (queue, ...others) {
        if (typeof queue === 'string') consumed.set(server, queue);
        return consume.call(this, queue, ...others);
      };
    });
  });
}

/** Calls `step` with each channel that a server or client opens, before it uses the channel. */
function onChannels(end: object, step: (channel: object) => void): Undo {
  return replaceMethod(end, 'setupChannel', setupChannel => {
    return function (channel, ...rest) {
      if (typeof channel === 'object' && channel !== null) step(channel);
      return setupChannel.call(this, channel, ...rest);
    };
  });
}

export const rabbitmqClient: ClientTransport = {
  ...rabbitmq,
  members: ['replyQueue', 'mergeHeaders'],
  operation: 'publish',
  serverOf: ({ options }) => serverAddressOf(options?.['urls'] ?? 'localhost', 5672),
  destination(client, pattern) {
    const { exchange, routingKey } = addressOf(client, pattern);
    return rabbitmqDestination(exchange, routingKey);
  },
  queueOf: (client: RabbitmqClient) => (isForQueue(client) ? rabbitmqQueue(client.queue, memberAt(client, 'queueOptions')) : {}),
  attributes: (client, pattern) => rabbitmqAttributes(addressOf(client, pattern).routingKey),
  connectionOf: client => rabbitmqSocket(memberAt(client, 'client')),
  carry: client => undoAll([carryInHeaders(client), noteProperties(client), withoutPublishSpans(client)]),
};

interface RabbitmqClient extends ClientProxy {
  readonly queue?: string;
  /** The channel of amqp-connection-manager. Missing before the first connection. */
  readonly channel?: { addSetup?(setup: Setup): unknown; removeSetup?(setup: Setup): unknown } | null;
}

type Setup = (channel: object) => Promise<void>;

/** Addresses a message as Nest does: to the client's queue, or to an exchange with the pattern as routing key. */
function addressOf(client: RabbitmqClient, pattern: unknown): { exchange?: string; routingKey?: string | undefined } {
  const { options = {}, queue } = client;
  if (isForQueue(client)) return { routingKey: queue };
  const exchange = typeof options['exchange'] === 'string' ? options['exchange'] : (queue ?? '');
  return { exchange, routingKey: typeof pattern === 'string' ? pattern : JSON.stringify(pattern) };
}

function isForQueue({ options = {} }: RabbitmqClient): boolean {
  return !options['wildcards'] && options['exchangeType'] !== 'fanout';
}

/** Notes the ids of a message when the client passes it to the channel. */
function noteProperties(client: RabbitmqClient): Undo {
  const channels = new OnConnection(channel =>
    undoAll([replaceMethod(channel, 'publish', noting(3)), replaceMethod(channel, 'sendToQueue', noting(2))]),
  );
  return undoAll([
    channels.undo,
    replaceSending(client, send => {
      return function (...args) {
        channels.hold(client.channel);
        return send.apply(this, args);
      };
    }),
  ]);
}

/** `position`: the index of the options among the arguments. */
function noting(position: number): (send: Method) => Method {
  return send =>
    function (...args) {
      outboundIn()?.note(() => {
        const options = args[position];
        return transitAttributes({ conversationId: memberAt(options, 'correlationId'), messageId: memberAt(options, 'messageId') });
      });
      return send.apply(this, args);
    };
}

function carryInHeaders(client: ClientProxy): Undo {
  return replaceMethod(client, 'mergeHeaders', mergeHeaders => {
    return function (given) {
      const merged = mergeHeaders.call(this, given) as object | undefined;
      const headers = outgoingHeaders(merged);
      return headers === undefined ? merged : { ...merged, ...headers };
    };
  });
}

/** Suppresses other spans on the channel itself: a message that waits for the channel is sent in another context. */
function withoutPublishSpans(client: RabbitmqClient): Undo {
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
  return undoAll([() => void connected?.removeSetup?.(setup), () => (isOver = true), onChannels(client, silence)]);
}
