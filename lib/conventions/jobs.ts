/** Names and attributes of spans for jobs of Bull and BullMQ. */
import type { Attributes } from '@opentelemetry/api';
import { messageAttributes, messageSpanName, transitAttributes } from './messaging.js';
import { memberAt } from './peer.js';
import { addServer, type ServerAddress } from './rpc.js';

/** The address of a queue's Redis server, and the socket to it. */
export interface JobServer {
  readonly server?: ServerAddress | undefined;
  readonly connection?: unknown;
}

/** A job, or several jobs that are added together. */
export interface JobOperation extends JobServer {
  readonly system: keyof typeof KEYS;
  readonly operation: 'send' | 'process';
  readonly queue: string;
  readonly jobName?: string | undefined;
  readonly jobId?: unknown;
  /** Starts at 1. */
  readonly attempt?: number | undefined;
  /** How many jobs are added together. */
  readonly count?: number | undefined;
  /** The key that all runs of a repeated job have in common. */
  readonly repeatKey?: string | undefined;
}

/** Attributes that the conventions do not have. BullMQ's keys are those of its own telemetry. */
const KEYS = {
  bull: { name: 'bull.job.name', attempt: 'bull.job.attempts.made', repeatKey: 'bull.job.repeat.key' },
  bullmq: { name: 'bullmq.job.name', attempt: 'bullmq.job.attempts.made', repeatKey: 'bullmq.job.scheduler.id' },
} as const;

export function jobSpanName({ system, operation, queue }: JobOperation): string {
  return messageSpanName({ system, operation, type: operation, destination: queue });
}

export function jobAttributes(job: JobOperation): Attributes {
  const { system, operation, queue, server, connection, jobName, jobId, attempt, count, repeatKey } = job;
  const message = { system, operation, type: operation, destination: queue, messageId: idOf(jobId), count, server, connection };
  const attributes = messageAttributes(message);
  const keys = KEYS[system];
  if (jobName !== undefined) attributes[keys.name] = jobName;
  if (attempt !== undefined) attributes[keys.attempt] = attempt;
  if (repeatKey !== undefined) attributes[keys.repeatKey] = repeatKey;
  return attributes;
}

/** Returns the attributes that are known only after a job was added: its id and the connection. The connection opens with the first job. */
export function addedJobAttributes(job: unknown, { server, connection }: JobServer): Attributes {
  const attributes = transitAttributes({ messageId: idOf(memberAt(job, 'id')), connection });
  addServer(attributes, server);
  return attributes;
}

/** Returns the id as text. Bull's own ids may be numbers. */
function idOf(jobId: unknown): unknown {
  return typeof jobId === 'number' ? String(jobId) : jobId;
}
