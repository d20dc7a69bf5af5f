/** Traces Sequelize: over `pg` through the connections of its pool, over `mysql2` through its channels, over other drivers by its queries. */
import { memberAt } from '../../conventions/peer.js';
import { runTracked } from '../../spans/track.js';
import { hasMethods, isTouchable } from '../../wrapping/has-methods.js';
import { replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { Installations } from '../../wrapping/shared-installation.js';
import { Database } from './attributes.js';
import type { DatabaseLibrary, Trace } from './library.js';
import { startStatement } from './query.js';
import type { SqlDialect } from './sql/statement.js';

export const sequelize: DatabaseLibrary = {
  name: 'sequelize',
  find: value => (isSequelize(value) ? value : undefined),
  install(target, trace) {
    const orm = target as Sequelize;
    const dialect = orm.getDialect();
    if (dialect === 'postgres') return traceConnections(orm, trace);
    return dialect === 'mysql' ? () => undefined : traceQueries(orm, dialect);
  },
};

interface Sequelize {
  getDialect(): string;
  addHook(hook: 'afterPoolAcquire', listener: (connection: unknown) => void): unknown;
  removeHook(hook: 'afterPoolAcquire', listener: (connection: unknown) => void): unknown;
}

function isSequelize(value: object): boolean {
  return hasMethods(value, 'getDialect', 'addHook', 'removeHook', 'query', 'define', 'authenticate');
}

/** Sequelize reports a connection each time that it takes one out of its pool. */
function traceConnections(orm: Sequelize, trace: Trace): Undo {
  const connections = new Installations();
  const add = (connection: unknown): void => {
    if (isTouchable(connection)) connections.add(connection, () => trace(connection));
  };
  orm.addHook('afterPoolAcquire', add);
  return undoAll([connections.undo, () => orm.removeHook('afterPoolAcquire', add)]);
}

/** `db.system.name` and the dialect of SQL, by Sequelize's name of a dialect. */
const SYSTEMS: Readonly<Record<string, readonly [system: string, dialect: SqlDialect]>> = {
  mariadb: ['mariadb', 'mysql'],
  mssql: ['microsoft.sql_server', 'mssql'],
  sqlite: ['sqlite', 'sqlite'],
  oracle: ['oracle.db', 'other'],
  db2: ['ibm.db2', 'other'],
  snowflake: ['snowflake', 'other'],
};

function traceQueries(orm: object, name: string): Undo {
  const [system, dialect] = SYSTEMS[name] ?? ['other_sql', 'other'];
  const config = memberAt(orm, 'config');
  const [namespace, host, port] = ['database', 'host', 'port'].map(key => memberAt(config, key));
  const database = new Database({
    system,
    namespace: typeof namespace === 'string' && namespace !== '' ? namespace : undefined,
    address: typeof host === 'string' && system !== 'sqlite' ? host : undefined,
    port: Number.isInteger(Number(port)) && Number(port) > 0 ? Number(port) : undefined,
  });
  return replaceMethod(orm, 'query', query => {
    return function (...args) {
      const [given, options] = args;
      const text = typeof given === 'string' ? given : memberAt(given, 'query');
      const parameters = memberAt(options, 'replacements') ?? memberAt(options, 'bind') ?? memberAt(given, 'values');
      const work = typeof text === 'string' ? startStatement(database, text, dialect, { parameters }) : undefined;
      return work === undefined ? query.apply(this, args) : runTracked(work, () => query.apply(this, args));
    };
  });
}
