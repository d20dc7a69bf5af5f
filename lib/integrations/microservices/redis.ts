/** Describes Redis messages. Headers are the `metadata` of Nest's envelope. */
import { memberAt } from '../../conventions/peer.js';
import { serverAddress } from '../../conventions/rpc.js';
import { withoutOtherSpans } from '../../spans/outbound.js';
import { undoAll } from '../../wrapping/replace-method.js';
import { carryInEnvelope, envelopeIn, requestIdIn, watchEnvelopes } from './envelope.js';
import { type ClientTransport, replaceSending, type ServerTransport, textFrom, type Transport } from './transport.js';

const redis: Transport = {
  system: 'redis',
  protocol: 'messaging',
  serverOf: ({ options }) => serverAddress(options?.['host'] ?? 'localhost', options?.['port'] ?? 6379),
  clientIdOf: ({ options }) => options?.['connectionName'],
};

export const redisServer: ServerTransport = {
  ...redis,
  operation: 'process',
  read: (_server, registered, [, ctx]) => ({
    destination: textFrom(ctx, 'getChannel') ?? registered,
    headers: envelopeIn(),
    conversationId: requestIdIn(),
  }),
  connectionOf: server => memberAt(server, 'subClient', 'stream'),
  watch: watchEnvelopes,
};

export const redisClient: ClientTransport = {
  ...redis,
  members: ['createRetryStrategy', 'subscriptionsCount'],
  operation: 'publish',
  connectionOf: client => memberAt(client, 'pubClient', 'stream'),
  idsOf: ({ id }) => ({ conversationId: id }),
  carry: client => undoAll([withoutCommands(client), carryInEnvelope(client)]),
};

/** Suppresses spans of a message's Redis commands: `PUBLISH`, and `SUBSCRIBE` and `UNSUBSCRIBE` for the answer. */
const withoutCommands: ClientTransport['carry'] = client =>
  replaceSending(client, send => {
    return function (...args) {
      const result = withoutOtherSpans(() => send.apply(this, args));
      return typeof result === 'function' ? () => withoutOtherSpans(() => (result as () => unknown)()) : result;
    };
  });
