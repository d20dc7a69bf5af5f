/** How Nest's client for Kafka sends: where it hands records to its producer, they are given their headers, and the span what is known by then. */
import { type Attributes, context, createContextKey, type Span } from '@opentelemetry/api';
import { kafkaAttributes } from '../conventions/kafka.js';
import { type ServerAddress, soleServerAddress } from '../conventions/rpc.js';
import { type Method, replaceMethod, undoAll } from '../local/replace-method.js';
import { reportTrouble } from '../local/trouble.js';
import { suppressed } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import { hasMembers } from './client-transport.js';
import { departingSpan, isDecided, outgoingHeaders } from './departure.js';

/** Nest's client for Kafka. */
export const isKafka = (client: object): boolean => hasMembers(client, 'subscribeToResponseOf', 'emitBatch', 'commitOffsets');

/** Entry of the table of transports. */
export const kafka = {
  system: 'kafka',
  protocol: 'messaging',
  operation: 'send',
  hot: ['emit', 'emitBatch'],
  serverOf: (client: object): ServerAddress | undefined => soleServerAddress(Reflect.get(client, 'brokers')),
  attributes: (client: object): Attributes => kafkaAttributes({ clientId: Reflect.get(client, 'clientId') }),
  carry,
} as const;

interface Sending {
  readonly messages?: unknown;
}

interface Message {
  readonly key?: unknown;
  readonly value?: unknown;
  readonly partition?: unknown;
  readonly headers?: object | null;
}

/** Which method of the client is sending. What the application sends by the producer itself is its own affair. */
const SENDING = createContextKey('nestjs-tracing/kafka-client-sends');
const BATCH = 'dispatchBatchEvent';

function carry(client: object): () => void {
  let producer: unknown;
  let release: () => void = () => undefined;
  // A client that was closed and connects again has another producer.
  const hold = (current: unknown): void => {
    if (current === producer || typeof current !== 'object' || current === null) return;
    release();
    producer = current;
    release = replaceMethod(current, 'send', sendWithHeaders);
  };
  return undoAll([
    () => release(),
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
          hold(Reflect.get(client, '_producer'));
          return result;
        });
      };
    }),
  ]);
}

/** After the serializer, whatever and however slow it is: what it made is only copied, never changed. */
function sendWithHeaders(send: Method): Method {
  return function (record, ...rest) {
    const ctx = context.active();
    const method = ctx.getValue(SENDING);
    if (method === undefined) return send.call(this, record, ...rest);
    const span = departingSpan();
    let stamped = record;
    try {
      stamped = withHeaders(record as Sending);
      if (span?.isRecording()) span.setAttributes(attributesOf(stamped as Sending, method === BATCH));
    } catch (error) {
      reportTrouble('outbound.message', messages.messageNotSentTraced(), error);
    }
    // OpenTelemetry's own instrumentation of kafkajs would make a second span, and put its headers over ours.
    const sent = isDecided() ? context.with(suppressed(ctx), () => send.call(this, stamped, ...rest)) : send.call(this, stamped, ...rest);
    if (span?.isRecording() && method !== BATCH) noteWhere(span, sent);
    return sent;
  };
}

function withHeaders(record: Sending): Sending {
  if (!Array.isArray(record.messages)) return record;
  // The same for all messages that have no headers yet.
  let forBare: ReturnType<typeof outgoingHeaders> | null = null;
  const stamped = (record.messages as unknown[]).map(message => {
    if (typeof message !== 'object' || message === null) return message;
    const existing = (message as Message).headers ?? {};
    const isBare = Object.keys(existing).length === 0;
    if (isBare && forBare === null) forBare = outgoingHeaders();
    // A copy: the application may send its object again, where our headers would look like somebody else's.
    const headers = isBare ? forBare : outgoingHeaders(existing);
    return headers == null ? message : { ...message, headers: { ...existing, ...headers } };
  });
  return { ...record, messages: stamped };
}

function attributesOf({ messages: sent }: Sending, isBatch: boolean): Attributes {
  if (!Array.isArray(sent)) return {};
  if (isBatch) return kafkaAttributes({ batchSize: sent.length });
  const { key, value, partition, headers } = (sent[0] ?? {}) as Message;
  const conversationId: unknown = headers == null ? undefined : Reflect.get(headers, 'kafka_correlationId');
  return kafkaAttributes({ key, value, partition, conversationId });
}

/** The broker says where it has put the message, unless it is not asked to acknowledge. */
function noteWhere(span: Span, sent: unknown): void {
  if (!(sent instanceof Promise)) return;
  sent.then(
    (results: unknown) => {
      const [result] = Array.isArray(results) ? (results as { partition?: unknown; baseOffset?: unknown }[]) : [];
      if (result !== undefined && span.isRecording()) {
        span.setAttributes(kafkaAttributes({ partition: result.partition, offset: result.baseOffset }));
      }
    },
    () => undefined,
  );
}
