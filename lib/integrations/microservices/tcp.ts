/** Describes calls over TCP and over the user's custom transports. Headers are the `metadata` of Nest's envelope. */
import { memberAt } from '../../conventions/peer.js';
import { serverAddress } from '../../conventions/rpc.js';
import type { InboundRequest } from '../../options/tracing-options.js';
import { carryInEnvelope, currentEnvelope, envelopeIn, watchEnvelopes } from './envelope.js';
import { type ClientTransport, fromContext, type ServerTransport, type Transport } from './transport.js';

const tcp: Transport & { readonly operation: string } = {
  system: 'nestjs.tcp',
  protocol: 'rpc',
  operation: 'call',
  serverOf: end => serverAddress(memberAt(end, 'host'), memberAt(end, 'port')),
};

export const tcpServer: ServerTransport = {
  ...tcp,
  takesAnything: true,
  read: (_server, registered) => ({ destination: registered, headers: envelopeIn(), caller: callersSocket() }),
  connectionOf: callersSocket,
  watch: watchEnvelopes,
};

export const tcpClient: ClientTransport = {
  ...tcp,
  members: ['socketClass', 'host', 'port'],
  connectionOf: client => memberAt(client, 'socket', 'netSocket'),
  carry: carryInEnvelope,
};

function callersSocket(): { readonly destroyed?: unknown } | undefined {
  return memberAt(currentEnvelope()?.source, 'netSocket') as { readonly destroyed?: unknown } | undefined;
}

const custom = { system: 'nestjs.custom', protocol: 'rpc', operation: 'call' } as const;

/** Nest's base class reads `metadata` for custom strategies from the same envelope. */
export const customServer: ServerTransport = {
  ...custom,
  read(_server, registered, [, ctx]) {
    const metadata = fromContext(ctx, 'getMetadata');
    const isThere = typeof metadata === 'object' && metadata !== null;
    return { destination: registered, headers: isThere ? (metadata as InboundRequest['headers']) : envelopeIn() };
  },
  watch: watchEnvelopes,
};

/** Custom clients get `metadata` in their packet, as from Nest's own dispatch hook. */
export const customClient: ClientTransport = { ...custom, members: [], carry: carryInEnvelope };
