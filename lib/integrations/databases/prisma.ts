/** Traces Prisma 7 through the object that its clients ask for spans, and the pools of its driver adapters. */
import { type Context, context, createContextKey, isSpanContextValid, trace } from '@opentelemetry/api';
import { runTracked } from '../../spans/track.js';
import { applicationIn } from '../../spans/work.js';
import { hasMethods, memberOf } from '../../wrapping/has-methods.js';
import { replace, replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { Installations } from '../../wrapping/shared-installation.js';
import { Database, describedQuery } from './attributes.js';
import type { DatabaseLibrary, Trace } from './library.js';
import { startStatement } from './query.js';
import type { SqlDialect } from './sql/statement.js';

/** Clients are Proxies that keep their adapter to themselves. Adapters are traced if they are providers or given to `traceDatabase()`. */
export const prisma: DatabaseLibrary = {
  name: '@prisma/client',
  find: value => (isAdapter(value) ? value : undefined),
  install: installOnAdapter,
  listen() {
    // The official instrumentation sets both. It makes the spans then.
    if (NAMES.some(name => Reflect.get(globalThis, name) !== undefined)) return () => undefined;
    return replace(globalThis, NAMES[0], { helper });
  },
};

const NAMES = ['V7_PRISMA_INSTRUMENTATION', 'PRISMA_INSTRUMENTATION'] as const;

function isAdapter(value: object): boolean {
  return (
    hasMethods(value, 'connect') && typeof memberOf(value, 'adapterName') === 'string' && typeof memberOf(value, 'provider') === 'string'
  );
}

/** A client connects its adapter at the first query. */
function installOnAdapter(adapter: object, trace: Trace): Undo {
  const pools = new Installations();
  return undoAll([
    pools.undo,
    replaceMethod(adapter, 'connect', connect => {
      return async function (...args) {
        const connected = await connect.apply(this, args);
        const pool: unknown = hasMethods(connected, 'underlyingDriver') ? (connected as Connected).underlyingDriver() : undefined;
        if (typeof pool === 'object' && pool !== null) pools.add(pool, () => trace(pool));
        return connected;
      };
    }),
  ]);
}

interface Connected {
  underlyingDriver(): unknown;
}

/** What clients call around each step of their work. */
const helper = {
  isEnabled: (): boolean => applicationIn()?.databases !== undefined,
  getActiveContext: (): Context => context.active(),
  getTraceParent(ctx: Context = context.active()): string {
    const spanContext = trace.getSpanContext(ctx);
    if (spanContext === undefined || !isSpanContextValid(spanContext)) return NO_TRACE;
    return `00-${spanContext.traceId}-${spanContext.spanId}-0${spanContext.traceFlags & 1}`;
  },
  /** For spans of a remote engine, which are not used. */
  dispatchEngineSpans(_spans: unknown, logs: readonly unknown[], onLog: (log: unknown) => void): void {
    logs.forEach(onLog);
  },
  runInChildSpan<T>(step: string | Step, run: () => T): T {
    const { name, attributes } = typeof step === 'string' ? { name: step } : step;
    const depth = (context.active().getValue(DEPTH) as number | undefined) ?? 0;
    if (name === 'transaction') return context.with(context.active().setValue(DEPTH, depth + 1), run);
    // The adapter begins a transaction without telling the client. Inside of another one it makes a savepoint.
    if (name === 'start_transaction') return depth > 1 ? run() : runStatement({ text: 'BEGIN' }, run);
    return name === 'db_query' ? runStatement(describedQuery(attributes), run) : run();
  },
};

interface Step {
  readonly name: string;
  readonly attributes?: object;
}

/** What Prisma itself answers if it is not traced. */
const NO_TRACE = '00-10-10-00';
/** How many transactions the code runs in. */
const DEPTH = createContextKey('nestjs-tracing/prisma-transactions');
const IMPLICIT = /^-- Implicit "(\w+)"/;

function runStatement<T>({ system, text }: { readonly system?: string; readonly text: string }, run: () => T): T {
  const { database, dialect } = databaseOf(system);
  const work = startStatement(database, IMPLICIT.exec(text)?.[1] ?? text, dialect);
  return work === undefined ? run() : runTracked(work, run);
}

interface Known {
  readonly database: Database;
  readonly dialect: SqlDialect;
}

const DIALECTS: Readonly<Record<string, SqlDialect>> = {
  postgresql: 'postgresql',
  cockroachdb: 'postgresql',
  mysql: 'mysql',
  sqlite: 'sqlite',
  mssql: 'mssql',
};
const known = new Map<string, Known>();

function databaseOf(system = 'other_sql'): Known {
  let found = known.get(system);
  if (found === undefined) {
    found = {
      database: new Database({ system: system === 'mssql' ? 'microsoft.sql_server' : system }),
      dialect: DIALECTS[system] ?? 'other',
    };
    known.set(system, found);
  }
  return found;
}
