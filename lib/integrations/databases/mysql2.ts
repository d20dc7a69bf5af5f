/** Traces `mysql2` through its diagnostics channels: queries, executions, and calls that wait for a connection of a pool. */
import type { Context } from '@opentelemetry/api';
import type { OutboundWork } from '../../spans/outbound.js';
import { undoAll } from '../../wrapping/replace-method.js';
import { Database } from './attributes.js';
import { followCalls, withoutSpan } from './channel-calls.js';
import type { DatabaseLibrary } from './library.js';
import { isWrappedByOthers, loadedModules } from './official.js';
import { startStatement } from './query.js';

export const mysql2: DatabaseLibrary = {
  name: 'mysql2',
  listen: () =>
    undoAll([
      followCalls('mysql2:query', started),
      followCalls('mysql2:execute', started),
      // A call may wait for a connection that another request releases.
      followCalls('mysql2:pool:connect', withoutSpan),
    ]),
};

/** What the channels publish. */
interface Message {
  readonly query?: unknown;
  readonly values?: unknown;
  readonly database?: string;
  readonly serverAddress?: string;
  readonly serverPort?: number;
}

function started(message: Message, caller: Context): OutboundWork | undefined {
  const { query, values } = message;
  if (typeof query !== 'string' || isTracedElsewhere()) return undefined;
  return startStatement(databaseOf(message), query, 'mysql', { parameters: values }, caller);
}

const MAX_DATABASES = 100;
const databases = new Map<string, Database>();

function databaseOf({ database: namespace, serverAddress: address, serverPort: port }: Message): Database {
  const key = `${address} ${port} ${namespace}`;
  let database = databases.get(key);
  if (database === undefined) {
    if (databases.size >= MAX_DATABASES) databases.clear();
    database = new Database({ system: 'mysql', namespace: namespace === '' ? undefined : namespace, address, port });
    databases.set(key, database);
  }
  return database;
}

/** The messages name no connection, so the classes of the loaded copies are asked. */
function isTracedElsewhere(): boolean {
  return loadedModules('mysql2/lib/connection.js').some(connection => {
    const query = (connection as { prototype?: { query?: object } }).prototype?.query;
    return query !== undefined && isWrappedByOthers(query);
  });
}
