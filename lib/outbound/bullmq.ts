/** Jobs that leave through BullMQ's queues and flow producers: each addition in its span, with the headers where BullMQ's telemetry has them. */
import type { LazyModuleLoader, ModulesContainer } from '@nestjs/core';
import { SpanKind } from '@opentelemetry/api';
import {
  BULLMQ,
  headersForJob,
  headersFromJob,
  jobAttributes,
  jobIdAttributes,
  type JobOperation,
  jobSpanName,
  redisOf,
} from '../conventions/bullmq.js';
import { hasMethods, isTouchable, ownValues } from '../local/has-methods.js';
import { type Method, replaceMethod, undoAll } from '../local/replace-method.js';
import type { RunningSpan } from '../local/running-span.js';
import { messages } from '../tracing.messages.js';
import { openDeparture, outgoingHeaders } from './departure.js';
import { withoutOtherSpans } from './other-spans.js';
import { type ClientKind, traceProvidedClients } from './provided-clients.js';
import { holdInstallation, installForGood } from './shared-installation.js';

/** A queue or flow producer of bullmq, as far as it matters here; the package need not be installed. */
interface Producer {
  readonly name?: string;
  readonly opts?: { readonly telemetry?: unknown };
}

interface JobOptions {
  readonly telemetry?: { readonly metadata?: unknown; readonly omitContext?: boolean } | undefined;
}

/** A job as it is given to a queue, or a node of a flow. */
interface NewJob {
  readonly name?: string;
  readonly queueName?: string;
  readonly opts?: JobOptions;
  readonly children?: readonly NewJob[];
}

const TRACED = Symbol.for('nestjs-tracing/bullmq-producer');

/** Traces the queues and flow producers that providers are, or keep; returns what undoes it. @internal */
export function traceJobProducers(modules: ModulesContainer, lazyModules: LazyModuleLoader): () => void {
  return traceProvidedClients(modules, lazyModules, jobProducers);
}

/**
 * Traces a `Queue` or `FlowProducer` of bullmq that Nest does not own: a span per addition, and the trace headers in the jobs' options.
 * Returns the same object; calling it again changes nothing. Those of `BullModule`, and those in the properties of providers and
 * controllers, need no call.
 *
 * @example
 * const reports = traceQueue(new Queue('reports', { connection }));
 *
 * @publicApi
 */
export function traceQueue<T extends object>(queue: T): T {
  if (!isProducer(queue)) throw new TypeError(messages.notAQueue(queue));
  return installForGood(queue, installOnProducer);
}

const jobProducers: ClientKind<Producer> = {
  *clientsOf(provided) {
    if (isTouchable(provided) && isProducer(provided)) yield provided;
    else for (const value of ownValues(provided)) if (isProducer(value)) yield value;
  },
  isWanted: prototype => isTouchable(prototype) && isProducer(prototype),
  install: installOnProducer,
};

/** The older package bull has queues with the same methods, which take jobs as well. */
function isQueue(value: object): boolean {
  return hasMethods(value, 'add', 'addBulk', 'getJobCounts', 'obliterate') && !hasMethods(value, 'process');
}

function isProducer(value: object): value is Producer {
  return isQueue(value) || hasMethods(value, 'add', 'addBulk', 'getFlow');
}

/** Wraps a producer where no one has yet; the last of those who asked for it unwraps it again. */
function installOnProducer(producer: Producer): () => void {
  return holdInstallation(producer, TRACED, () => ({ remove: isQueue(producer) ? wrapQueue(producer) : wrapFlowProducer(producer) }))
    .release;
}

/** What is sent where, and what is given to BullMQ instead of the arguments. */
interface Addition {
  readonly queue: string;
  readonly jobName?: string | undefined;
  readonly count?: number | undefined;
  readonly scheduler?: string | undefined;
  args(running: RunningSpan): unknown[];
}

function wrapQueue(queue: Producer): () => void {
  const name = String(queue.name);
  return undoAll([
    wrap(queue, 'add', args => ({
      queue: name,
      jobName: String(args[0]),
      args: running => [args[0], args[1], withHeaders(args[2] as JobOptions | undefined, running), ...args.slice(3)],
    })),
    wrap(queue, 'addBulk', ([jobs, ...rest]) => ({
      queue: name,
      count: (jobs as NewJob[]).length,
      args: running => [(jobs as NewJob[]).map(job => ({ ...job, opts: withHeaders(job.opts, running) })), ...rest],
    })),
    wrap(queue, 'upsertJobScheduler', ([id, repeat, template, ...rest]) => ({
      queue: name,
      jobName: (template as NewJob | undefined)?.name ?? String(id),
      scheduler: String(id),
      args: running => [
        id,
        repeat,
        { ...(template as object), opts: withHeaders((template as NewJob | undefined)?.opts, running) },
        ...rest,
      ],
    })),
  ]);
}

function wrapFlowProducer(producer: Producer): () => void {
  return undoAll([
    wrap(producer, 'add', ([flow, ...rest]) => ({
      queue: String((flow as NewJob).queueName),
      jobName: (flow as NewJob).name,
      count: countOf(flow as NewJob),
      args: running => [flowWithHeaders(flow as NewJob, running), ...rest],
    })),
    wrap(producer, 'addBulk', ([flows, ...rest]) => ({
      queue: [...new Set((flows as NewJob[]).map(({ queueName }) => queueName))].join(','),
      count: (flows as NewJob[]).reduce((sum, flow) => sum + countOf(flow), 0),
      args: running => [(flows as NewJob[]).map(flow => flowWithHeaders(flow, running)), ...rest],
    })),
  ]);
}

function wrap(producer: Producer, method: string, addition: (args: unknown[]) => Addition): () => void {
  // The commands to Redis are part of the sending. What a class that extends BullMQ's does in a method of its own is not.
  const isTheirs = declarer(producer, method) === declarer(producer, isQueue(producer) ? 'obliterate' : 'getFlow');
  return replaceMethod(producer, method, add => {
    return function (...args) {
      // The user's own choice: BullMQ opens its span, and writes its headers, in this call.
      if (producer.opts?.telemetry !== undefined) return add.apply(this, args);
      const send: Method = (...given) => (isTheirs ? withoutOtherSpans(() => add.apply(this, given)) : add.apply(this, given));
      return addInSpan(producer, () => addition(args), send, args);
    };
  });
}

/** Where a method is found along the prototype chain. */
function declarer(producer: object, method: string): object | null {
  let owner: object | null = producer;
  while (owner !== null && !Object.hasOwn(owner, method)) owner = Object.getPrototypeOf(owner) as object | null;
  return owner;
}

function addInSpan(producer: Producer, describe: () => Addition, add: Method, given: unknown[]): unknown {
  let addition: Addition | undefined;
  const running = openDeparture(() => {
    addition = describe();
    return departureOf(producer, addition);
  });
  let args = given;
  try {
    args = (addition ?? describe()).args(running);
  } catch {
    // Arguments that BullMQ itself refuses.
  }
  let added: unknown;
  try {
    added = running.run(() => add(...args));
  } catch (thrown) {
    running.fail(thrown);
    throw thrown;
  }
  if (!(added instanceof Promise)) {
    running.end();
    return added;
  }
  return added.then(
    (job: unknown) => {
      const { id } = (typeof job === 'object' && job !== null ? job : {}) as { id?: unknown };
      if (typeof id === 'string' && !running.hasEnded && running.span.isRecording()) running.span.setAttributes(jobIdAttributes(id));
      running.end();
      return job;
    },
    (thrown: unknown) => {
      running.fail(thrown);
      throw thrown;
    },
  );
}

function departureOf(producer: Producer, { queue, jobName, count, scheduler }: Addition) {
  const operation: JobOperation = { operation: 'send', queue, jobName, count, scheduler };
  return {
    message: { system: BULLMQ, destination: queue },
    kind: SpanKind.PRODUCER,
    name: jobSpanName(operation),
    attributes: () => jobAttributes({ ...operation, server: redisOf(producer) }),
  } as const;
}

/** Options with the headers of the span; those that are given stay as they are. */
function withHeaders<T extends JobOptions>(opts: T | undefined, running: RunningSpan): T | undefined {
  const telemetry = opts?.telemetry;
  if (telemetry?.omitContext === true) return opts;
  const existing = headersFromJob(telemetry?.metadata);
  // Somebody's own format.
  if (telemetry?.metadata !== undefined && existing === undefined) return opts;
  const headers = outgoingHeaders(existing, running.context);
  if (headers === undefined) return opts;
  return { ...opts, telemetry: { ...telemetry, metadata: headersForJob({ ...existing, ...headers }) } } as unknown as T;
}

function flowWithHeaders(flow: NewJob, running: RunningSpan): NewJob {
  const opts = withHeaders(flow.opts, running);
  const { children } = flow;
  return { ...flow, ...(opts && { opts }), ...(children && { children: children.map(child => flowWithHeaders(child, running)) }) };
}

function countOf({ children }: NewJob): number {
  return (children ?? []).reduce((sum, child) => sum + countOf(child), 1);
}
