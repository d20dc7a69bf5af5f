/** Describes Kafka messages. Headers are those of the record. They are written when the client passes records to its producer. */
import { type Attributes, context, createContextKey } from '@opentelemetry/api';
import { memberAt } from '../../conventions/peer.js';
import { soleServerAddress } from '../../conventions/rpc.js';
import { messages } from '../../options/messages.js';
import type { InboundRequest } from '../../options/tracing-options.js';
import { reportTrouble } from '../../options/trouble.js';
import { messageHeaderGetter } from '../../propagation/message-headers.js';
import { outboundIn, type OutboundWork, outgoingHeaders, withoutOtherSpans } from '../../spans/outbound.js';
import { type Method, replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { kafkaAttributes } from './attributes.js';
import { type ClientTransport, fromContext, OnConnection, type ServerTransport, textFrom, textOf, type Transport } from './transport.js';

const kafka: Transport = {
  system: 'kafka',
  protocol: 'messaging',
  serverOf: end => soleServerAddress(memberAt(end, 'brokers')),
};

const CORRELATION_ID = 'kafka_correlationId';

/** A record as it is sent, or as a handler receives it (Nest has then converted its bytes to strings). */
interface KafkaRecord {
  readonly key?: unknown;
  readonly value?: unknown;
  readonly partition?: unknown;
  readonly offset?: unknown;
  readonly headers?: object | null;
}

export const kafkaServer: ServerTransport = {
  ...kafka,
  operation: 'process',
  instrumentation: '@opentelemetry/instrumentation-kafkajs',
  read(server, registered, [, ctx]) {
    const { key, value, offset, headers } = (fromContext(ctx, 'getMessage') ?? {}) as KafkaRecord;
    return {
      destination: textFrom(ctx, 'getTopic') ?? registered,
      headers: (headers ?? {}) as InboundRequest['headers'],
      conversationId: textOf(messageHeaderGetter.get(headers, CORRELATION_ID)),
      attributes: () =>
        kafkaAttributes({
          key,
          value,
          offset,
          partition: fromContext(ctx, 'getPartition'),
          consumerGroup: memberAt(server, 'groupId'),
          clientId: memberAt(server, 'clientId'),
          clusterId: clusterIdOf(server),
        }),
    };
  },
  watch: watchClusters,
};

export const kafkaClient: ClientTransport = {
  ...kafka,
  members: ['subscribeToResponseOf', 'emitBatch', 'commitOffsets'],
  operation: 'send',
  hot: ['emit', 'emitBatch'],
  attributes: client => kafkaAttributes({ clientId: memberAt(client, 'clientId'), clusterId: clusterIdOf(client) }),
  carry,
};

/** The client method that is sending. If there is none, the application uses the producer directly: that is not traced. */
const SENDING = createContextKey('nestjs-tracing/kafka-client-sends');
const BATCH = 'dispatchBatchEvent';

function carry(client: object): Undo {
  const producers = new OnConnection(producer => replaceMethod(producer, 'send', send => sendWithHeaders(send, client)));
  return undoAll([
    producers.undo,
    watchClusters(client),
    ...['publish', 'dispatchEvent', BATCH].map(name =>
      replaceMethod(client, name, send => {
        return function (...args) {
          return context.with(context.active().setValue(SENDING, name), () => send.apply(this, args));
        };
      }),
    ),
    replaceMethod(client, 'connect', connect => {
      return function (...args) {
        const connected = connect.apply(this, args);
        if (!(connected instanceof Promise)) return connected;
        return connected.then((result: unknown) => {
          producers.hold(memberAt(client, '_producer'));
          return result;
        });
      };
    }),
  ]);
}

interface Sending {
  readonly messages?: unknown;
}

/** Adds headers to copies of the messages. The (perhaps custom) serializer has run by now, and its result must not change. */
function sendWithHeaders(send: Method, client: object): Method {
  return function (given, ...rest) {
    const method = context.active().getValue(SENDING);
    if (method === undefined) return send.call(this, given, ...rest);
    const work = outboundIn();
    let stamped = given as Sending;
    try {
      stamped = withHeaders(stamped);
    } catch (error) {
      reportTrouble('outbound', messages.outboundNotTraced(), error);
    }
    work?.note(() => attributesOf(stamped, method === BATCH));
    // OpenTelemetry's instrumentation of kafkajs would open a second span and overwrite our headers.
    const sent = withoutOtherSpans(() => send.call(this, stamped, ...rest));
    if (work?.span.isRecording()) noteWhere(work, sent, client, method !== BATCH);
    return sent;
  };
}

function withHeaders(sending: Sending): Sending {
  if (!Array.isArray(sending.messages)) return sending;
  // All messages without headers share these; null: not read yet.
  let forBare: ReturnType<typeof outgoingHeaders> | null = null;
  const stamped = (sending.messages as unknown[]).map(message => {
    if (typeof message !== 'object' || message === null) return message;
    const existing = (message as KafkaRecord).headers ?? {};
    const isBare = Object.keys(existing).length === 0;
    if (isBare && forBare === null) forBare = outgoingHeaders();
    // A copy, because the application may send its object again. Our old headers would then look like foreign ones.
    const headers = isBare ? forBare : outgoingHeaders(existing);
    return headers == null ? message : { ...message, headers: { ...existing, ...headers } };
  });
  return { ...sending, messages: stamped };
}

function attributesOf({ messages: sent }: Sending, isBatch: boolean): Attributes {
  if (!Array.isArray(sent)) return {};
  if (isBatch) return kafkaAttributes({ batchSize: sent.length });
  const { key, value, partition, headers } = (sent[0] ?? {}) as KafkaRecord;
  return kafkaAttributes({ key, value, partition, conversationId: memberAt(headers, CORRELATION_ID) });
}

/** Notes partition and offset from the broker's acknowledgement, if it sends one. The cluster is known by then, too. */
function noteWhere(work: OutboundWork, sent: unknown, client: object, isSingle: boolean): void {
  if (!(sent instanceof Promise)) return;
  sent.then(
    (results: unknown) => {
      work.note(() => {
        const [result] = isSingle && Array.isArray(results) ? (results as { partition?: unknown; baseOffset?: unknown }[]) : [];
        return kafkaAttributes({ partition: result?.partition, offset: result?.baseOffset, clusterId: clusterIdOf(client) });
      });
    },
    () => undefined,
  );
}

/** The clusters of each server or client. kafkajs keeps them private, so {@link watchClusters} collects them. */
const clusters = new WeakMap<object, object[]>();

/** Returns the id of the cluster. Returns undefined until a broker has sent it. */
function clusterIdOf(end: object): unknown {
  const metadata = clusters.get(end)?.map(cluster => memberAt(cluster, 'brokerPool', 'metadata'));
  return memberAt(metadata?.find(Boolean), 'clusterId');
}

/** Notes the clusters that a server or client creates. Returns the undo function. */
function watchClusters(end: object): Undo {
  return replaceMethod(end, 'createClient', createClient => {
    const note = (client: unknown): unknown => {
      if (typeof client === 'object' && client !== null) clusters.set(end, clustersOf(client));
      return client;
    };
    return function (...args) {
      const client = createClient.apply(this, args);
      return client instanceof Promise ? client.then(note) : note(client);
    };
  });
}

/** Returns a list that grows: each producer and consumer creates its own cluster, by a method whose name is a symbol. */
function clustersOf(client: object): object[] {
  const noted: object[] = [];
  for (const symbol of Object.getOwnPropertySymbols(client)) {
    const create: unknown = Reflect.get(client, symbol);
    if (symbol.description !== 'private:Kafka:createCluster' || typeof create !== 'function') continue;
    Reflect.set(client, symbol, (...args: unknown[]): unknown => {
      const cluster: unknown = Reflect.apply(create, client, args);
      if (typeof cluster === 'object' && cluster !== null) noted.push(cluster);
      return cluster;
    });
  }
  return noted;
}
