/** Sends OpenTelemetry's own log to Nest's Logger, unless a diagnostic logger is already registered. */
import { format } from 'node:util';
import { diag, type DiagLogger, DiagLogLevel } from '@opentelemetry/api';
import { Logger } from '@nestjs/common';
import { share } from '../wrapping/shared-installation.js';
import { readName } from '../options/environment.js';

const LEVELS = ['none', 'error', 'warn', 'info', 'debug', 'verbose', 'all'] as const;
/** SDK warnings about variables that this library has already checked. Some values are known to this library only. */
const ALREADY_CHECKED = /^OTEL_TRACES_SAMPLER|^Unknown value .* for OTEL_\w+_LIMIT/;
const MAX_KINDS = 100;

const LISTENING = Symbol.for('nestjs-tracing/diagnostics');
const API = Symbol.for('opentelemetry.js.api.1');
const current = (): unknown => (globalThis as { [API]?: { diag?: unknown } })[API]?.diag;

/**
 * Registers a logger with the level of `OTEL_LOG_LEVEL`. If that is unset, it logs each kind of warning once. Returns a function that stops
 * it. @internal
 */
export function listenToDiagnostics(): () => void {
  const { installation: listening, release } = share(globalThis, LISTENING, beginListening);
  if (current() === undefined) {
    const level = readName(process.env, 'OTEL_LOG_LEVEL', LEVELS, undefined);
    const logger = nestLogger();
    const name = (level ?? 'warn').toUpperCase() as Uppercase<(typeof LEVELS)[number]>;
    diag.setLogger(level === undefined ? onceEach(logger) : logger, DiagLogLevel[name]);
    listening.ours = current();
  }
  return release;
}

function beginListening() {
  const listening = {
    /** The value in the API's slot while our logger is registered. */
    ours: undefined as unknown,
    undo() {
      if (listening.ours !== undefined && current() === listening.ours) diag.disable();
    },
  };
  return listening;
}

function nestLogger(): DiagLogger {
  const logger = new Logger('Tracing');
  const write =
    (method: 'error' | 'warn' | 'log' | 'debug' | 'verbose') =>
    (message: string, ...details: unknown[]) => {
      if (ALREADY_CHECKED.test(message)) return;
      try {
        logger[method](format(readable(message), ...details));
      } catch {
        // An error of the logger must not fail the request.
      }
    };
  return { error: write('error'), warn: write('warn'), info: write('log'), debug: write('debug'), verbose: write('verbose') };
}

/** Returns the details of a line for the log: errors without stack, and no bytes. */
function inOneLine(details: readonly unknown[]): unknown[] {
  return details.filter(detail => !(detail instanceof Uint8Array)).map(detail => (detail instanceof Error ? String(detail) : detail));
}

/** Logs each kind of line once. Lines that differ only in ids and numbers are of the same kind. */
function onceEach(logger: DiagLogger): DiagLogger {
  const kinds = new Set<string>();
  const once =
    (write: DiagLogger['warn']) =>
    (message: string, ...details: unknown[]) => {
      const kind = format(message)
        .slice(0, 200)
        .replace(/[0-9a-f]*[0-9][0-9a-f]*/g, '#');
      if (kinds.has(kind) || kinds.size >= MAX_KINDS) return;
      kinds.add(kind);
      write(message, ...inOneLine(details));
    };
  return { ...logger, error: once(logger.error), warn: once(logger.warn) };
}

/** Returns `Error: message` for an error that the SDK logs as JSON. */
function readable(message: string): string {
  try {
    const { name, message: text } = JSON.parse(message) as { name?: unknown; message?: unknown };
    return typeof text === 'string' ? `${typeof name === 'string' ? name : 'Error'}: ${text}` : message;
  } catch {
    return message;
  }
}
