/** Attributes that only spans of Kafka messages have, on both sides (semantic conventions for Kafka, in development). */
import type { Attributes } from '@opentelemetry/api';

/** The known facts of a message or a batch. Values of unexpected types are ignored. */
export interface KafkaMessage {
  readonly key?: unknown;
  /** `null` is a tombstone: the message deletes the value of its key. */
  readonly value?: unknown;
  readonly partition?: unknown;
  readonly offset?: unknown;
  readonly consumerGroup?: unknown;
  readonly clientId?: unknown;
  readonly conversationId?: unknown;
  readonly clusterId?: unknown;
  /** How many messages the call sends. Undefined if it cannot send several. */
  readonly batchSize?: number | undefined;
}

export function kafkaAttributes(message: KafkaMessage): Attributes {
  const { key, value, partition, offset, consumerGroup, clientId, conversationId, clusterId, batchSize } = message;
  const attributes: Attributes = {};
  set(attributes, 'messaging.consumer.group.name', consumerGroup);
  set(attributes, 'messaging.client.id', clientId);
  set(attributes, 'messaging.message.conversation_id', conversationId);
  set(attributes, 'kafka.cluster.id', clusterId);
  if (typeof partition === 'number') attributes['messaging.destination.partition.id'] = String(partition);
  if (batchSize !== undefined) attributes['messaging.batch.message_count'] = batchSize;
  set(attributes, 'kafka.message.key', keyText(key));
  if (value === null && key !== null && key !== undefined) attributes['kafka.message.tombstone'] = true;
  const number = typeof offset === 'string' ? Number(offset) : offset;
  // Offsets have 64 bits. A rounded number would name another message.
  if (Number.isSafeInteger(number) && (number as number) >= 0) attributes['kafka.offset'] = number as number;
  return attributes;
}

function set(attributes: Attributes, name: string, value: unknown): void {
  if (typeof value === 'string' && value !== '') attributes[name] = value;
}

/** Returns undefined for a key of bytes, which has no standard text form. Nest parses keys that look like JSON. */
function keyText(key: unknown): string | undefined {
  // Nest decodes all bytes as UTF-8. This replacement character means that they were not text.
  if (typeof key === 'string') return key.includes('\uFFFD') ? undefined : key;
  if (typeof key === 'number') return String(key);
  return typeof key === 'object' && key !== null && !ArrayBuffer.isView(key) ? JSON.stringify(key) : undefined;
}
