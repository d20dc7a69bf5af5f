/** What spans of BullMQ's jobs are called and carry, on either side, and how trace headers are written into a job's options. */
import type { Attributes } from '@opentelemetry/api';
import { messageAttributes, messageSpanName } from './messaging.js';
import { type ServerAddress, serverAddress } from './rpc.js';

export const BULLMQ = 'bullmq';

/** A job, or several that are added at once, as far as it is known. */
export interface JobOperation {
  readonly operation: 'send' | 'process';
  readonly queue: string;
  readonly server?: ServerAddress | undefined;
  readonly jobName?: string | undefined;
  readonly jobId?: string | undefined;
  /** From 1 on. */
  readonly attempt?: number | undefined;
  /** Of jobs that are added at once. */
  readonly count?: number | undefined;
  /** Of jobs that a scheduler makes again and again. */
  readonly scheduler?: string | undefined;
}

export function jobSpanName({ operation, queue }: JobOperation): string {
  return messageSpanName({ system: BULLMQ, operation, type: operation, destination: queue });
}

/** Attributes of a job; what has no place in the conventions has the keys of BullMQ's own telemetry. */
export function jobAttributes({ operation, queue, server, jobName, jobId, attempt, count, scheduler }: JobOperation): Attributes {
  const attributes = messageAttributes({ system: BULLMQ, operation, type: operation, destination: queue, messageId: jobId, server });
  if (jobName !== undefined) attributes['bullmq.job.name'] = jobName;
  if (attempt !== undefined) attributes['bullmq.job.attempts.made'] = attempt;
  if (count !== undefined) attributes['messaging.batch.message_count'] = count;
  if (scheduler !== undefined) attributes['bullmq.job.scheduler.id'] = scheduler;
  return attributes;
}

/** The id that a job got when it was added. */
export function jobIdAttributes(jobId: string): Attributes {
  return { 'messaging.message.id': jobId };
}

/** Where the Redis of a queue, worker or flow producer is: `opts.connection` is a client of ioredis, or its options. */
export function redisOf(connected: unknown): ServerAddress | undefined {
  const connection = fieldOf(fieldOf(connected, 'opts'), 'connection');
  const options = fieldOf(connection, 'options') ?? connection;
  if (options === undefined || fieldOf(options, 'url') !== undefined || fieldOf(options, 'path') !== undefined) return undefined;
  return serverAddress(fieldOf(options, 'host') ?? 'localhost', fieldOf(options, 'port') ?? 6379);
}

/** What BullMQ's own telemetry writes, and others read: a JSON object of headers. `undefined` where it is something else. */
export function headersFromJob(metadata: unknown): Record<string, string> | undefined {
  if (typeof metadata !== 'string') return undefined;
  try {
    const headers: unknown = JSON.parse(metadata);
    return typeof headers === 'object' && headers !== null ? (headers as Record<string, string>) : undefined;
  } catch {
    return undefined;
  }
}

export function headersForJob(headers: Readonly<Record<string, string>>): string {
  return JSON.stringify(headers);
}

function fieldOf(owner: unknown, name: string): unknown {
  return typeof owner === 'object' && owner !== null ? (Reflect.get(owner, name) as unknown) : undefined;
}
