/** What spans of Kafka messages carry besides that of any message (semantic conventions for Kafka, in development), on either side. */
import type { Attributes } from '@opentelemetry/api';

/** What is known of one message, or of a batch of them; odd values are left out. */
export interface KafkaMessage {
  readonly key?: unknown;
  /** `null` is a tombstone: the message deletes what its key had. */
  readonly value?: unknown;
  readonly partition?: unknown;
  readonly offset?: unknown;
  readonly consumerGroup?: unknown;
  readonly clientId?: unknown;
  readonly conversationId?: unknown;
  /** How many messages one call sends; only of calls that may send several. */
  readonly batchSize?: number | undefined;
}

export function kafkaAttributes(message: KafkaMessage): Attributes {
  const { key, value, partition, offset, consumerGroup, clientId, conversationId, batchSize } = message;
  const attributes: Attributes = {};
  set(attributes, 'messaging.consumer.group.name', consumerGroup);
  set(attributes, 'messaging.client.id', clientId);
  set(attributes, 'messaging.message.conversation_id', conversationId);
  if (typeof partition === 'number') attributes['messaging.destination.partition.id'] = String(partition);
  if (batchSize !== undefined) attributes['messaging.batch.message_count'] = batchSize;
  set(attributes, 'kafka.message.key', keyText(key));
  if (value === null && key !== null && key !== undefined) attributes['kafka.message.tombstone'] = true;
  const number = typeof offset === 'string' ? Number(offset) : offset;
  // Offsets are of 64 bits; one that no number can hold exactly would name another message.
  if (Number.isSafeInteger(number) && (number as number) >= 0) attributes['kafka.offset'] = number as number;
  return attributes;
}

function set(attributes: Attributes, name: string, value: unknown): void {
  if (typeof value === 'string' && value !== '') attributes[name] = value;
}

/** A key of bytes has no text that all would agree on; Nest parses those that look like JSON. */
function keyText(key: unknown): string | undefined {
  // Nest reads all bytes as text: where they are none, this character stands in their place.
  if (typeof key === 'string') return key.includes('\uFFFD') ? undefined : key;
  if (typeof key === 'number') return String(key);
  return typeof key === 'object' && key !== null && !ArrayBuffer.isView(key) ? JSON.stringify(key) : undefined;
}
