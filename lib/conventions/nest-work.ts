/** What spans of work inside a Nest application are called and carry: ticks, events, commands. The field has no conventions for them. */
import type { Attributes } from '@opentelemetry/api';

/** What stands for the system in rules, where a broker's name would stand. */
export const SCHEDULE = 'nestjs.schedule';
export const EVENT_EMITTER = 'nestjs.event-emitter';
export const CQRS = 'nestjs.cqrs';
export const COMMAND_LINE = 'nest-commander';

/** The names of the spans of an application's start. */
export const START_UP = { name: 'application start', instantiation: 'instantiation', listen: 'listen' } as const;

/** A lifecycle hook of a module or provider. */
export function hookAttributes(className: string, hook: string): Attributes {
  return { 'nestjs.hook': hook, 'code.function.name': `${className}.${hook}` };
}

/** A job of @nestjs/schedule. */
export interface ScheduledJob {
  readonly type: 'cron' | 'interval' | 'timeout';
  /** Under which the job is registered, where somebody gave it a name. */
  readonly name?: string | undefined;
  /** The expression of a cron job. */
  readonly cron?: string | undefined;
  /** Of an interval or timeout. */
  readonly milliseconds?: number | undefined;
}

export function scheduledJobAttributes({ type, name, cron, milliseconds }: ScheduledJob): Attributes {
  const attributes: Attributes = { 'nestjs.schedule.type': type };
  if (name !== undefined) attributes['nestjs.schedule.name'] = name;
  if (cron !== undefined) attributes['nestjs.schedule.cron'] = cron;
  if (milliseconds !== undefined) attributes['nestjs.schedule.milliseconds'] = milliseconds;
  return attributes;
}

/** `pattern` is the event as the listener declares it, and names the span; `event` is the one that was emitted. */
export function eventAttributes(pattern: string, event: string | undefined): Attributes {
  const attributes: Attributes = { 'nestjs.event.pattern': pattern };
  if (event !== undefined) attributes['nestjs.event.name'] = event;
  return attributes;
}

/** A command, query or event of @nestjs/cqrs, by its class, which names the span. */
export function cqrsAttributes(type: 'command' | 'query' | 'event', className: string, saga?: string): Attributes {
  const attributes: Attributes = { 'nestjs.cqrs.type': type, 'nestjs.cqrs.name': className };
  if (saga !== undefined) attributes['nestjs.cqrs.saga'] = saga;
  return attributes;
}
