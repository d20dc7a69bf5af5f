/** Names and attributes of SQS spans, on both sides; reads and writes headers in the attributes of a message. */
import type { Attributes } from '@opentelemetry/api';
import { messageAttributes, messageSpanName } from '../../conventions/messaging.js';
import { serverAddressOf } from '../../conventions/rpc.js';

export const SQS = 'aws.sqs';

/** An operation on one message or a batch. */
export interface SqsOperation {
  readonly operation: 'send' | 'process';
  readonly queueUrl: string;
  readonly messageId?: string | undefined;
  /** The size of a batch. */
  readonly count?: number | undefined;
}

/** The attributes of a message in SQS's format. */
export type MessageAttributes = Readonly<Record<string, { readonly StringValue?: string | undefined } | undefined>>;

/** SQS's limit for one message. */
const MAX_ATTRIBUTES = 10;

/** The name is the last part of the URL. */
export function queueName(queueUrl: string): string {
  return queueUrl.slice(queueUrl.lastIndexOf('/') + 1);
}

export function sqsSpanName({ operation, queueUrl }: SqsOperation): string {
  return messageSpanName({ system: SQS, operation, type: operation, destination: queueName(queueUrl) });
}

export function sqsAttributes({ operation, queueUrl, messageId, count }: SqsOperation): Attributes {
  const server = serverAddressOf(queueUrl, queueUrl.startsWith('http:') ? 80 : 443);
  const message = { system: SQS, operation, type: operation, destination: queueName(queueUrl), messageId, count, server };
  return { ...messageAttributes(message), 'aws.sqs.queue.url': queueUrl };
}

/** Returns the headers: all string attributes of a message. */
export function headersIn(attributes: MessageAttributes | undefined): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, attribute] of Object.entries(attributes ?? {})) {
    if (typeof attribute?.StringValue === 'string') headers[name] = attribute.StringValue;
  }
  return headers;
}

/** Returns a copy of the attributes with the headers added in order, up to SQS's limit. */
export function withHeaders(attributes: MessageAttributes | undefined, headers: Readonly<Record<string, string>>): MessageAttributes {
  const added = Object.entries(headers).filter(([name, value]) => value !== '' && !(name in (attributes ?? {})));
  const room = Math.max(0, MAX_ATTRIBUTES - Object.keys(attributes ?? {}).length);
  const entries = added.slice(0, room).map(([name, value]) => [name, { DataType: 'String', StringValue: value }] as const);
  return { ...attributes, ...Object.fromEntries(entries) };
}
