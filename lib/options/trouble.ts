/** Keeps failures of tracing away from the application. It catches errors of callbacks and logs each kind of failure once. */
import { Logger } from '@nestjs/common';
import { messages } from './messages.js';

const logger = new Logger('Tracing');
const counts = new Map<string, number>();

/** Logs the first failure of a kind through Nest's Logger and counts the others. Never throws. */
export function reportTrouble(kind: string, message: string, error?: unknown): void {
  const seen = counts.get(kind) ?? 0;
  counts.set(kind, seen + 1);
  if (seen > 0) return;
  try {
    logger.warn(error === undefined ? message : `${message} (${describe(error)})`);
  } catch {
    // An error of the logger must not fail the request.
  }
}

/**
 * Runs a user's callback and returns its result. If it throws, the error is reported once and `fallback` is returned. If it returns a
 * promise, the promise is not awaited and `fallback` is returned.
 */
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
