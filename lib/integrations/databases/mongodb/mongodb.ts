/**
 * Traces `mongodb` (since 6.4) and Mongoose: each command that a client sends, on the connections of its pools. The driver's command
 * monitoring would show the same commands, but with it the driver parses all answers twice, and it cannot be switched on after `connect()`.
 */
import { types } from 'node:util';
import { type Context, context, type Span } from '@opentelemetry/api';
import { markFailure } from '../../../conventions/failure.js';
import { memberAt } from '../../../conventions/peer.js';
import type { OutboundWork } from '../../../spans/outbound.js';
import { runTracked } from '../../../spans/track.js';
import { hasMethods, isTouchable, memberOf } from '../../../wrapping/has-methods.js';
import { replaceMethod, type Undo, undoAll } from '../../../wrapping/replace-method.js';
import { Installations } from '../../../wrapping/shared-installation.js';
import { type DatabaseAddress, statusAttributes } from '../attributes.js';
import type { DatabaseLibrary } from '../library.js';
import { batchSizeOf, commandName, describeCommand, isTailing, type MongodbCommand } from './commands.js';
import { isWrappedByOthers, loadedModules } from '../official.js';
import { startCommand } from '../query.js';

export const mongodb: DatabaseLibrary = {
  name: 'mongodb',
  find: clientIn,
  install: target => installOnClient(target as Client),
};

interface Client {
  on(event: 'connectionPoolReady', listener: () => void): unknown;
  off(event: 'connectionPoolReady', listener: () => void): unknown;
}

/** Returns the client itself, or the client of a database, a collection, or a connection, model or instance of Mongoose. */
function clientIn(value: object): object | undefined {
  if (isClient(value)) return value;
  const own = memberOf(value, 'client');
  if (isClient(own)) return own;
  const [first] = listOf(memberOf(value, 'connections'));
  // A model is a class. Its connection is in `db`.
  for (const connection of [typeof value === 'function' ? memberOf(value, 'db') : undefined, first]) {
    const client = isTouchable(connection) ? memberOf(connection, 'client') : undefined;
    if (isClient(client)) return client;
  }
  return undefined;
}

function isClient(value: unknown): value is Client {
  return hasMethods(value, 'connect', 'close', 'db', 'startSession', 'withSession', 'on', 'off');
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Returns true for a client of Mongoose whose official instrumentation makes a span for each call. These are not active in the call. */
function isTracedAbove(client: Client): boolean {
  if (memberAt(client, 'options', 'driverInfo', 'name') !== 'Mongoose') return false;
  return loadedModules('mongoose/lib/query.js').some(query => {
    const exec: unknown = typeof query === 'function' ? memberAt(query.prototype, 'exec') : undefined;
    return typeof exec === 'function' && isWrappedByOthers(exec);
  });
}

/** A pool that is not ready gives no connection, and a client may get further pools at any time. */
function installOnClient(client: Client): Undo {
  if (isTracedAbove(client)) return () => undefined;
  const installed = new Installations();
  const addPools = (): void => {
    const servers: unknown = memberAt(client, 'topology', 's', 'servers');
    if (!types.isMap(servers)) return;
    for (const server of servers.values()) {
      const pool: unknown = memberAt(server, 'pool');
      if (hasMethods(pool, 'checkOut')) installed.add(pool, () => installOnPool(pool, installed));
    }
  };
  addPools();
  client.on('connectionPoolReady', addPools);
  return undoAll([installed.undo, () => client.off('connectionPoolReady', addPools)]);
}

function installOnPool(pool: object, installed: Installations): Undo {
  const server = addressOf(memberAt(pool, 'options', 'hostAddress'));
  const add = (connection: unknown): unknown => {
    if (hasMethods(connection, 'command')) installed.add(connection, () => installOnConnection(connection, server));
    return connection;
  };
  return replaceMethod(pool, 'checkOut', checkOut => {
    return function (...args) {
      const connection = checkOut.apply(this, args);
      // Before 6.4 it calls a callback.
      return types.isPromise(connection) ? connection.then(add) : connection;
    };
  });
}

function addressOf(host: unknown): DatabaseAddress {
  const { host: name, port, socketPath } = (host ?? {}) as { host?: unknown; port?: unknown; socketPath?: unknown };
  const address = [socketPath, name].find(value => typeof value === 'string');
  return { system: 'mongodb', address, port: typeof port === 'number' ? port : undefined };
}

function installOnConnection(connection: object, server: DatabaseAddress): Undo {
  return replaceMethod(connection, 'command', command => {
    if (isWrappedByOthers(command)) return command;
    return function (...args) {
      const work = start(server, args);
      return work === undefined ? command.apply(this, args) : runTracked(work, () => command.apply(this, args));
    };
  });
}

/** The contexts in which cursors were opened, by the session that the driver makes for each one. */
const openers = new WeakMap<object, Context | typeof TAILING>();
/** The cursor waits for new documents again and again. That is no work of the caller. */
const TAILING = Symbol('tailing');

function start(server: DatabaseAddress, [namespace, command, options]: readonly unknown[]): OutboundWork | undefined {
  const name = commandName(command);
  if (name === undefined) return undefined;
  const parent = parentOf(command as MongodbCommand, name, memberAt(options, 'session'));
  if (parent === undefined) return undefined;
  const database = memberAt(namespace, 'db');
  const address = typeof database === 'string' ? { ...server, namespace: database } : server;
  const batchSize = batchSizeOf(command as MongodbCommand, name);
  const work = startCommand(address, () => describeCommand(command as MongodbCommand, name), { batchSize }, parent);
  if (work !== undefined) work.describe = describeReply;
  return work;
}

/**
 * Returns the context of the caller. That of a `getMore` is the one in which the cursor was opened, because a stream may continue in the
 * context of any other request. Returns undefined if the command gets no span.
 */
function parentOf(command: MongodbCommand, name: string, session: unknown): Context | undefined {
  const active = context.active();
  // A session that the user has made may have several cursors.
  if (typeof session !== 'object' || session === null || memberAt(session, 'explicit') !== false) return active;
  if (name === 'getMore') {
    const opener = openers.get(session) ?? active;
    return opener === TAILING ? undefined : opener;
  }
  if (name === 'find' || name === 'aggregate') openers.set(session, isTailing(command) ? TAILING : active);
  return active;
}

/** The server reports errors of single documents in an answer without error. The driver throws them later. */
function describeReply(span: Span, answer: unknown): void {
  const isUnread = hasMethods(answer, 'has', 'toObject');
  if (isUnread && !ERRORS.some(name => (answer as Answer).has(name))) return;
  const reply = isUnread ? (answer as Answer).toObject() : answer;
  const error: unknown = memberAt(reply, 'writeErrors', '0') ?? memberAt(reply, 'writeConcernError');
  const { code, errmsg } = (error ?? {}) as { code?: unknown; errmsg?: unknown };
  if (typeof code !== 'number') return;
  markFailure(span, Object.assign(new Error(String(errmsg)), { name: 'MongoServerError', code }));
  span.setAttributes(statusAttributes(String(code)));
}

const ERRORS = ['writeErrors', 'writeConcernError'];

/** An answer of which the driver reads only the members that it needs. */
interface Answer {
  has(name: string): boolean;
  toObject(): unknown;
}
