/** Traces `mssql` through its diagnostics channels: queries, batches, procedures, bulk loads, and executions of prepared statements. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Context } from '@opentelemetry/api';
import type { OutboundWork } from '../../spans/outbound.js';
import { undoAll } from '../../wrapping/replace-method.js';
import { Database } from './attributes.js';
import { followCalls, withoutSpan } from './channel-calls.js';
import type { DatabaseLibrary } from './library.js';
import { startCommand, startStatement } from './query.js';

const CONNECTED = 'mssql:connection:create';

export const mssql: DatabaseLibrary = {
  name: 'mssql',
  listen() {
    const learn = (message: unknown): void => learnServer(message as Connected);
    subscribe(CONNECTED, learn);
    return undoAll([
      () => unsubscribe(CONNECTED, learn),
      followCalls<Connected>('mssql:connect', learnServer),
      followCalls('mssql:pool:acquire', withoutSpan),
      followCalls<Statement>('mssql:query', ({ command, poolId }, caller) => started(command, poolId, caller)),
      followCalls<Statement>('mssql:batch', ({ command, poolId }, caller) => started(command, poolId, caller)),
      followCalls<Prepared>('mssql:prepared-statement:execute', ({ statement, poolId }, caller) => started(statement, poolId, caller)),
      followCalls<Procedure>('mssql:execute', calledProcedure),
      followCalls<BulkLoad>('mssql:bulk', loadedRows),
    ]);
  },
};

interface OfPool {
  readonly poolId?: number;
}

interface Connected extends OfPool {
  readonly server?: string;
  readonly port?: number;
  readonly database?: string;
}

interface Statement extends OfPool {
  readonly command?: unknown;
}

interface Prepared extends OfPool {
  readonly statement?: unknown;
}

interface Procedure extends OfPool {
  readonly procedure?: unknown;
}

interface BulkLoad extends OfPool {
  readonly table?: unknown;
  readonly rowCount?: number;
}

const SYSTEM = 'microsoft.sql_server';
const MAX_POOLS = 1000;
const unknown = new Database({ system: SYSTEM });
const pools = new Map<number, Database>();

/** A statement names only the number of its pool. A pool tells its server when it makes a connection. */
function learnServer({ database: namespace, poolId, port, server: address }: Connected): undefined {
  if (poolId === undefined) return;
  const known = pools.get(poolId);
  if (known?.address.port !== undefined || (known !== undefined && port === undefined)) return;
  if (pools.size >= MAX_POOLS) pools.clear();
  pools.set(poolId, new Database({ system: SYSTEM, namespace, address, port }));
}

function databaseOf(poolId: number | undefined): Database {
  return (poolId === undefined ? undefined : pools.get(poolId)) ?? unknown;
}

function started(text: unknown, poolId: number | undefined, caller: Context): OutboundWork | undefined {
  return typeof text === 'string' ? startStatement(databaseOf(poolId), text, 'mssql', {}, caller) : undefined;
}

function calledProcedure({ poolId, procedure }: Procedure, caller: Context): OutboundWork | undefined {
  if (typeof procedure !== 'string') return undefined;
  return startCommand(databaseOf(poolId).address, () => ({ operation: 'EXECUTE', procedure, summary: `EXECUTE ${procedure}` }), {}, caller);
}

function loadedRows({ poolId, rowCount: batchSize, table }: BulkLoad, caller: Context): OutboundWork | undefined {
  const collection = typeof table === 'string' ? table.replace(/[[\]]/g, '') : undefined;
  const summary = collection === undefined ? 'BULK INSERT' : `BULK INSERT ${collection}`;
  return startCommand(databaseOf(poolId).address, () => ({ operation: 'BULK INSERT', collection, summary }), { batchSize }, caller);
}
