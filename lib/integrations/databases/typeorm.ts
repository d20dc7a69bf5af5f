/** Traces TypeORM: each statement that a data source sends, of repositories, query builders, transactions, migrations and raw queries. */
import { context } from '@opentelemetry/api';
import { memberAt } from '../../conventions/peer.js';
import { emitInContext } from '../../spans/context.js';
import type { OutboundWork } from '../../spans/outbound.js';
import { runTracked } from '../../spans/track.js';
import { hasMethods, isTouchable, memberOf } from '../../wrapping/has-methods.js';
import { type Method, replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { Installations, replaceOnPrototype } from '../../wrapping/shared-installation.js';
import { Database, type DatabaseAddress } from './attributes.js';
import type { DatabaseLibrary, Trace } from './library.js';
import { isWrappedByOthers } from './official.js';
import { startStatement } from './query.js';
import type { SqlDialect } from './sql/statement.js';

export const typeorm: DatabaseLibrary = {
  name: 'typeorm',
  find: value => dataSourceIn(value),
  install: (target, traceOther) => installOn(target as DataSource, traceOther),
};

interface DataSource {
  readonly driver: object;
  readonly options: object;
}

/** Makes the connection to the database, and the objects that send statements through it. */
interface QueryRunner {
  readonly driver?: object;
  readonly mode?: unknown;
}

/** A repository leads to its entity manager, and that to its data source, which TypeORM 0.3 calls its connection. */
function dataSourceIn(value: object): DataSource | undefined {
  if (isDataSource(value)) return value;
  const manager = isTouchable(memberOf(value, 'manager')) ? (memberOf(value, 'manager') as object) : value;
  if (!hasMethods(manager, 'createQueryBuilder', 'getRepository')) return undefined;
  const dataSource = memberOf(manager, 'dataSource') ?? memberOf(manager, 'connection');
  return isTouchable(dataSource) && isDataSource(dataSource) ? dataSource : undefined;
}

/** MongoDB has no SQL: its client is traced instead. */
function isDataSource(value: object): value is DataSource {
  if (!hasMethods(value, 'createQueryRunner', 'getRepository') || !hasMethods(memberOf(value, 'driver'), 'createQueryRunner')) return false;
  const options = memberOf(value, 'options');
  return isTouchable(options) && typeof memberOf(options, 'type') === 'string' && memberOf(options, 'type') !== 'mongodb';
}

/** The traced data sources of this copy of the package, by their drivers. */
const sources = new WeakMap<object, Source>();

function installOn(dataSource: DataSource, traceOther: Trace): Undo {
  const { driver } = dataSource;
  const pools = new Installations();
  const classes = new Set<unknown>();
  const steps: Undo[] = [() => sources.delete(driver), pools.undo];
  const add = (runner: unknown): void => {
    for (const name of POOLS) {
      const member = memberOf(driver, name);
      for (const pool of Array.isArray(member) ? (member as unknown[]) : [member])
        if (isTouchable(pool)) pools.add(pool, () => traceOther(pool));
    }
    const classRef = isTouchable(runner) ? memberOf(runner, 'constructor') : undefined;
    if (typeof classRef !== 'function' || classRef === Object || classes.has(classRef)) return;
    classes.add(classRef);
    // Drivers make a runner for each statement, so the methods of its class are replaced, not those of each runner.
    steps.push(replaceOnPrototype(classRef, ['query', 'stream'], wrap));
  };
  sources.set(driver, new Source(dataSource));
  const existing = memberOf(driver, 'connectedQueryRunners');
  for (const runner of [memberOf(driver, 'queryRunner'), ...(Array.isArray(existing) ? (existing as unknown[]) : [])]) add(runner);
  steps.push(
    replaceMethod(driver, 'createQueryRunner', createQueryRunner => {
      return function (...args) {
        const runner = createQueryRunner.apply(this, args);
        add(runner);
        return runner;
      };
    }),
  );
  return undoAll(steps);
}

/** Where drivers keep their pools. Their libraries know the server, and trace what is sent without a query runner. */
const POOLS = ['master', 'slaves', 'pool', 'poolCluster'];

function wrap(method: Method, name: string): Method {
  return function (...args) {
    const { driver, mode } = this as QueryRunner;
    const source = driver === undefined ? undefined : sources.get(driver);
    const [text, parameters] = args;
    if (source === undefined || typeof text !== 'string' || source.isTracedBelow()) return method.apply(this, args);
    const work = startStatement(source.database(mode), text, source.dialect, { parameters });
    if (work === undefined) return method.apply(this, args);
    return name === 'stream' ? stream(work, () => method.apply(this, args)) : runTracked(work, () => method.apply(this, args));
  };
}

/** The span ends with the stream: when it is read to its end, fails, or is destroyed. Its listeners run in the context of the caller. */
function stream(work: OutboundWork, open: () => unknown): unknown {
  const caller = context.active();
  const follow = (opened: unknown): unknown => {
    if (!hasMethods(opened, 'on', 'emit')) {
      work.end();
      return opened;
    }
    emitInContext(opened as Parameters<typeof emitInContext>[0], caller, (event, value) => {
      // A reader that stops early aborts the stream.
      if (event === 'error' && memberAt(value, 'code') !== 'ABORT_ERR') work.fail(value);
      else if (event === 'end' || event === 'close') work.succeed(undefined);
    });
    return opened;
  };
  const fail = (thrown: unknown): never => {
    work.fail(thrown);
    throw thrown;
  };
  try {
    const opened = work.run(open);
    return opened instanceof Promise ? opened.then(follow, fail) : follow(opened);
  } catch (thrown) {
    return fail(thrown);
  }
}

interface Kind {
  readonly system: string;
  readonly dialect: SqlDialect;
}

const SQLITE: Kind = { system: 'sqlite', dialect: 'sqlite' };
const POSTGRES: Kind = { system: 'postgresql', dialect: 'postgresql' };
const MYSQL: Kind = { system: 'mysql', dialect: 'mysql' };

/** The types of data sources. */
const KINDS: Readonly<Record<string, Kind>> = {
  postgres: POSTGRES,
  'aurora-postgres': POSTGRES,
  cockroachdb: { system: 'cockroachdb', dialect: 'postgresql' },
  mysql: MYSQL,
  'aurora-mysql': MYSQL,
  mariadb: { system: 'mariadb', dialect: 'mysql' },
  mssql: { system: 'microsoft.sql_server', dialect: 'mssql' },
  oracle: { system: 'oracle.db', dialect: 'other' },
  sap: { system: 'sap.hana', dialect: 'other' },
  spanner: { system: 'gcp.spanner', dialect: 'other' },
  sqlite: SQLITE,
  'better-sqlite3': SQLITE,
  sqljs: SQLITE,
  capacitor: SQLITE,
  cordova: SQLITE,
  expo: SQLITE,
  nativescript: SQLITE,
  'react-native': SQLITE,
};

const OTHER: Kind = { system: 'other_sql', dialect: 'other' };

/** What spans show of a data source. */
class Source {
  private readonly kind: Kind;
  private readonly known: Record<'master' | 'slave', Database | undefined> = { master: undefined, slave: undefined };

  constructor(private readonly dataSource: DataSource) {
    this.kind = KINDS[String(memberOf(dataSource.options, 'type'))] ?? OTHER;
  }

  get dialect(): SqlDialect {
    return this.kind.dialect;
  }

  /** The driver learns the name of its database when it connects, and the options may change before it connects again. */
  database(mode: unknown): Database {
    const { driver, options } = this.dataSource;
    const name = memberOf(driver, 'database') ?? memberOf(options, 'database');
    const namespace = typeof name === 'string' && name !== '' && name !== ':memory:' ? name : undefined;
    const place = mode === 'slave' && memberOf(driver, 'isReplicated') === true ? 'slave' : 'master';
    let database = this.known[place];
    if (database === undefined || database.address.namespace !== namespace) {
      const server = place === 'master' ? serverOf(options) : {};
      this.known[place] = database = new Database({ system: this.kind.system, namespace, ...server });
    }
    return database;
  }

  /** Returns true if an official instrumentation makes the span of what `pg` or `mysql2` sends. */
  isTracedBelow(): boolean {
    const sent = this.prototypeOfDriver()?.query;
    return sent !== undefined && isWrappedByOthers(sent);
  }

  private driverPrototype: { readonly query?: object } | null | undefined = undefined;

  /** Returns the prototype of the connections of `pg` or `mysql2`. */
  private prototypeOfDriver(): { readonly query?: object } | null {
    return (this.driverPrototype ??= prototypeOfConnections(this.dataSource.driver));
  }
}

function prototypeOfConnections(driver: object): { readonly query?: object } | null {
  const { postgres, mysql } = driver as { postgres?: LibraryOfDriver; mysql?: LibraryOfDriver };
  try {
    return postgres?.Client?.prototype ?? mysql?.Connection?.prototype ?? null;
  } catch {
    return null;
  }
}

interface LibraryOfDriver {
  readonly Client?: { readonly prototype: { readonly query?: object } };
  readonly Connection?: { readonly prototype: { readonly query?: object } };
}

/** With replication, these are the options of the server that writes. The driver's library knows which of the others was asked. */
function serverOf(options: object): Pick<DatabaseAddress, 'address' | 'port'> {
  const { replication } = options as { replication?: { master?: object } };
  const { url, host, port, socketPath } = (replication?.master ?? options) as Record<string, unknown>;
  if (typeof url === 'string' && URL.canParse(url)) {
    const { hostname, port: inUrl } = new URL(url);
    return { address: hostname.replace(/^\[(.*)\]$/, '$1') || undefined, port: inUrl === '' ? undefined : Number(inUrl) };
  }
  if (typeof socketPath === 'string') return { address: socketPath };
  const isKnown = typeof host === 'string' && host !== '';
  return isKnown ? { address: host, port: Number.isInteger(Number(port)) ? Number(port) : undefined } : {};
}
