/** How Kafka hands a message to its handlers: the sender's headers are those of the record, which Nest's parser made text of. */
import type { Attributes } from '@opentelemetry/api';
import { kafkaAttributes } from '../conventions/kafka.js';
import { type ServerAddress, soleServerAddress } from '../conventions/rpc.js';
import { messageHeaderGetter } from '../propagation/message-headers.js';
import type { InboundRequest } from '../tracing.options.js';

/** Nest's `KafkaContext`, whichever copy of the package it is of. */
interface KafkaContext {
  getTopic?(): unknown;
  getPartition?(): unknown;
  getMessage?(): unknown;
}

interface KafkaRecord {
  readonly key?: unknown;
  readonly value?: unknown;
  readonly offset?: unknown;
  readonly headers?: unknown;
}

const CORRELATION_ID = 'kafka_correlationId';

/** Entry of the table of transports. */
export const kafka = {
  system: 'kafka',
  protocol: 'messaging',
  operation: 'process',
  instrumentation: '@opentelemetry/instrumentation-kafkajs',
  read(server: object, registered: string, [, ctx]: readonly unknown[]) {
    const context = (ctx ?? {}) as KafkaContext;
    const topic = context.getTopic?.();
    const record = (context.getMessage?.() ?? {}) as KafkaRecord;
    const conversationId = messageHeaderGetter.get(record.headers, CORRELATION_ID);
    return {
      destination: typeof topic === 'string' ? topic : registered,
      headers: (record.headers ?? {}) as InboundRequest['headers'],
      conversationId: typeof conversationId === 'string' ? conversationId : undefined,
      attributes: (): Attributes =>
        kafkaAttributes({
          key: record.key,
          value: record.value,
          offset: record.offset,
          partition: context.getPartition?.(),
          consumerGroup: Reflect.get(server, 'groupId'),
          clientId: Reflect.get(server, 'clientId'),
        }),
    };
  },
  serverOf: (server: object): ServerAddress | undefined => soleServerAddress(Reflect.get(server, 'brokers')),
} as const;
