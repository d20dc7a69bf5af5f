/** Traces BullMQ workers: each call of a processor gets a span. @nestjs/bullmq, a provider or other code may have created the worker. */
import { context, ROOT_CONTEXT, type Span, SpanKind } from '@opentelemetry/api';
import { isNoSpan } from '../../api/no-span.decorator.js';
import { exceptionMessage } from '../../conventions/exception.js';
import { recordFailure } from '../../conventions/failure.js';
import { jobAttributes, type JobOperation, jobSpanName } from '../../conventions/jobs.js';
import { messages } from '../../options/messages.js';
import { headersFromJob, type JobOptions } from '../../propagation/message-headers.js';
import type { InboundOperation, InboundOperations } from '../../spans/inbound.js';
import { hasMethods, isTouchable } from '../../wrapping/has-methods.js';
import { replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { installForGood, Installations, share } from '../../wrapping/shared-installation.js';
import { redisOf, redisSocketOf } from './queue.js';

/** The used members of a bullmq worker. The package need not be installed. */
interface Worker {
  readonly name: string;
  readonly opts?: { readonly telemetry?: unknown };
}

interface Job {
  readonly id?: string;
  readonly name?: string;
  readonly attemptsMade?: number;
  readonly repeatJobKey?: string;
  readonly opts?: JobOptions;
}

/** @internal */
export function isWorker(value: unknown): value is Worker {
  return hasMethods(value, 'processJob', 'getNextJob', 'run', 'close');
}

/** All traced applications, the oldest first. A worker that no provider holds belongs to the oldest one. */
let applications: readonly InboundOperations[] = [];

/** Adds an application to which workers may belong that no provider holds. @internal */
export function enlistApplication(inbound: InboundOperations): void {
  applications = [...applications.filter(({ isClosed }) => !isClosed), inbound];
}

/**
 * Traces a bullmq `Worker` that Nest does not own, such as `new Worker(name, processor)`. Each attempt to process a job gets a span, in the
 * trace of the code that added the job. Event listeners run outside of any trace. Returns the same worker; a second call changes nothing.
 * Workers of `@Processor()` classes and in properties of providers are traced already. Tracing ends when the application closes. Not
 * traced: jobs from `getNextJob()`, and processor files in their own process. Spans follow the semantic conventions for messaging.
 *
 * @throws TypeError if `worker` is not a worker.
 * @example
 * const reports = traceWorker(new Worker('reports', job => build(job.data), { connection }));
 *
 * @publicApi
 */
export function traceWorker<T extends object>(worker: T): T {
  if (!isTouchable(worker) || !isWorker(worker)) throw new TypeError(messages.notAWorker(worker));
  return installForGood(worker, () => {
    detachClasses(worker);
    installOnWorker(worker);
  });
}

const TRACED = Symbol.for('nestjs-tracing/bullmq-worker');

/** The application of a worker. */
interface Home {
  /** Traces the jobs. If undefined, the oldest application does. */
  inbound: InboundOperations | undefined;
  handler: InboundOperation['handler'];
  isUntraced: boolean;
  /** Restores the worker's processor. */
  readonly undo: Undo;
}

/**
 * Traces the jobs of a worker, unless another application does. `host` is the instance of a `@Processor()` class. Returns the undo
 * function.
 * @internal
 */
export function installOnWorker(worker: Worker, inbound?: InboundOperations, host?: object): Undo {
  const { installation: home, release } = share(worker, TRACED, () => wrapProcessor(worker));
  if (inbound === undefined || isOpen(home)) return release;
  moveTo(home, inbound, host);
  return () => {
    if (home.inbound === inbound) moveTo(home, undefined);
    release();
  };
}

function isOpen({ inbound }: Home): boolean {
  return inbound?.isClosed === false;
}

function moveTo(home: Home, inbound: InboundOperations | undefined, host?: object): void {
  home.inbound = inbound;
  home.handler = host && { className: host.constructor.name, method: 'process' };
  home.isUntraced = host !== undefined && isNoSpan(host.constructor, 'process');
}

function wrapProcessor(worker: Worker): Home {
  const undo = replaceMethod(worker, 'processFn', processFn => {
    return function (...args) {
      if (!isOpen(home))
        moveTo(
          home,
          applications.find(({ isClosed }) => !isClosed),
        );
      const { inbound, handler, isUntraced } = home;
      // If the user has set BullMQ's `telemetry`, BullMQ has opened a span for this call already.
      if (inbound === undefined || worker.opts?.telemetry !== undefined) return processFn.apply(this, args);
      return inbound.run(
        () => describe(worker, args[0] as Job, handler),
        () => processFn.apply(this, args),
        isUntraced,
      );
    };
  });
  const home: Home = { inbound: undefined, handler: undefined, isUntraced: false, undo };
  return home;
}

function describe(worker: Worker, job: Job, handler: InboundOperation['handler']): InboundOperation {
  const { id: jobId, name: jobName, attemptsMade = 0, repeatJobKey: repeatKey, opts } = job;
  const queue = worker.name;
  const attempt = attemptsMade + 1;
  const operation: JobOperation = { system: 'bullmq', operation: 'process', queue, jobName, jobId, attempt, repeatKey };
  return {
    message: { system: operation.system, destination: queue, url: queue, headers: headersFromJob(opts) ?? {} },
    kind: SpanKind.CONSUMER,
    name: jobSpanName(operation),
    // A job that repeats for weeks must not become one trace.
    origin: repeatKey === undefined ? undefined : 'link',
    handler,
    attributes: () => jobAttributes({ ...operation, server: redisOf(worker), connection: redisSocketOf(worker) }),
    fail: (span, thrown) => failUnlessPutBack(span, thrown),
  };
}

/** A processor throws these errors to tell BullMQ that it has moved the job or reached a limit. They are no failures. */
const PUT_BACK = new Set(['DelayedError', 'WaitingError', 'WaitingChildrenError', 'RateLimitError']);
const RATE_LIMIT = 'bullmq:rateLimitExceeded';

function failUnlessPutBack(span: Span, thrown: unknown): void {
  const isPutBack = thrown instanceof Error && (PUT_BACK.has(thrown.name) || PUT_BACK.has(thrown.constructor.name));
  if (!isPutBack && exceptionMessage(thrown) !== RATE_LIMIT) recordFailure(span, thrown);
}

/** The base class of queues, workers and queue events in one copy of bullmq. */
interface Base {
  learn(prototype: object): void;
  readonly undo: Undo;
}

const CLASSES = Symbol('nestjs-tracing/bullmq-classes');

/**
 * Makes all workers and queue events of one copy of bullmq run outside of the context in which they are started. Traces each worker when it
 * gets its first job. `member` is an instance or prototype of any class of that copy. Returns the undo function.
 * @internal
 */
export function detachClasses(member: object): Undo {
  const base = baseOf(member);
  if (base === undefined) return () => undefined;
  const { installation, release } = share(base, CLASSES, () => wrapBase(base));
  if (runsByItself(member)) installation.learn(Object.hasOwn(member, 'constructor') ? member : (Object.getPrototypeOf(member) as object));
  return release;
}

function wrapBase(base: object): Base {
  const learnt = new WeakSet<object>();
  const workers = new Installations();
  const steps: Undo[] = [workers.undo];
  const learn = (prototype: object): void => {
    if (learnt.has(prototype)) return;
    learnt.add(prototype);
    steps.push(
      // It runs until the worker closes, so it must not keep the caller's context.
      replaceMethod(prototype, 'run', run => {
        return function (...args) {
          return (this as Worker).opts?.telemetry === undefined ? context.with(ROOT_CONTEXT, run, this, ...args) : run.apply(this, args);
        };
      }),
      replaceMethod(prototype, 'callProcessJob', call => {
        return function (...args) {
          const worker = this as Worker;
          workers.add(worker, () => installOnWorker(worker));
          return call.apply(this, args);
        };
      }),
    );
  };
  steps.push(
    replaceMethod(base, 'emit', emit => {
      return function (...args) {
        const emitter = this as Worker;
        if (!runsByItself(emitter)) return emit.apply(this, args);
        // The event `active` comes before the first call of the processor, so the worker is traced in time.
        learn(Object.getPrototypeOf(emitter) as object);
        // The processor itself emits `progress`, in its own context. With the user's `telemetry`, BullMQ chooses the context.
        const isDirect = (args[0] === 'progress' && 'processJob' in emitter) || emitter.opts?.telemetry !== undefined;
        return isDirect ? emit.apply(this, args) : context.with(ROOT_CONTEXT, emit, this, ...args);
      };
    }),
  );
  return { learn, undo: undoAll(steps) };
}

/** Returns true if an instance runs its own loop: a worker or queue events. */
function runsByItself(member: object): boolean {
  return 'processJob' in member || 'consumeEvents' in member;
}

/** Returns true for an instance of a bullmq class that connects to Redis, such as a queue or a worker. @internal */
export function isOfBullmq(member: object): boolean {
  return baseOf(member) !== undefined;
}

function baseOf(member: object): object | undefined {
  let prototype: object | null = member;
  while (prototype !== null && !(Object.hasOwn(prototype, 'checkConnectionError') && Object.hasOwn(prototype, 'emit'))) {
    prototype = Object.getPrototypeOf(prototype) as object | null;
  }
  return prototype ?? undefined;
}
