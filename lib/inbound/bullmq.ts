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
    if (typeof workerClass === 'function') {
      undo.push(
        replaceMethod(workerClass.prototype as object, 'callProcessJob', call => {
          return function (...args) {
            traceWorker(this as Worker, arrivals);
            return call.apply(this, args);
          };
        }),
      );
    }
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

function isWorker(value: object): value is Worker {
  return hasMethods(value, 'processJob', 'getNextJob', 'run', 'close');
}

function traceWorker(worker: Worker & { [TRACED]?: true }, arrivals: Arrivals, host?: object): () => void {
  if (worker[TRACED] === true) return () => undefined;
  Object.defineProperty(worker, TRACED, { value: true, configurable: true });
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
    Reflect.deleteProperty(worker, TRACED);
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
