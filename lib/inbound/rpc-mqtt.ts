/** Messages over MQTT: the sender's headers are user properties in MQTT 5, and the `metadata` of the envelope before that. */
import { serverAddressOf } from '../conventions/rpc.js';
import { fromContext, lowerCased, propertyOf, textFrom, textOf } from './rpc-context.js';
import { envelopeIn, watchEnvelopes } from './rpc-envelope.js';
import type { RpcTransport } from './rpc-transport.js';

export const mqtt: RpcTransport = {
  system: 'mqtt',
  protocol: 'messaging',
  operation: 'process',
  read(server, registered, [, ctx]) {
    const userProperties = propertyOf(propertyOf(fromContext(ctx, 'getPacket'), 'properties'), 'userProperties');
    // `$share/<group>/<topic>` is how a group subscribes to a topic.
    const [, group, topic] = /^\$share\/([^/]+)\/(.+)$/s.exec(registered) ?? [];
    return {
      destination: textFrom(ctx, 'getTopic') ?? registered,
      template: topic,
      headers: { ...envelopeIn(), ...lowerCased(Object.entries(userProperties ?? {})) },
      consumerGroup: group,
      clientId: textOf(propertyOf(propertyOf(propertyOf(server, 'mqttClient'), 'options'), 'clientId')),
    };
  },
  serverOf: server => serverAddressOf(propertyOf(server, 'url'), 1883),
  watch: watchEnvelopes,
};
