/** Messages over NATS: headers go into those of the message, which are the user's own object where he gave one. */
import { serverAddressOf } from '../conventions/rpc.js';
import { replaceMethod } from '../local/replace-method.js';
import { reportTrouble } from '../local/trouble.js';
import { messages } from '../tracing.messages.js';
import { type ClientProxy, type ClientTransport, hasMembers } from './client-transport.js';
import { outgoingHeaders } from './departure.js';

export const nats: ClientTransport = {
  system: 'nats',
  protocol: 'messaging',
  operation: 'publish',
  serverOf: client => serverAddressOf(currentServer(client) ?? client.options?.['servers'] ?? 'localhost', 4222),
  carry: carryInHeaders,
};

export function isNats(client: object): boolean {
  return hasMembers(client, 'natsClient', 'mergeHeaders');
}

/** Headers of `nats` and of `@nats-io/transport-node`, as far as they matter here. */
interface MsgHdrs extends Iterable<[string, string[]]> {
  append(name: string, value: string): void;
}

function carryInHeaders(client: ClientProxy): () => void {
  return replaceMethod(client, 'mergeHeaders', mergeHeaders => {
    return function (given) {
      const merged = mergeHeaders.call(this, given);
      try {
        return withOurs(merged);
      } catch (error) {
        reportTrouble('outbound.message', messages.messageNotSentTraced(), error);
        return merged;
      }
    };

    function withOurs(merged: unknown): unknown {
      if (merged !== undefined && !isMsgHdrs(merged)) return merged;
      const existing = [...(merged ?? [])].map(([name, values]) => [name, [...values]] as const);
      const headers = outgoingHeaders(Object.fromEntries(existing.map(([name, [value = '']]) => [name, value])));
      if (headers === undefined) return merged;
      // Whoever makes headers out of the client's options makes ours; a user's object may serve for many messages and stays as it is.
      const options = { ...client.options, headers };
      const sent = mergeHeaders.call(Object.create(client, { options: { value: options } }), undefined);
      if (!isMsgHdrs(sent) || sent === merged) return merged;
      const ours = new Set(Object.keys(headers));
      for (const [name, values] of existing) {
        if (!ours.has(name.toLowerCase())) for (const value of values) sent.append(name, value);
      }
      return sent;
    }
  });
}

function isMsgHdrs(headers: unknown): headers is MsgHdrs {
  return typeof headers === 'object' && headers !== null && Symbol.iterator in headers && 'append' in headers;
}

/** Of several servers, the one that the connection has. */
function currentServer(client: ClientProxy): string | undefined {
  const connection = Reflect.get(client, 'natsClient') as { getServer?: () => string } | null;
  return connection?.getServer?.();
}
