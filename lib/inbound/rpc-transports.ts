/** Which of Nest's transports a server speaks: each says how it hands a call or message to its handlers, and where the sender's headers are. */
import { serverAddress } from '../conventions/rpc.js';
import type { InboundRequest } from '../tracing.options.js';
import { fromContext } from './rpc-context.js';
import { envelopeIn, watchEnvelopes } from './rpc-envelope.js';
import { kafka } from './rpc-kafka.js';
import { mqtt } from './rpc-mqtt.js';
import { nats } from './rpc-nats.js';
import { rabbitmq } from './rpc-rabbitmq.js';
import { redis } from './rpc-redis.js';
import type { RpcServer, RpcTransport } from './rpc-transport.js';

/** Transport of a server: Nest's own by their number, all others in the way that Nest prescribes for custom strategies. */
export function transportOf(server: RpcServer): RpcTransport {
  return transports.get(server.transportId) ?? custom;
}

const tcp: RpcTransport = {
  system: 'nestjs.tcp',
  protocol: 'rpc',
  operation: 'call',
  takesAnything: true,
  read: (_server, registered) => ({ destination: registered, headers: envelopeIn() }),
  serverOf: server => serverAddress(Reflect.get(server, 'host'), Reflect.get(server, 'port')),
  watch: watchEnvelopes,
};

/** Strategies of the user's: Nest's base class gives them `metadata` in the same envelope. */
const custom: RpcTransport = {
  system: 'nestjs.custom',
  protocol: 'rpc',
  operation: 'call',
  read: (_server, registered, [, ctx]) => ({ destination: registered, headers: metadataOf(ctx) ?? envelopeIn() }),
  watch: watchEnvelopes,
};

/** By the numbers of Nest's enumeration `Transport`. */
const transports = new Map<unknown, RpcTransport>([
  [0, tcp],
  [1, redis],
  [2, nats],
  [3, mqtt],
  [5, rabbitmq],
  [6, kafka],
]);

function metadataOf(ctx: unknown): InboundRequest['headers'] | undefined {
  const metadata = fromContext(ctx, 'getMetadata');
  return typeof metadata === 'object' && metadata !== null ? (metadata as InboundRequest['headers']) : undefined;
}
