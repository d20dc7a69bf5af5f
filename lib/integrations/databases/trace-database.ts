/** Traces a database client that is no provider. */
import { messages } from '../../options/messages.js';

type TraceInstance = (database: unknown) => void;

/** Shared by all copies of this package, because only one of them may run an application. */
interface Given {
  /** Set once the code for the libraries is loaded. */
  trace?: TraceInstance;
  /** What was given before. */
  readonly waiting: Set<unknown>;
}
const GIVEN = Symbol.for('nestjs-tracing/given-databases');
const given: Given = ((globalThis as { [GIVEN]?: Given })[GIVEN] ??= { waiting: new Set() });

/**
 * Traces the statements of a pool, client or ORM that Nest does not own: each one gets a CLIENT span. Returns the same object; a second
 * call changes nothing. What providers and controllers are, or hold in a property, is traced already. Spans follow the semantic conventions
 * for databases.
 *
 * @throws TypeError if `database` belongs to no library that can be traced this way. Before the first application starts, its start throws
 * the error instead.
 * @example
 * export const pool = traceDatabase(new Pool({ connectionString }));
 *
 * @publicApi
 */
export function traceDatabase<T extends object>(database: T): T {
  const isObject = (typeof database === 'object' && (database as unknown) !== null) || typeof database === 'function';
  if (!isObject) throw new TypeError(messages.notADatabase(database));
  if (given.trace === undefined) given.waiting.add(database);
  else given.trace(database);
  return database;
}

/** Traces what was given before, and from now on at once. Throws what is wrong after all others are traced. */
export function traceWaiting(trace: TraceInstance): void {
  given.trace = trace;
  const errors: unknown[] = [];
  for (const database of given.waiting) {
    try {
      trace(database);
    } catch (error) {
      errors.push(error);
    }
  }
  given.waiting.clear();
  if (errors.length > 0) throw errors[0];
}
