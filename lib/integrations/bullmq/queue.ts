/** Traces BullMQ queues and flow producers: each call that adds jobs gets a span. Headers go where BullMQ's telemetry puts them. */
import { SpanKind } from '@opentelemetry/api';
import { addedJobAttributes, jobAttributes, type JobOperation, jobSpanName } from '../../conventions/jobs.js';
import { memberAt } from '../../conventions/peer.js';
import { type ServerAddress, serverAddress } from '../../conventions/rpc.js';
import { type JobOptions, withJobHeaders } from '../../propagation/message-headers.js';
import { outgoingHeaders, sendIn, startOutbound, withoutOtherSpans } from '../../spans/outbound.js';
import { applicationIn } from '../../spans/work.js';
import { hasMethods, ownerOf } from '../../wrapping/has-methods.js';
import { type Method, replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { installOnce } from '../../wrapping/shared-installation.js';

/** The used members of a bullmq queue or flow producer. The package need not be installed. */
export interface Producer {
  readonly name?: string;
  readonly opts?: { readonly telemetry?: unknown };
}

/** A job that is passed to a queue, or a node of a flow. */
interface NewJob {
  readonly name?: string;
  readonly queueName?: string;
  readonly opts?: JobOptions;
  readonly children?: readonly NewJob[];
}

const TRACED = Symbol.for('nestjs-tracing/bullmq-producer');

/** Queues of the older package bull have the same methods, and also `process`. */
function isQueue(value: object): boolean {
  return hasMethods(value, 'add', 'addBulk', 'getJobCounts', 'obliterate') && !hasMethods(value, 'process');
}

/** Called for every member of request-scoped instances, so the first check is cheap and rejects most. */
export function isProducer(value: object): value is Producer {
  return 'addBulk' in value && (isQueue(value) || hasMethods(value, 'add', 'addBulk', 'getFlow'));
}

/** Wraps a producer once, even for several applications. Returns the undo function: its last call unwraps the producer. */
export function installOnProducer(producer: Producer): Undo {
  return installOnce(producer, TRACED, () => (isQueue(producer) ? wrapQueue(producer) : wrapFlowProducer(producer)));
}

/** One call that adds jobs, with the arguments for BullMQ: they contain the headers. */
interface Addition extends Pick<JobOperation, 'queue' | 'jobName' | 'count' | 'repeatKey'> {
  args(): unknown[];
}

function wrapQueue(producer: Producer): Undo {
  const queue = String(producer.name);
  return undoAll([
    wrap(producer, 'add', ([name, data, opts, ...rest]) => ({
      queue,
      jobName: String(name),
      args: () => [name, data, withHeaders(opts as JobOptions | undefined), ...rest],
    })),
    wrap(producer, 'addBulk', ([jobs, ...rest]) => ({
      queue,
      count: (jobs as NewJob[]).length,
      args: () => [(jobs as NewJob[]).map(job => ({ ...job, opts: withHeaders(job.opts) })), ...rest],
    })),
    wrap(producer, 'upsertJobScheduler', ([id, repeat, template, ...rest]) => ({
      queue,
      jobName: (template as NewJob | undefined)?.name ?? String(id),
      repeatKey: String(id),
      args: () => [id, repeat, { ...(template as object), opts: withHeaders((template as NewJob | undefined)?.opts) }, ...rest],
    })),
  ]);
}

function wrapFlowProducer(producer: Producer): Undo {
  return undoAll([
    wrap(producer, 'add', ([flow, ...rest]) => ({
      queue: String((flow as NewJob).queueName),
      jobName: (flow as NewJob).name,
      count: countOf(flow as NewJob),
      args: () => [flowWithHeaders(flow as NewJob), ...rest],
    })),
    wrap(producer, 'addBulk', ([flows, ...rest]) => ({
      queue: [...new Set((flows as NewJob[]).map(({ queueName }) => queueName))].join(','),
      count: (flows as NewJob[]).reduce((sum, flow) => sum + countOf(flow), 0),
      args: () => [(flows as NewJob[]).map(flowWithHeaders), ...rest],
    })),
  ]);
}

function wrap(producer: Producer, method: string, describe: (args: unknown[]) => Addition): Undo {
  // Redis commands of BullMQ's own method get no spans. A subclass that overrides it may do other work, which keeps its spans.
  const isTheirs = ownerOf(producer, method) === ownerOf(producer, isQueue(producer) ? 'obliterate' : 'getFlow');
  return replaceMethod(producer, method, add => {
    return function (...args) {
      // If the user has set `telemetry`, BullMQ opens its own span and writes its own headers in this call.
      if (producer.opts?.telemetry !== undefined) return add.apply(this, args);
      const send: Method = (...given) => (isTheirs ? withoutOtherSpans(() => add.apply(this, given)) : add.apply(this, given));
      return addInSpan(producer, describe, send, args);
    };
  });
}

function addInSpan(producer: Producer, describe: (args: unknown[]) => Addition, add: Method, given: unknown[]): unknown {
  let addition: Addition;
  try {
    addition = describe(given);
  } catch {
    // BullMQ itself reports invalid arguments.
    return add(...given);
  }
  const { args, ...described } = addition;
  const operation: JobOperation = { system: 'bullmq', operation: 'send', ...described };
  const work = startOutbound(applicationIn(), {
    kind: SpanKind.PRODUCER,
    name: jobSpanName(operation),
    attributes: () => jobAttributes({ ...operation, server: redisOf(producer) }),
    message: { system: operation.system, destination: operation.queue },
  });
  const argsWithHeaders = (): unknown[] => {
    try {
      return args();
    } catch {
      // BullMQ itself reports these, too.
      return given;
    }
  };
  return sendIn(
    work,
    () => add(...argsWithHeaders()),
    (span, job) => span.setAttributes(addedJobAttributes(job, { connection: redisSocketOf(producer) })),
  );
}

function withHeaders(opts: JobOptions | undefined): JobOptions | undefined {
  return withJobHeaders(opts, outgoingHeaders);
}

function flowWithHeaders(flow: NewJob): NewJob {
  const opts = withHeaders(flow.opts);
  const { children } = flow;
  return { ...flow, ...(opts && { opts }), ...(children && { children: children.map(flowWithHeaders) }) };
}

function countOf({ children }: NewJob): number {
  return (children ?? []).reduce((sum, child) => sum + countOf(child), 1);
}

/** Returns the Redis address of a queue, worker or flow producer. `opts.connection` is an ioredis client or its options. */
export function redisOf(connected: unknown): ServerAddress | undefined {
  const connection = memberAt(connected, 'opts', 'connection');
  const options = memberAt(connection, 'options') ?? connection;
  if (typeof options !== 'object' || memberAt(options, 'url') !== undefined || memberAt(options, 'path') !== undefined) return undefined;
  return serverAddress(memberAt(options, 'host') ?? 'localhost', memberAt(options, 'port') ?? 6379);
}

/** Works for BullMQ 6 and older versions. */
export function redisSocketOf(connected: unknown): unknown {
  const connection = memberAt(connected, 'backend', 'connection') ?? memberAt(connected, 'connection');
  return memberAt(connection, '_client', 'stream');
}
