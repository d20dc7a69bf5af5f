/** Traces `pg`: pools and clients, prepared statements, callbacks, cursors and streams. Carries all libraries that use its pools. */
import { type Context, context } from '@opentelemetry/api';
import { memberAt } from '../../conventions/peer.js';
import { messages } from '../../options/messages.js';
import { reportTrouble } from '../../options/trouble.js';
import { inContext } from '../../spans/context.js';
import type { OutboundWork } from '../../spans/outbound.js';
import { track } from '../../spans/track.js';
import { hasMethods, isTouchable, memberOf } from '../../wrapping/has-methods.js';
import { type Method, replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { installOnce, Installations } from '../../wrapping/shared-installation.js';
import { Database } from './attributes.js';
import type { DatabaseLibrary } from './library.js';
import { isWrappedByOthers } from './official.js';
import { endingCallback, endingPromise, startStatement } from './query.js';

export const pg: DatabaseLibrary = {
  name: 'pg',
  find: value => (isPool(value) || isClient(value) ? value : undefined),
  install: target => (isPool(target) ? installOnPool(target) : installOnClient(target)),
};

function isPool(value: object): boolean {
  return hasMethods(value, 'connect', 'query', 'end', 'newClient') && Array.isArray(memberOf(value, '_clients'));
}

function isClient(value: object): boolean {
  return hasMethods(value, 'connect', 'query', 'end', 'on', 'escapeIdentifier', 'escapeLiteral');
}

function installOnPool(pool: object): Undo {
  const clients = new Installations();
  const addAll = (): void => {
    for (const client of memberOf(pool, '_clients') as unknown[]) {
      if (isTouchable(client) && isClient(client)) clients.add(client, () => installOnClient(client));
    }
  };
  addAll();
  const addNew = (): void => {
    try {
      addAll();
    } catch (error) {
      reportTrouble('provider', messages.providerNotTraced(), error);
    }
  };
  return undoAll([
    clients.undo,
    // Before the user's `onConnect` and listeners get the client, as they may send the first statements.
    replaceMethod(pool, 'newClient', newClient => {
      return function (...args) {
        const result = newClient.apply(this, args);
        addNew();
        return result;
      };
    }),
    // A call that waits for a client goes on when another request releases one, and would run in the context of that request.
    replaceMethod(pool, 'connect', connect => {
      return function (callback, ...others) {
        return connect.call(this, typeof callback === 'function' ? callingIn(context.active(), callback as Method) : callback, ...others);
      };
    }),
  ]);
}

/** Returns a function that calls `fn` in `ctx`. */
function callingIn(ctx: Context, fn: Method): Method {
  return function (...args) {
    return inContext(ctx, fn, this, ...args);
  };
}

const TRACED = Symbol.for('nestjs-tracing/pg-client');

/** The libraries above `pg` hand out its clients, so a client may be found more than once. */
function installOnClient(client: object): Undo {
  return installOnce(client, TRACED, () =>
    replaceMethod(client, 'query', query => {
      let database: Database | undefined;
      return function (...args) {
        if (isWrappedByOthers(query)) return query.apply(this, args);
        database ??= databaseOf(client);
        const caller = context.active();
        const [given, values] = args;
        const work = startStatement(database, textOf(given), 'postgresql', { parameters: parametersOf(given, values) }, caller);
        return work === undefined ? query.apply(this, args) : send(work, query, this, args, caller);
      };
    }),
  );
}

/** Calls the original method. The span ends with its promise, with its callback, or with the statement object that was given. */
function send(work: OutboundWork, query: Method, client: unknown, args: unknown[], caller: Context): unknown {
  const [given] = args;
  const position = args.findIndex(arg => typeof arg === 'function');
  if (isSubmittable(given)) {
    return guardedSend(work, () => {
      follow(given, work, caller);
      return query.apply(client, args);
    });
  }
  if (position > 0) {
    const ending = endingCallback(work, args[position] as Method, caller);
    return guardedSend(work, () => query.apply(client, args.with(position, ending)));
  }
  const inner = typeof given === 'string' ? undefined : memberAt(given, 'callback');
  if (typeof inner === 'function') {
    const config = Object.create(given as object, {
      callback: { value: endingCallback(work, inner as Method, caller), writable: true },
    }) as object;
    return guardedSend(work, () => query.call(client, config, ...args.slice(1)));
  }
  // Nothing below makes spans, so the caller's context may stay active.
  const result = guardedSend(work, () => query.apply(client, args));
  return isNativePromise(result) ? endingPromise(work, result) : track(result, work, () => undefined);
}

/** The user may have set another class of promises. */
function isNativePromise(result: unknown): result is Promise<unknown> {
  return result instanceof Promise && result.constructor === Promise;
}

function guardedSend<T>(work: OutboundWork, fn: () => T): T {
  try {
    return fn();
  } catch (thrown) {
    work.fail(thrown);
    throw thrown;
  }
}

/** A `Query`, `Cursor` or `QueryStream`. The client calls its methods when the database answers. */
interface Submittable {
  callback?: unknown;
}

function isSubmittable(given: unknown): given is Submittable {
  return typeof given === 'object' && given !== null && typeof (given as { submit?: unknown }).submit === 'function';
}

/** A cursor or stream that is closed early also gets `handleReadyForQuery`. */
function follow(statement: Submittable, work: OutboundWork, caller: Context): void {
  const { callback } = statement;
  if (typeof callback === 'function') statement.callback = context.bind(caller, callback);
  const before = {
    handlePortalSuspended: () => undefined,
    handleCommandComplete: () => undefined,
    handleReadyForQuery: () => work.succeed(undefined),
    handleError: (error: unknown) => work.fail(error),
  };
  for (const [name, report] of Object.entries(before)) {
    replaceMethod(statement, name, handle => {
      return function (...args) {
        report(args[0]);
        return inContext(caller, handle, this, ...args);
      };
    });
  }
}

function textOf(given: unknown): string {
  const text = typeof given === 'string' ? given : (memberAt(given, 'text') ?? memberAt(given, 'cursor', 'text'));
  return typeof text === 'string' ? text : '';
}

function parametersOf(given: unknown, values: unknown): unknown {
  return Array.isArray(values) ? values : (memberAt(given, 'values') ?? memberAt(given, 'cursor', 'values'));
}

function databaseOf(client: object): Database {
  const { database, host, port } = client as { database?: unknown; host?: unknown; port?: unknown };
  return new Database({
    system: 'postgresql',
    namespace: typeof database === 'string' ? database : undefined,
    address: typeof host === 'string' && host !== '' ? host : undefined,
    port: Number.isInteger(Number(port)) ? Number(port) : undefined,
  });
}
