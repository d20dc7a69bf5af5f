/** Messages over NATS: the sender's headers are those of the message. */
import { serverAddressOf } from '../conventions/rpc.js';
import type { InboundRequest } from '../tracing.options.js';
import { fromContext, lowerCased, propertyOf, textFrom, textOf } from './rpc-context.js';
import type { RpcServer, RpcTransport } from './rpc-transport.js';

export const nats: RpcTransport = {
  system: 'nats',
  protocol: 'messaging',
  operation: 'process',
  read(server, registered, [, ctx]) {
    const headers = headersIn(fromContext(ctx, 'getHeaders'));
    return {
      destination: textFrom(ctx, 'getSubject') ?? registered,
      headers,
      messageId: textOf(headers['nats-msg-id']),
      consumerGroup: queueGroup(server, registered),
    };
  },
  serverOf: server => serverAddressOf(currentServer(server) ?? server.options?.['servers'] ?? 'localhost', 4222),
};

const NOTHING: InboundRequest['headers'] = {};

/** `MsgHdrs` of `nats` and of `@nats-io/transport-node`: pairs of a name and its values. */
function headersIn(headers: unknown): InboundRequest['headers'] {
  if (typeof headers !== 'object' || headers === null || !(Symbol.iterator in headers)) return NOTHING;
  const entries = [...(headers as Iterable<[string, string[]]>)];
  return lowerCased(entries.map(([name, values]) => [name, values.length === 1 ? values[0] : values]));
}

/** That of the handler, else that of the server. */
function queueGroup(server: RpcServer, registered: string): string | undefined {
  const extras = (server.getHandlers().get(registered) as { extras?: unknown } | undefined)?.extras;
  return textOf(propertyOf(extras, 'queue') ?? server.options?.['queue']);
}

/** Of several servers, the one that the connection has. */
function currentServer(server: RpcServer): string | undefined {
  return textFrom(Reflect.get(server, 'natsClient'), 'getServer');
}
