/** Messages over Redis: the sender's headers are the `metadata` of the envelope. */
import { serverAddress } from '../conventions/rpc.js';
import { textFrom } from './rpc-context.js';
import { envelopeIn, watchEnvelopes } from './rpc-envelope.js';
import type { RpcTransport } from './rpc-transport.js';

export const redis: RpcTransport = {
  system: 'redis',
  protocol: 'messaging',
  operation: 'process',
  read: (_server, registered, [, ctx]) => ({ destination: textFrom(ctx, 'getChannel') ?? registered, headers: envelopeIn() }),
  serverOf: ({ options }) => serverAddress(options?.['host'] ?? 'localhost', options?.['port'] ?? 6379),
  watch: watchEnvelopes,
};
