/** OpenTelemetry's own log: its lines go to Nest's Logger, unless somebody else already listens. */
import { format } from 'node:util';
import { diag, type DiagLogger, DiagLogLevel } from '@opentelemetry/api';
import { Logger } from '@nestjs/common';
import { readName } from '../tracing.environment.js';

const LEVELS = {
  none: DiagLogLevel.NONE,
  error: DiagLogLevel.ERROR,
  warn: DiagLogLevel.WARN,
  info: DiagLogLevel.INFO,
  debug: DiagLogLevel.DEBUG,
  verbose: DiagLogLevel.VERBOSE,
  all: DiagLogLevel.ALL,
};
const NAMES = Object.keys(LEVELS) as (keyof typeof LEVELS)[];
/** The SDK reads variables that this library has already checked, and that may say more here than there. */
const SAID_ALREADY = /^OTEL_TRACES_SAMPLER|^Unknown value .* for OTEL_\w+_LIMIT/;
/** Kinds of lines that are told apart; beyond it nothing new is said. */
const MAX_KINDS = 100;

const LISTENING = Symbol.for('nestjs-tracing/diagnostics');
interface State {
  /** Applications that run. */
  count: number;
  /** What the API's slot holds while it is ours. */
  ours: unknown;
}
const state: State = ((globalThis as { [LISTENING]?: State })[LISTENING] ??= { count: 0, ours: undefined });
const API = Symbol.for('opentelemetry.js.api.1');
const current = (): unknown => (globalThis as { [API]?: { diag?: unknown } })[API]?.diag;

/** Listens from now on, at `OTEL_LOG_LEVEL`; without it only to warnings, each kind once. Returns how to stop. @internal */
export function listenToDiagnostics(env: NodeJS.ProcessEnv): () => void {
  state.count++;
  if (current() === undefined) {
    const level = readName(env, 'OTEL_LOG_LEVEL', NAMES, undefined);
    const logger = nestLogger();
    diag.setLogger(level === undefined ? onceEach(logger) : logger, LEVELS[level ?? 'warn']);
    state.ours = current();
  }
  let isListening = true;
  return () => {
    if (isListening && --state.count === 0 && state.ours !== undefined && current() === state.ours) diag.disable();
    isListening = false;
  };
}

function nestLogger(): DiagLogger {
  const logger = new Logger('Tracing');
  const write =
    (method: 'error' | 'warn' | 'log' | 'debug' | 'verbose') =>
    (message: string, ...details: unknown[]) => {
      if (SAID_ALREADY.test(message)) return;
      try {
        logger[method](format(readable(message), ...details));
      } catch {
        // A logger that throws must not take the request down.
      }
    };
  return { error: write('error'), warn: write('warn'), info: write('log'), debug: write('debug'), verbose: write('verbose') };
}

/** Lines differ in ids and counts; what is left of them is their kind. */
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
      write(message, ...details);
    };
  return { ...logger, error: once(logger.error), warn: once(logger.warn) };
}

/** The SDK reports errors as JSON of all their fields. */
function readable(message: string): string {
  try {
    const { name, message: text } = JSON.parse(message) as { name?: unknown; message?: unknown };
    return typeof text === 'string' ? `${typeof name === 'string' ? name : 'Error'}: ${text}` : message;
  } catch {
    return message;
  }
}
