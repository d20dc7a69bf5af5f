/** Attributes of work inside the process that Nest's packages call: jobs, events, commands, queries, lifecycle hooks, CLI commands. */
import { basename } from 'node:path';
import { type Attributes, type Span, SpanStatusCode } from '@opentelemetry/api';

// OpenTelemetry has no semantic conventions for scheduled jobs, events, cqrs and hooks.

/** A job of @nestjs/schedule. */
export interface ScheduledJob {
  readonly type: 'cron' | 'interval' | 'timeout';
  /** The name of the job, if it was registered with one. */
  readonly name?: string | undefined;
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

/**
 * Returns the attributes of an event. `pattern` is the event name that the listener declares, and names the span. `event` is the emitted
 * event.
 */
export function eventAttributes(pattern: string, event: string | undefined): Attributes {
  const attributes: Attributes = { 'nestjs.event.pattern': pattern };
  if (event !== undefined) attributes['nestjs.event.name'] = event;
  return attributes;
}

/**
 * Returns the attributes of a command, query, event or failed saga of @nestjs/cqrs. `saga` is the method of the saga, which names the span.
 */
export function cqrsAttributes(type: 'command' | 'query' | 'event' | 'saga', className: string, saga?: string): Attributes {
  const attributes: Attributes = { 'nestjs.cqrs.type': type, 'nestjs.cqrs.name': className };
  if (saga !== undefined) attributes['nestjs.cqrs.saga'] = saga;
  return attributes;
}

/** Returns the attributes of a lifecycle hook of a module or provider. */
export function hookAttributes(className: string, hook: string): Attributes {
  return { 'nestjs.hook': hook, 'code.function.name': `${className}.${hook}` };
}

/** Returns the keys for short calls of a method that have no span: how many, and their duration together in milliseconds. */
export function callCountKeys(method: string) {
  return { count: `nestjs.calls.${method}.count`, duration: `nestjs.calls.${method}.duration_ms` } as const;
}

/** Returns the attributes of a nest-commander command (semantic conventions for CLI programs, in development). */
export function commandAttributes(): Attributes {
  const { execPath, pid } = process;
  return { 'process.executable.name': basename(execPath), 'process.executable.path': execPath, 'process.pid': pid };
}

/** Records the exit code of the process. Every code except 0 is a failure. */
export function recordExitCode(span: Span, code: number): void {
  if (!span.isRecording()) return;
  span.setAttribute('process.exit.code', code);
  if (code === 0) return;
  span.setAttribute('error.type', String(code));
  span.setStatus({ code: SpanStatusCode.ERROR });
}
