/**
 * Where the ticks of @nestjs/schedule enter: the methods with `@Cron()`, `@Interval()` and `@Timeout()`, and the jobs that are put into the
 * SchedulerRegistry later. What is wrapped is what the scheduler calls: who calls such a method by hand gets the method.
 */
import { SpanKind } from '@opentelemetry/api';
import { SCHEDULE, type ScheduledJob, scheduledJobAttributes } from '../conventions/nest-work.js';
import { codeName } from '../conventions/code.js';
import { hasMethods, memberOf } from '../local/has-methods.js';
import { isNoSpan } from '../local/no-span.decorator.js';
import { type Method, replaceMethod, undoAll } from '../local/replace-method.js';
import type { Arrivals } from './arrival.js';
import type { Entrance } from './static-providers.js';

/** What the decorators leave on a method. */
const JOB_NAME = 'SCHEDULER_NAME';
const CRON = 'SCHEDULE_CRON_OPTIONS';
const INTERVAL = 'SCHEDULE_INTERVAL_OPTIONS';
const TIMEOUT = 'SCHEDULE_TIMEOUT_OPTIONS';

/** What the scheduler calls and what has its span already. */
const ticking = new WeakSet<object>();

/** Methods with decorators. @internal */
export function scheduleEntrance(arrivals: Arrivals): Entrance {
  return ({ instance: explorer }) => {
    if (!hasMethods(explorer, 'explore', 'lookupSchedulers', 'wrapFunctionInTryCatchBlocks')) return undefined;
    return replaceMethod(explorer, 'wrapFunctionInTryCatchBlocks', makeTick => {
      return function (method, owner) {
        if (typeof method !== 'function' || !isObject(owner)) return makeTick.call(this, method, owner);
        const tick = makeTick.call(this, tracedMethod(method as Method, owner, arrivals), owner);
        if (typeof tick === 'function') ticking.add(tick);
        return tick;
      };
    });
  };
}

/** Jobs that are added to the registry by hand. @internal */
export function dynamicJobsEntrance(arrivals: Arrivals): Entrance {
  return ({ instance: registry }) => {
    if (!hasMethods(registry, 'addCronJob', 'addInterval', 'addTimeout', 'getCronJobs')) return undefined;
    const wrap = (kind: 'cronJobs' | 'intervals' | 'timeouts', method: string, trace: (name: string, added: object) => void) => {
      // Numbers are what fake timers, and browsers, have.
      const found = (name: unknown, added: unknown): void => {
        if (isObject(added)) trace(String(name), added);
      };
      // Providers may add jobs when they are made.
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
      wrap('cronJobs', 'addCronJob', (name, job) => traceCronJob(name, job, arrivals)),
      wrap('intervals', 'addInterval', (name, timer) => traceTimer('interval', name, timer, arrivals)),
      wrap('timeouts', 'addTimeout', (name, timer) => traceTimer('timeout', name, timer, arrivals)),
    ]);
  };
}

function tracedMethod(method: Method, owner: object, arrivals: Arrivals): Method {
  const classRef = owner.constructor;
  const handler = { className: classRef.name, method: nameOf(method, owner) };
  const job = jobOf(method);
  const isUntraced = isNoSpan(classRef, handler.method);
  const describe = describing(codeName(handler.className, handler.method), job, handler);
  return function (...args) {
    return arrivals.serve(describe, () => method.apply(this, args), isUntraced);
  };
}

/** The callbacks of a CronJob: it may skip a tick, and does not always wait for what they return. */
function traceCronJob(name: string, job: object, arrivals: Arrivals): void {
  const callbacks = memberOf(job, '_callbacks');
  if (!Array.isArray(callbacks)) return;
  const cron = cronOf(Reflect.get(job, 'cronTime'));
  for (const [index, callback] of (callbacks as unknown[]).entries()) {
    if (typeof callback === 'function' && !ticking.has(callback)) {
      callbacks[index] = tracedCallback(name, callback as Method, { type: 'cron', name, cron }, arrivals);
    }
  }
}

/** A timer of Node's that runs already: there is no public way to its callback. */
function traceTimer(type: 'interval' | 'timeout', name: string, timer: object, arrivals: Arrivals): void {
  const callback = memberOf(timer, '_onTimeout');
  if (typeof callback !== 'function' || ticking.has(callback)) return;
  const milliseconds = memberOf(timer, '_idleTimeout');
  const job = { type, name, milliseconds: typeof milliseconds === 'number' ? milliseconds : undefined };
  Reflect.set(timer, '_onTimeout', tracedCallback(name, callback as Method, job, arrivals));
}

function tracedCallback(name: string, callback: Method, job: ScheduledJob, arrivals: Arrivals): Method {
  const describe = describing(name, job, undefined);
  const traced: Method = function (...args) {
    return arrivals.serve(describe, () => callback.apply(this, args));
  };
  ticking.add(traced);
  return traced;
}

/** The same for every tick. */
function describing(name: string, job: ScheduledJob, handler: { className: string; method: string } | undefined) {
  const arrival = {
    // Without headers: neither who set up the job nor the application's start has anything to do with the tick.
    message: { system: SCHEDULE, destination: name, url: name, headers: {} },
    kind: SpanKind.INTERNAL,
    name,
    handler,
    attributes: () => scheduledJobAttributes(job),
  } as const;
  return () => arrival;
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

/** An expression, or the one date of a job that runs once, which is one of luxon's where the job is made already. */
function cronOf(cronTime: unknown): string | undefined {
  const source: unknown = isObject(cronTime) ? Reflect.get(cronTime, 'source') : undefined;
  const date: unknown = hasMethods(source, 'toJSDate') ? (source as { toJSDate(): unknown }).toJSDate() : source;
  return date instanceof Date ? date.toISOString() : textOf(date);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** Decorators may have wrapped the method and not kept its name. */
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
