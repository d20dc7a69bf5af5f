/** Describes MQTT messages. MQTT 5 carries headers in user properties; older versions carry them as `metadata` in Nest's envelope. */
import { context } from '@opentelemetry/api';
import { memberAt } from '../../conventions/peer.js';
import { serverAddressOf } from '../../conventions/rpc.js';
import { lowerCased } from '../../propagation/message-headers.js';
import { outgoingHeaders } from '../../spans/outbound.js';
import { replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { envelopeIn, requestIdIn, stamped, watchEnvelopes } from './envelope.js';
import {
  type ClientProxy,
  type ClientTransport,
  fromContext,
  OnConnection,
  replaceSending,
  type ServerTransport,
  textFrom,
  type Transport,
} from './transport.js';

const mqtt: Transport = {
  system: 'mqtt',
  protocol: 'messaging',
  serverOf: end => serverAddressOf(memberAt(end, 'url'), 1883),
  connectionOf: end => memberAt(end, 'mqttClient', 'stream'),
  clientIdOf: end => memberAt(end, 'mqttClient', 'options', 'clientId'),
};

export const mqttServer: ServerTransport = {
  ...mqtt,
  operation: 'process',
  read(_server, registered, [, ctx]) {
    const userProperties = memberAt(fromContext(ctx, 'getPacket'), 'properties', 'userProperties');
    // `$share/<group>/<topic>` is a shared subscription of a group.
    const [, group, topic] = /^\$share\/([^/]+)\/(.+)$/s.exec(registered) ?? [];
    return {
      destination: textFrom(ctx, 'getTopic') ?? registered,
      template: topic,
      headers: { ...envelopeIn(), ...lowerCased(Object.entries(userProperties ?? {})) },
      consumerGroup: group,
      conversationId: requestIdIn(),
    };
  },
  watch: watchEnvelopes,
};

export const mqttClient: ClientTransport = {
  ...mqtt,
  members: ['mqttClient', 'mergePacketOptions'],
  operation: 'publish',
  idsOf: ({ id }) => ({ conversationId: id }),
  carry: client => undoAll([carryInUserProperties(client), carryOrBind(client)]),
};

function hasUserProperties(client: ClientProxy): boolean {
  const options = memberAt(client, 'mqttClient', 'options') ?? client.options;
  return memberAt(options, 'protocolVersion') === 5;
}

interface PacketOptions {
  readonly properties?: { readonly userProperties?: object };
}

function carryInUserProperties(client: ClientProxy): Undo {
  return replaceMethod(client, 'mergePacketOptions', mergePacketOptions => {
    return function (given) {
      const merged = mergePacketOptions.call(this, given) as PacketOptions | undefined;
      if (!hasUserProperties(client)) return merged;
      const existing = merged?.properties?.userProperties;
      const headers = outgoingHeaders(existing);
      if (headers === undefined) return merged;
      return { ...merged, properties: { ...merged?.properties, userProperties: { ...existing, ...headers } } };
    };
  });
}

function carryOrBind(client: ClientProxy): Undo {
  const bound = new OnConnection(bindSubscribing);
  return undoAll([
    bound.undo,
    replaceSending(client, send => {
      return function (packet, ...rest) {
        if (!hasUserProperties(client)) return send.call(this, stamped(packet), ...rest);
        bound.hold(memberAt(client, 'mqttClient'));
        return send.call(this, packet, ...rest);
      };
    }),
  ]);
}

/** Binds the callbacks of `subscribe` to the active context: Nest publishes a request after the broker confirms this subscription. */
function bindSubscribing(connection: object): Undo {
  return replaceMethod(connection, 'subscribe', subscribe => {
    return function (...args) {
      const ctx = context.active();
      const bound = args.map(arg => (typeof arg === 'function' ? context.bind(ctx, arg) : arg));
      return subscribe.apply(this, bound);
    };
  });
}
