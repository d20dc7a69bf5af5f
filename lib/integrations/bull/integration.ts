/** Traces Bull, the predecessor of BullMQ: each added job gets a span, and each call of its handler gets one in the same trace. */
import { context, ROOT_CONTEXT, SpanKind } from '@opentelemetry/api';
import { isNoSpan } from '../../api/no-span.decorator.js';
import { addedJobAttributes, jobAttributes, type JobOperation, type JobServer, jobSpanName } from '../../conventions/jobs.js';
import { memberAt } from '../../conventions/peer.js';
import { serverAddress } from '../../conventions/rpc.js';
import type { Integration } from '../../nest/integration.js';
import { headersFromJob, type JobOptions, withJobHeaders } from '../../propagation/message-headers.js';
import type { InboundOperation, InboundOperations } from '../../spans/inbound.js';
import { outgoingHeaders, sendIn, startOutbound, withoutOtherSpans } from '../../spans/outbound.js';
import { applicationIn } from '../../spans/work.js';
import { hasMethods, isTouchable, memberOf, ownerOf } from '../../wrapping/has-methods.js';
import type { ProviderTracing } from '../../wrapping/provider-search.js';
import { replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { installOnce, share } from '../../wrapping/shared-installation.js';

/** The used members of a bull queue. The package need not be installed. */
interface Queue {
  readonly name: string;
  /** The keys are the names of the jobs. */
  readonly handlers: object;
}

/** A job that is passed to a handler or to `addBulk()`. */
interface Job {
  readonly id?: unknown;
  readonly name?: string;
  readonly attemptsMade?: number;
  readonly opts?: JobOptions & { readonly repeat?: { readonly key?: string } };
}

/** Bull's name for jobs without a name. */
const UNNAMED = '__default__';

/** All running applications, the oldest first. A queue that no provider holds belongs to the oldest one. */
const applications = new Set<InboundOperations>();

export const bull: Integration = {
  name: 'bull',
  passesThrough: true,
  install(_application, nest) {
    applications.add(nest.inbound);
    nest.onClose(() => applications.delete(nest.inbound));
    nest.eachProvider(explorers);
    nest.eachProvider(queues(nest.inbound));
  },
};

function queues(inbound: InboundOperations): ProviderTracing<Queue> {
  return {
    everyInstance: true,
    looksInside: true,
    find: ({ instance, members }) => (isTouchable(instance) && isQueue(instance) ? [instance] : members.filter(isQueue)),
    install: queue => installOnQueue(queue, inbound),
  };
}

/** Called for every member of request-scoped instances, so the first check is cheap and rejects most. @internal */
export function isQueue(value: object): value is Queue {
  const methods = ['add', 'addBulk', 'process', 'setHandler'];
  return 'setHandler' in value && hasMethods(value, ...methods) && typeof memberOf(value, 'handlers') === 'object';
}

/** The method of a `@Processor()` class behind a handler. */
interface Processor {
  readonly className: string;
  readonly method: string;
  readonly isUntraced: boolean;
}

/** The keys are the queue and the handler's name. */
const processors = new WeakMap<object, Map<string, Processor>>();

/** Notes from which methods of `@Processor()` classes @nestjs/bull makes handlers. */
const explorers: ProviderTracing = {
  find: ({ instance }) => (hasMethods(instance, 'explore', 'getQueue', 'handleProcessor', 'handleListener') ? [instance] : []),
  install: explorer =>
    replaceMethod(explorer, 'handleProcessor', handleProcessor => {
      return function (...args) {
        const result = handleProcessor.apply(this, args);
        const [host, method, queue, , , options] = args as [object, string, object, unknown, unknown, { name?: string } | undefined];
        const { constructor } = host;
        const known = processors.get(queue) ?? new Map<string, Processor>();
        known.set(options?.name ?? UNNAMED, { className: constructor.name, method, isUntraced: isNoSpan(constructor, method) });
        processors.set(queue, known);
        return result;
      };
    }),
};

const PRODUCER = Symbol.for('nestjs-tracing/bull-producer');
const HANDLERS = Symbol.for('nestjs-tracing/bull-handlers');

/** Traces the jobs that are added to a queue or processed by it, for the application of `inbound` or else the oldest one. @internal */
export function installOnQueue(queue: Queue, inbound?: InboundOperations): Undo {
  const wrapAdditions = () => undoAll([wrapAddition(queue, 'add', oneJob), wrapAddition(queue, 'addBulk', manyJobs)]);
  const additions = installOnce(queue, PRODUCER, wrapAdditions);
  const { installation, release } = share(queue, HANDLERS, () => wrapHandlers(queue));
  if (inbound === undefined) return undoAll([additions, release]);
  const { owners } = installation;
  owners.add(inbound);
  return undoAll([additions, release, () => owners.delete(inbound)]);
}

/** One call of `add()` or `addBulk()`, with the arguments for Bull: they contain the headers. */
interface Addition extends Pick<JobOperation, 'jobName' | 'count'> {
  args(): unknown[];
}

/** Reads the arguments of `add()`: an optional job name, the data, and the options. */
function oneJob(given: unknown[]): Addition {
  const isNamed = typeof given[0] === 'string';
  const place = isNamed ? 2 : 1;
  const others = [...given.slice(0, place), ...(given.length < place ? [undefined] : [])];
  return { jobName: nameOf(isNamed ? (given[0] as string) : UNNAMED), args: () => [...others, withHeaders(given[place] as JobOptions)] };
}

function manyJobs([jobs]: unknown[]): Addition {
  const list = jobs as Job[];
  return { count: list.length, args: () => [list.map(job => ({ ...job, opts: withHeaders(job.opts) }))] };
}

function withHeaders(opts: JobOptions | undefined): JobOptions | undefined {
  return withJobHeaders(opts, outgoingHeaders);
}

function wrapAddition(queue: Queue, method: string, describe: (args: unknown[]) => Addition): Undo {
  // Redis commands of Bull's own method get no spans. A subclass that overrides it may do other work, which keeps its spans.
  const isTheirs = ownerOf(queue, method) === ownerOf(queue, 'getJobCounts');
  return replaceMethod(queue, method, add => {
    return function (...args) {
      let addition: Addition;
      try {
        addition = describe(args);
      } catch {
        // Bull itself reports invalid arguments.
        return add.apply(this, args);
      }
      const call = (given: unknown[]): unknown => add.apply(this, given);
      return send(queue, addition, isTheirs ? given => withoutOtherSpans(() => call(given)) : call);
    };
  });
}

/** Adds jobs in a span that ends when they are in Redis. */
function send(queue: Queue, { jobName, count, args }: Addition, add: (args: unknown[]) => unknown): unknown {
  const operation: JobOperation = { system: 'bull', operation: 'send', queue: queue.name, jobName, count };
  const work = startOutbound(applicationIn(), {
    kind: SpanKind.PRODUCER,
    name: jobSpanName(operation),
    attributes: () => jobAttributes({ ...operation, ...redisOf(queue) }),
    message: { system: operation.system, destination: queue.name },
  });
  return sendIn(
    work,
    () => add(args()),
    (span, job) => span.setAttributes(addedJobAttributes(job, redisOf(queue))),
  );
}

/** Wraps the present and future handlers of a queue. */
function wrapHandlers(queue: Queue) {
  const owners = new Set<InboundOperations>();
  const wrapHandler = (name: string): Undo =>
    replaceMethod(queue.handlers, name, handler => {
      return function (...args) {
        const [inbound] = owners.size > 0 ? owners : applications;
        if (inbound === undefined) return handler.apply(this, args);
        const processor = processors.get(queue)?.get(name);
        return inbound.run(
          () => processing(queue, args[0] as Job, processor),
          () => handler.apply(this, args),
          processor?.isUntraced,
        );
      };
    });
  const steps = Object.keys(queue.handlers).map(wrapHandler);
  steps.push(
    replaceMethod(queue, 'setHandler', setHandler => {
      return function (...args) {
        const result = setHandler.apply(this, args);
        steps.push(wrapHandler(String(args[0])));
        return result;
      };
    }),
    // It runs until the queue closes, so it must not keep the caller's context.
    replaceMethod(queue, 'process', process => {
      return function (...args) {
        return context.with(ROOT_CONTEXT, process, this, ...args);
      };
    }),
  );
  return { owners, undo: undoAll(steps) };
}

function processing(queue: Queue, { id, name, attemptsMade = 0, opts }: Job, handler: Processor | undefined): InboundOperation {
  const repeatKey = opts?.repeat?.key;
  const job = { jobName: nameOf(name), jobId: id, attempt: attemptsMade + 1, repeatKey };
  const operation: JobOperation = { system: 'bull', operation: 'process', queue: queue.name, ...job };
  return {
    message: { system: operation.system, destination: queue.name, url: queue.name, headers: headersFromJob(opts) ?? {} },
    kind: SpanKind.CONSUMER,
    name: jobSpanName(operation),
    // A job that repeats for weeks must not become one trace.
    origin: repeatKey === undefined ? undefined : 'link',
    handler,
    attributes: () => jobAttributes({ ...operation, ...redisOf(queue) }),
  };
}

function nameOf(jobName: string | undefined): string | undefined {
  return jobName === UNNAMED ? undefined : jobName;
}

/** Returns an empty result before the queue connects, because reading its ioredis client creates one. */
function redisOf(queue: Queue): JobServer {
  const client = memberAt(queue, 'clientInitialized') === true ? memberAt(queue, 'client') : undefined;
  const options = memberAt(client, 'options');
  const isSocketFile = typeof memberAt(options, 'path') === 'string';
  const server = isSocketFile ? undefined : serverAddress(memberAt(options, 'host'), memberAt(options, 'port'));
  return { server, connection: memberAt(client, 'stream') };
}
