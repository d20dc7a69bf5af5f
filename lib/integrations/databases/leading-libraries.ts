/** Traces libraries that lead to the driver of another library, which makes the spans: Drizzle, Knex, Objection and MikroORM. */
import { hasMethods, isTouchable, memberOf } from '../../wrapping/has-methods.js';
import { replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { Installations } from '../../wrapping/shared-installation.js';
import { kysely } from './kysely.js';
import type { DatabaseLibrary, Trace } from './library.js';
import { prisma } from './prisma.js';

/** Its database has the client or pool that the user gave it, or that it has made. */
const drizzle: DatabaseLibrary = {
  name: 'drizzle-orm',
  find: value => (hasMethods(value, 'select', 'insert', 'transaction') && isAnyObject(memberOf(value, '$client')) ? value : undefined),
  install(database, trace) {
    const replicas = memberOf(database, '$replicas');
    const all = [database, ...(Array.isArray(replicas) ? replicas.filter(isTouchable) : [])];
    return undoAll(all.map(one => trace(memberOf(one, '$client'))));
  },
};

/** Its client takes connections of the driver out of a pool. The object of the user is a function. */
const knex: DatabaseLibrary = {
  name: 'knex',
  find(value) {
    if (isKnexClient(value)) return value;
    const context = typeof value === 'function' ? memberOf(value, 'context') : undefined;
    const client = isTouchable(context) ? memberOf(context, 'client') : undefined;
    return isKnexClient(client) ? client : undefined;
  },
  install: installOnKnexClient,
};

function isKnexClient(value: unknown): value is object {
  return hasMethods(value, 'acquireConnection', 'releaseConnection', 'queryBuilder');
}

/** Each connection is traced when it is used for the first time. */
function installOnKnexClient(client: object, trace: Trace): Undo {
  const connections = new Installations();
  const add = (connection: unknown): void => {
    if (isTouchable(connection)) connections.add(connection, () => trace(connection));
  };
  const pool = memberOf(client, 'pool');
  const onAcquired = (_event: unknown, connection: unknown): void => add(connection);
  return undoAll([
    connections.undo,
    replaceMethod(client, 'acquireConnection', acquire => {
      return async function (...args) {
        const connection = await acquire.apply(this, args);
        add(connection);
        return connection;
      };
    }),
    // Copies of the client share its pool, such as those that run migrations.
    isTarnPool(pool) ? listen(pool, onAcquired) : () => undefined,
  ]);
}

interface TarnPool {
  on(event: 'acquireSuccess', listener: (event: unknown, connection: unknown) => void): unknown;
  removeListener(event: 'acquireSuccess', listener: (event: unknown, connection: unknown) => void): unknown;
}

function isTarnPool(pool: unknown): pool is TarnPool {
  return hasMethods(pool, 'acquire', 'numPendingAcquires', 'on', 'removeListener');
}

function listen(pool: TarnPool, listener: (event: unknown, connection: unknown) => void): Undo {
  pool.on('acquireSuccess', listener);
  return () => pool.removeListener('acquireSuccess', listener);
}

/** Its models are bound to Knex. */
const objection: DatabaseLibrary = {
  name: 'objection',
  find: value => (isModel(value) ? value : undefined),
  install: (model, trace) => (isModel(model) ? trace(model.knex()) : () => undefined),
};

function isModel(value: object): value is { knex(): unknown } {
  const names = ['knex', 'bindKnex', 'knexQuery', 'relatedQuery'];
  return typeof value === 'function' && names.every(name => typeof memberOf(value, name) === 'function');
}

/** Its connections make Knex (version 6) or Kysely (version 7) when they connect. */
const mikroOrm: DatabaseLibrary = {
  name: '@mikro-orm/core',
  find(value) {
    // MikroORM and its entity managers have the same driver.
    const driver = hasMethods(value, 'getConnection') ? value : memberOf(value, 'driver');
    return hasMethods(driver, 'getConnection', 'getPlatform', 'nativeInsert') ? driver : undefined;
  },
  install(driver, trace) {
    const builders = new Installations();
    const replicas = memberOf(driver, 'replicas');
    const connections = [memberOf(driver, 'connection'), ...(Array.isArray(replicas) ? (replicas as unknown[]) : [])].filter(isTouchable);
    return undoAll([
      builders.undo,
      ...connections.flatMap(connection =>
        ['getKnex', 'getClient'].map(name =>
          replaceMethod(connection, name, get => {
            return function (...args) {
              const builder = get.apply(this, args);
              if (isAnyObject(builder)) builders.add(builder, () => trace(builder));
              return builder;
            };
          }),
        ),
      ),
    ]);
  },
};

/** Libraries above drivers. */
export const leadingLibraries: readonly DatabaseLibrary[] = [drizzle, knex, objection, mikroOrm, kysely, prisma];

function isAnyObject(value: unknown): value is object {
  return isTouchable(value) || typeof value === 'function';
}
