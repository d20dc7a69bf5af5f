/** Where BullMQ's jobs enter: the processors of the workers that @nestjs/bullmq makes, and of those that providers keep. */
import { type Span, SpanKind } from '@opentelemetry/api';
import { BULLMQ, headersFromJob, jobAttributes, jobSpanName, redisOf } from '../conventions/bullmq.js';
import { exceptionMessage, recordFailure } from '../conventions/failure.js';
import { hasMethods, ownValues } from '../local/has-methods.js';
import { isNoSpan } from '../local/no-span.decorator.js';
import { replaceMethod, undoAll } from '../local/replace-method.js';
import type { Arrival, Arrivals } from './arrival.js';
import type { Entrance } from './static-providers.js';

/** A worker of bullmq, as far as it matters here; the package need not be installed. */
interface Worker {
  readonly name: string;
  readonly opts?: { readonly telemetry?: unknown };
}

interface Job {
  readonly id?: string;
  readonly name?: string;
  readonly attemptsMade?: number;
  readonly repeatJobKey?: string;
  readonly opts?: { readonly telemetry?: { readonly metadata?: unknown } };
}

const TRACED = Symbol.for('nestjs-tracing/bullmq-worker');

/**
 * The workers of `@Processor()` classes, from the moment they are made; a class with `@NoSpan()` has its jobs left alone. All others of the
 * class that they have in common, of `registerQueue({ processors })` for one, when they are given a job. @internal
 */
export function processorsEntrance(arrivals: Arrivals): Entrance {
  return ({ instance: explorer }) => {
    if (!hasMethods(explorer, 'register', 'registerWorkers', 'handleProcessor')) return undefined;
    const undo: (() => void)[] = [];
    undo.push(
      replaceMethod(explorer, 'handleProcessor', handleProcessor => {
        return function (host, ...rest) {
          const result = handleProcessor.call(this, host, ...rest);
          for (const worker of ownValues(host)) if (isWorker(worker)) undo.push(traceWorker(worker, arrivals, host as object));
          return result;
        };
      }),
    );
    const workerClass: unknown = Reflect.get(explorer.constructor, '_workerClass');
    if (typeof workerClass === 'function') undo.push(traceWorkersOf(workerClass.prototype as object, arrivals));
    return undoAll(undo);
  };
}

/** The workers that providers are, or keep in their properties. @internal */
export function workersEntrance(arrivals: Arrivals): Entrance {
  return ({ instance }) => {
    const workers = isWorker(instance) ? [instance] : [...ownValues(instance)].filter(isWorker);
    return workers.length === 0 ? undefined : undoAll(workers.map(worker => traceWorker(worker, arrivals)));
  };
}

/** The applications that trace the workers of a class, the oldest first, and what takes the class back to what it was. */
interface Watched {
  readonly by: Arrivals[];
  readonly restore: () => void;
}

const watched = new WeakMap<object, Watched>();

/** Traces workers of a class when they are given a job; of several applications nobody knows whose one is, so it is the oldest one's. */
function traceWorkersOf(prototype: object, arrivals: Arrivals): () => void {
  const { by, restore } = watched.get(prototype) ?? watch(prototype);
  by.push(arrivals);
  return () => {
    by.splice(by.indexOf(arrivals), 1);
    if (by.length > 0) return;
    restore();
    watched.delete(prototype);
  };
}

function watch(prototype: object): Watched {
  const by: Arrivals[] = [];
  const restore = replaceMethod(prototype, 'callProcessJob', call => {
    return function (...args) {
      const [oldest] = by;
      if (oldest !== undefined) traceWorker(this as Worker, oldest);
      return call.apply(this, args);
    };
  });
  watched.set(prototype, { by, restore });
  return { by, restore };
}

function isWorker(value: object): value is Worker {
  return hasMethods(value, 'processJob', 'getNextJob', 'run', 'close');
}

function traceWorker(worker: Worker & { [TRACED]?: Arrivals }, arrivals: Arrivals, host?: object): () => void {
  if (worker[TRACED]?.isClosed === false) return () => undefined;
  Object.defineProperty(worker, TRACED, { value: arrivals, configurable: true });
  const isUntraced = host !== undefined && isNoSpan(host.constructor, 'process');
  const handler = host === undefined ? undefined : { className: host.constructor.name, method: 'process' };
  const restore = replaceMethod(worker, 'processFn', processFn => {
    return function (...args) {
      // The user's own choice: BullMQ has opened its span around this call.
      if (worker.opts?.telemetry !== undefined) return processFn.apply(this, args);
      return arrivals.serve(
        () => describe(worker, args[0] as Job, handler),
        () => processFn.apply(this, args),
        isUntraced,
      );
    };
  });
  return () => {
    restore();
    if (worker[TRACED] === arrivals) Reflect.deleteProperty(worker, TRACED);
  };
}

function describe(worker: Worker, job: Job, handler: Arrival['handler']): Arrival {
  const { id, name, attemptsMade, repeatJobKey } = job;
  const queue = worker.name;
  const operation = { operation: 'process', queue, jobName: name, jobId: id, scheduler: repeatJobKey } as const;
  return {
    message: { system: BULLMQ, destination: queue, url: queue, headers: headersFromJob(job.opts?.telemetry?.metadata) ?? {} },
    kind: SpanKind.CONSUMER,
    name: jobSpanName(operation),
    // What is repeated for weeks is not one trace.
    origin: repeatJobKey === undefined ? undefined : 'link',
    handler,
    attributes: () => jobAttributes({ ...operation, server: redisOf(worker), attempt: (attemptsMade ?? 0) + 1 }),
    fail: (span, thrown) => failUnlessPutBack(span, thrown),
  };
}

/** What BullMQ wants thrown by a processor that has moved its job, or found a limit reached. */
const PUT_BACK = new Set(['DelayedError', 'WaitingError', 'WaitingChildrenError', 'RateLimitError']);
const RATE_LIMIT = 'bullmq:rateLimitExceeded';

function failUnlessPutBack(span: Span, thrown: unknown): void {
  const isPutBack = thrown instanceof Error && (PUT_BACK.has(thrown.name) || PUT_BACK.has(thrown.constructor.name));
  if (!isPutBack && exceptionMessage(thrown) !== RATE_LIMIT) recordFailure(span, thrown);
}
