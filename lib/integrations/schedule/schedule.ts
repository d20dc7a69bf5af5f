/**
 * Traces @nestjs/schedule: a span for each run of a method with `@Cron()`, `@Interval()` or `@Timeout()`, and of a job that is added to the
 * SchedulerRegistry. Only the scheduler's calls are wrapped: a direct call of the method makes no span.
 */
import { SpanKind } from '@opentelemetry/api';
import { type ScheduledJob, scheduledJobAttributes } from '../../conventions/nestjs.js';
import { codeName } from '../../conventions/code.js';
import { hasMethods, memberOf } from '../../wrapping/has-methods.js';
import { isNoSpan } from '../../api/no-span.decorator.js';
import type { Integration } from '../../nest/integration.js';
import { type Method, replaceMethod, undoAll } from '../../wrapping/replace-method.js';
import type { InboundOperations } from '../../spans/inbound.js';
import type { ProviderTracing } from '../../wrapping/provider-search.js';

export const schedule: Integration = {
  name: 'schedule',
  install(_application, nest) {
    nest.eachProvider(declaredJobs(nest.inbound));
    nest.eachProvider(registeredJobs(nest.inbound));
  },
};

/** The `system` that rules receive. */
const SCHEDULE = 'nestjs.schedule';

/** Metadata of the decorators. */
const JOB_NAME = 'SCHEDULER_NAME';
const CRON = 'SCHEDULE_CRON_OPTIONS';
const INTERVAL = 'SCHEDULE_INTERVAL_OPTIONS';
const TIMEOUT = 'SCHEDULE_TIMEOUT_OPTIONS';

/** Callbacks of the scheduler that are already traced. */
const ticking = new WeakSet<object>();

/** Jobs that decorators declare. */
function declaredJobs(inbound: InboundOperations): ProviderTracing {
  return {
    find: ({ instance }) => (hasMethods(instance, 'explore', 'lookupSchedulers', 'wrapFunctionInTryCatchBlocks') ? [instance] : []),
    install: explorer =>
      replaceMethod(explorer, 'wrapFunctionInTryCatchBlocks', makeTick => {
        return function (method, owner) {
          if (typeof method !== 'function' || !isObject(owner)) return makeTick.call(this, method, owner);
          const tick = makeTick.call(this, tracedMethod(method as Method, owner, inbound), owner);
          if (typeof tick === 'function') ticking.add(tick);
          return tick;
        };
      }),
  };
}

/** Jobs that are added to the SchedulerRegistry. */
function registeredJobs(inbound: InboundOperations): ProviderTracing {
  return {
    find: ({ instance }) => (hasMethods(instance, 'addCronJob', 'addInterval', 'addTimeout', 'getCronJobs') ? [instance] : []),
    install: registry => {
      const wrap = (kind: 'cronJobs' | 'intervals' | 'timeouts', method: string, trace: (name: string, added: object) => void) => {
        // Fake timers may be numbers.
        const found = (name: unknown, added: unknown): void => {
          if (isObject(added)) trace(String(name), added);
        };
        // Constructors of providers have added these jobs.
        const existing = memberOf(registry, kind);
        if (existing instanceof Map) for (const [name, added] of existing) found(name, added);
        return replaceMethod(registry, method, add => {
          return function (name, added, ...rest) {
            const result = add.call(this, name, added, ...rest);
            found(name, added);
            return result;
          };
        });
      };
      return undoAll([
        wrap('cronJobs', 'addCronJob', (name, job) => traceCronJob(name, job, inbound)),
        wrap('intervals', 'addInterval', (name, timer) => traceTimer('interval', name, timer, inbound)),
        wrap('timeouts', 'addTimeout', (name, timer) => traceTimer('timeout', name, timer, inbound)),
      ]);
    },
  };
}

function tracedMethod(method: Method, owner: object, inbound: InboundOperations): Method {
  const classRef = owner.constructor;
  const handler = { className: classRef.name, method: nameOf(method, owner) };
  const job = jobOf(method);
  const isUntraced = isNoSpan(classRef, handler.method);
  const describe = describing(codeName(handler.className, handler.method), job, handler);
  return function (...args) {
    return inbound.run(describe, () => method.apply(this, args), isUntraced);
  };
}

/** Traces the callbacks of a CronJob. Its `fireOnTick` may skip them and does not always wait for them. */
function traceCronJob(name: string, job: object, inbound: InboundOperations): void {
  const callbacks = memberOf(job, '_callbacks');
  if (!Array.isArray(callbacks)) return;
  const cron = cronOf(Reflect.get(job, 'cronTime'));
  for (const [index, callback] of (callbacks as unknown[]).entries()) {
    if (typeof callback === 'function' && !ticking.has(callback)) {
      callbacks[index] = tracedCallback(name, callback as Method, { type: 'cron', name, cron }, inbound);
    }
  }
}

/** Traces the callback of a running timer. Node gives no public access to it. */
function traceTimer(type: 'interval' | 'timeout', name: string, timer: object, inbound: InboundOperations): void {
  const callback = memberOf(timer, '_onTimeout');
  if (typeof callback !== 'function' || ticking.has(callback)) return;
  const milliseconds = memberOf(timer, '_idleTimeout');
  const job = { type, name, milliseconds: typeof milliseconds === 'number' ? milliseconds : undefined };
  Reflect.set(timer, '_onTimeout', tracedCallback(name, callback as Method, job, inbound));
}

function tracedCallback(name: string, callback: Method, job: ScheduledJob, inbound: InboundOperations): Method {
  const describe = describing(name, job, undefined);
  const traced: Method = function (...args) {
    return inbound.run(describe, () => callback.apply(this, args));
  };
  ticking.add(traced);
  return traced;
}

/** Returns a function that describes a run. The operation is the same for every run. */
function describing(name: string, job: ScheduledJob, handler: { className: string; method: string } | undefined) {
  const operation = {
    // No headers: every run is a root.
    message: { system: SCHEDULE, destination: name, url: name, headers: {} },
    kind: SpanKind.INTERNAL,
    name,
    handler,
    attributes: () => scheduledJobAttributes(job),
  } as const;
  return () => operation;
}

function jobOf(method: Method): ScheduledJob {
  const name = Reflect.getMetadata(JOB_NAME, method) as string | undefined;
  const options = [CRON, INTERVAL, TIMEOUT].map(key => Reflect.getMetadata(key, method) as Record<string, unknown> | undefined);
  const [cron, interval, timeout] = options;
  if (cron !== undefined) return { type: 'cron', name: textOf(cron['name']) ?? name, cron: cronOf({ source: cron['cronTime'] }) };
  const milliseconds = (interval ?? timeout)?.['timeout'];
  return {
    type: interval === undefined ? 'timeout' : 'interval',
    name,
    milliseconds: typeof milliseconds === 'number' ? milliseconds : undefined,
  };
}

/** Returns the cron expression, or the date of a job that runs once (a DateTime of luxon if the job exists already). */
function cronOf(cronTime: unknown): string | undefined {
  const source: unknown = isObject(cronTime) ? Reflect.get(cronTime, 'source') : undefined;
  const date: unknown = hasMethods(source, 'toJSDate') ? (source as { toJSDate(): unknown }).toJSDate() : source;
  return date instanceof Date ? date.toISOString() : textOf(date);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** Returns the key of the method in its class. A decorator may have replaced the method by a function with another name. */
function nameOf(method: Method, owner: object): string {
  for (let prototype: object | null = owner; prototype !== null; prototype = Object.getPrototypeOf(prototype) as object | null) {
    for (const key of Object.getOwnPropertyNames(prototype)) {
      if (Object.getOwnPropertyDescriptor(prototype, key)?.value === method) return key;
    }
  }
  return method.name;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
