/** Traces `better-sqlite3` and Node's own `node:sqlite`: prepared statements, iterations and scripts. Their calls are synchronous. */
import type { OutboundWork } from '../../spans/outbound.js';
import { hasMethods, isTouchable, memberOf } from '../../wrapping/has-methods.js';
import { type Method, replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { replaceOnPrototype } from '../../wrapping/shared-installation.js';
import { Database } from './attributes.js';
import type { DatabaseLibrary } from './library.js';
import { startStatement } from './query.js';

export const sqlite: DatabaseLibrary = {
  name: 'sqlite',
  find: value => (isBetterSqlite(value) || isNodeSqlite(value) ? value : undefined),
  install: installOn,
};

function isBetterSqlite(value: object): boolean {
  return hasMethods(value, 'prepare', 'exec', 'pragma', 'transaction', 'close');
}

function isNodeSqlite(value: object): boolean {
  const classRef = memberOf(value, 'constructor');
  return hasMethods(value, 'prepare', 'exec', 'open', 'close') && typeof classRef === 'function' && classRef.name === 'DatabaseSync';
}

/** The traced connections of this copy of the package. */
const databases = new WeakMap<object, Database>();

/** What is known of a statement. */
interface Prepared {
  readonly connection: object;
  readonly text: string;
}

const prepared = new WeakMap<object, Prepared>();

function installOn(connection: object): Undo {
  databases.set(connection, databaseOf(connection));
  const steps: Undo[] = [() => databases.delete(connection)];
  let knowsClass = false;
  const learnClass = (statement: unknown): void => {
    const classRef = !knowsClass && isTouchable(statement) ? memberOf(statement, 'constructor') : undefined;
    if (typeof classRef !== 'function' || classRef === Object) return;
    knowsClass = true;
    steps.push(replaceOnPrototype(classRef, ['run', 'get', 'all', 'iterate'], wrap));
  };
  steps.push(
    replaceMethod(connection, 'prepare', prepare => {
      try {
        // Only a statement leads to its class. This one is not run.
        learnClass(prepare.call(connection, 'SELECT 1'));
      } catch {
        // The connection is closed or busy. The next statement leads there, too.
      }
      return function (...args) {
        const [text] = args;
        try {
          const statement = prepare.apply(this, args);
          learnClass(statement);
          if (isTouchable(statement)) prepared.set(statement, { connection, text: textOf(text) });
          return statement;
        } catch (thrown) {
          // A statement that SQLite refuses is never run, so its span is made here.
          start(connection, textOf(text))?.fail(thrown);
          throw thrown;
        }
      };
    }),
    replaceMethod(connection, 'exec', exec => {
      return function (...args) {
        const work = start(connection, textOf(args[0]));
        return work === undefined ? exec.apply(this, args) : ending(work, () => exec.apply(this, args));
      };
    }),
  );
  return undoAll(steps);
}

/** The libraries refuse anything that is no text. */
function textOf(given: unknown): string {
  return typeof given === 'string' ? given : '';
}

function wrap(method: Method, name: string): Method {
  return function (...args) {
    const { connection, text } = preparedOf(this) ?? {};
    const work = connection === undefined || text === undefined ? undefined : start(connection, text, args);
    if (work === undefined) return method.apply(this, args);
    return name === 'iterate' ? iterate(work, () => method.apply(this, args)) : ending(work, () => method.apply(this, args));
  };
}

/** The statements of `better-sqlite3` know their text and connection, also those of `transaction()` and `pragma()`. */
function preparedOf(statement: unknown): Prepared | undefined {
  if (!isTouchable(statement)) return undefined;
  const known = prepared.get(statement);
  if (known !== undefined) return known;
  const connection = memberOf(statement, 'database');
  const text = memberOf(statement, 'source');
  return isTouchable(connection) && typeof text === 'string' ? { connection, text } : undefined;
}

function start(connection: object, text: string, args: readonly unknown[] = []): OutboundWork | undefined {
  const database = databases.get(connection);
  const [first] = args;
  const parameters = args.length === 1 && isTouchable(first) && !ArrayBuffer.isView(first) ? first : args;
  return database === undefined ? undefined : startStatement(database, text, 'sqlite', { parameters });
}

function ending<T>(work: OutboundWork, call: () => T): T {
  try {
    const result = work.run(call);
    work.succeed(result);
    return result;
  } catch (thrown) {
    work.fail(thrown);
    throw thrown;
  }
}

/** The span ends with the last row, with an early `return()`, or with an error. */
function iterate(work: OutboundWork, call: () => unknown): unknown {
  const guarded = (step: () => unknown, isLast: (result: unknown) => boolean): unknown => {
    try {
      const result = work.hasEnded ? step() : work.run(step);
      if (isLast(result)) work.succeed(undefined);
      return result;
    } catch (thrown) {
      work.fail(thrown);
      throw thrown;
    }
  };
  const iterator = guarded(call, result => !hasMethods(result, 'next'));
  if (!isTouchable(iterator)) return iterator;
  for (const name of ['next', 'return', 'throw']) {
    replaceMethod(iterator, name, method => {
      return function (...args) {
        const isLast = (result: unknown): boolean => name !== 'next' || (result as { done?: unknown } | undefined)?.done === true;
        return guarded(() => method.apply(this, args), isLast);
      };
    });
  }
  return iterator;
}

/** The name of the database is the path of its file. A database in memory has none. */
function databaseOf(connection: object): Database {
  let path: unknown;
  try {
    const { name, location } = connection as { name?: unknown; location?: () => unknown };
    path = name ?? location?.call(connection);
  } catch {
    // The connection is not open yet.
  }
  return new Database({ system: 'sqlite', namespace: typeof path === 'string' && !IN_MEMORY.has(path) ? path : undefined });
}

const IN_MEMORY: ReadonlySet<string> = new Set(['', ':memory:']);
