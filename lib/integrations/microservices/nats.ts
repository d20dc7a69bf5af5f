/** Describes NATS messages. Headers are the message's own headers; the user may have created that object. */
import { memberAt } from '../../conventions/peer.js';
import { serverAddressOf } from '../../conventions/rpc.js';
import { messages } from '../../options/messages.js';
import type { InboundRequest } from '../../options/tracing-options.js';
import { reportTrouble } from '../../options/trouble.js';
import { lowerCased } from '../../propagation/message-headers.js';
import { outgoingHeaders } from '../../spans/outbound.js';
import { replaceMethod, type Undo } from '../../wrapping/replace-method.js';
import { requestIdIn, watchRequests } from './envelope.js';
import {
  type ClientProxy,
  type ClientTransport,
  fromContext,
  type RpcServer,
  type ServerTransport,
  textFrom,
  textOf,
  type Transport,
} from './transport.js';

const nats: Transport = {
  system: 'nats',
  protocol: 'messaging',
  // If the options name several servers, the connection knows the one in use.
  serverOf: end => serverAddressOf(textFrom(memberAt(end, 'natsClient'), 'getServer') ?? end.options?.['servers'] ?? 'localhost', 4222),
  connectionOf: end => memberAt(end, 'natsClient', 'protocol', 'transport', 'socket'),
  clientIdOf(end) {
    // The connection's name from the options, else its number on the server.
    const id = end.options?.['name'] ?? memberAt(end, 'natsClient', 'info', 'client_id');
    return typeof id === 'number' ? String(id) : id;
  },
};

export const natsServer: ServerTransport = {
  ...nats,
  operation: 'process',
  read(server, registered, [, ctx]) {
    const headers = headersIn(fromContext(ctx, 'getHeaders'));
    const requestId = requestIdIn();
    return {
      destination: textFrom(ctx, 'getSubject') ?? registered,
      headers,
      messageId: headers['nats-msg-id'] ?? requestId,
      conversationId: requestId,
      consumerGroup: queueGroup(server, registered),
    };
  },
  watch: watchRequests,
};

export const natsClient: ClientTransport = {
  ...nats,
  members: ['natsClient', 'mergeHeaders'],
  operation: 'publish',
  idsOf: ({ id, data }) => ({ conversationId: id, messageId: givenId(data) ?? id }),
  carry: carryInHeaders,
};

const NOTHING: InboundRequest['headers'] = {};

/** Headers of `nats` and `@nats-io/transport-node`: pairs of a name and its values. */
interface MsgHdrs extends Iterable<[string, string[]]> {
  append(name: string, value: string): void;
}

function headersIn(headers: unknown): InboundRequest['headers'] {
  if (typeof headers !== 'object' || headers === null || !(Symbol.iterator in headers)) return NOTHING;
  const entries = [...(headers as Iterable<[string, string[]]>)];
  return lowerCased(entries.map(([name, values]) => [name, values.length === 1 ? values[0] : values]));
}

/** Returns the queue group of the handler, or else that of the server. */
function queueGroup(server: RpcServer, registered: string): string | undefined {
  const extras = (server.getHandlers().get(registered) as { extras?: unknown } | undefined)?.extras;
  return textOf(memberAt(extras, 'queue') ?? server.options?.['queue']);
}

/** Returns the message id that the user has set in the headers of a record. */
function givenId(record: unknown): string | undefined {
  const headers = memberAt(record, 'headers');
  const get = memberAt(headers, 'get');
  return typeof get === 'function' ? (get as (name: string) => string).call(headers, 'Nats-Msg-Id') || undefined : undefined;
}

function carryInHeaders(client: ClientProxy): Undo {
  return replaceMethod(client, 'mergeHeaders', mergeHeaders => {
    return function (given) {
      const merged = mergeHeaders.call(this, given);
      try {
        return withOurs(merged);
      } catch (error) {
        reportTrouble('outbound', messages.outboundNotTraced(), error);
        return merged;
      }
    };

    function withOurs(merged: unknown): unknown {
      if (merged !== undefined && !isMsgHdrs(merged)) return merged;
      const existing = [...(merged ?? [])].map(([name, values]) => [name, [...values]] as const);
      const headers = outgoingHeaders(Object.fromEntries(existing.map(([name, [value = '']]) => [name, value])));
      if (headers === undefined) return merged;
      // Makes Nest create a new headers object from ours, passed as options. The user's object stays unchanged: it may be reused.
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
