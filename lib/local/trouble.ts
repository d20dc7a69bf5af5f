/** Keeps trouble of tracing away from the application: user callbacks run guarded, each kind of failure is logged once and then counted. */
import { Logger } from '@nestjs/common';
import { messages } from '../tracing.messages.js';

const logger = new Logger('Tracing');
const counts = new Map<string, number>();

/** Logs the first trouble of a kind through Nest's Logger and counts the others. Never throws. */
export function reportTrouble(kind: string, message: string, error?: unknown): void {
  const seen = counts.get(kind) ?? 0;
  counts.set(kind, seen + 1);
  if (seen > 0) return;
  try {
    logger.warn(error === undefined ? message : `${message} (${describe(error)})`);
  } catch {
    // A logger that throws must not take the request down.
  }
}

/** Runs a user's callback; when it throws, reports `option` once and returns `fallback`. Nobody waits for a promise: it counts as `fallback`. */
export function guarded<T>(option: string, callback: () => T, fallback: T): T {
  const failed = (error: unknown): T => {
    reportTrouble(`callback:${option}`, messages.callbackFailed(option), error);
    return fallback;
  };
  try {
    const result = callback();
    if (!(result instanceof Promise)) return result;
    result.catch(failed);
    return fallback;
  } catch (error) {
    return failed(error);
  }
}

function describe(error: unknown): string {
  try {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  } catch {
    return 'an error that cannot be printed';
  }
}
