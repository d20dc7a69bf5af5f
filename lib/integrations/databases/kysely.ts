/** Traces Kysely through the connections that it hands out, as it keeps its pool to itself. A traced pool below adds the server. */
import { runTracked, track } from '../../spans/track.js';
import { memberAt } from '../../conventions/peer.js';
import type { OutboundWork } from '../../spans/outbound.js';
import { hasMethods, isTouchable } from '../../wrapping/has-methods.js';
import { type Method, replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { installOnce, Installations } from '../../wrapping/shared-installation.js';
import { Database } from './attributes.js';
import type { DatabaseLibrary } from './library.js';
import { isWrappedByOthers, loadedModules } from './official.js';
import { startStatement } from './query.js';
import type { SqlDialect } from './sql/statement.js';

export const kysely: DatabaseLibrary = {
  name: 'kysely',
  find: value => (isKysely(value) ? value : undefined),
  install(kysely) {
    const executor = isKysely(kysely) ? kysely.getExecutor() : undefined;
    return isExecutor(executor) ? new Tracing(executor).undo : () => undefined;
  },
};

interface Kysely {
  getExecutor(): unknown;
}

/** Runs the queries of a database object. Each copy of this object, such as that of `withSchema()`, has its own. */
interface Executor {
  readonly adapter: object;
}

function isKysely(value: object): value is Kysely {
  return hasMethods(value, 'getExecutor', 'selectFrom', 'withSchema', 'transaction');
}

function isExecutor(value: unknown): value is Executor {
  return hasMethods(value, 'provideConnection', 'withPlugin') && isTouchable((value as Partial<Executor>).adapter);
}

/** Methods that return a copy of the executor. One with another connection needs no tracing: the connection is traced already. */
const COPYING = ['withPlugin', 'withPlugins', 'withPluginAtFront', 'withoutPlugins'];

const TRACED = Symbol.for('nestjs-tracing/kysely-connection');

class Tracing {
  private readonly connections = new Installations();
  private readonly executors = new Installations();
  private readonly dialect: Dialect;
  private readonly database: Database;

  constructor(executor: Executor) {
    this.dialect = dialectOf(executor.adapter);
    this.database = new Database({ system: this.dialect.system });
    this.traceExecutor(executor);
  }

  readonly undo: Undo = () => undoAll([this.connections.undo, this.executors.undo])();

  private traceExecutor(executor: object): void {
    const provideConnection = (provide: Method): Method => {
      const traceConnection = this.traceConnection.bind(this);
      return function (consumer, ...others) {
        const traced = (connection: unknown): unknown => {
          traceConnection(connection);
          return (consumer as Method)(connection);
        };
        return provide.call(this, traced, ...others);
      };
    };
    const copying = (copy: Method): Method => {
      const traceExecutor = this.traceExecutor.bind(this);
      return function (...args) {
        const copied = copy.apply(this, args);
        if (isTouchable(copied)) traceExecutor(copied);
        return copied;
      };
    };
    this.executors.add(executor, () =>
      undoAll([
        replaceMethod(executor, 'provideConnection', provideConnection),
        ...COPYING.map(name => replaceMethod(executor, name, copying)),
      ]),
    );
  }

  /** Transactions send BEGIN and COMMIT through the same methods. */
  private traceConnection(connection: unknown): void {
    if (!hasMethods(connection, 'executeQuery')) return;
    const start = this.start.bind(this);
    this.connections.add(connection, () =>
      installOnce(connection, TRACED, () =>
        undoAll([
          replaceMethod(connection, 'executeQuery', execute => {
            return function (...args) {
              const work = start(args[0]);
              return work === undefined ? execute.apply(this, args) : runTracked(work, () => execute.apply(this, args));
            };
          }),
          replaceMethod(connection, 'streamQuery', stream => {
            return function (...args) {
              return track(stream.apply(this, args), undefined, () => start(args[0]));
            };
          }),
        ]),
      ),
    );
  }

  private start(query: unknown): OutboundWork | undefined {
    const text = memberAt(query, 'sql');
    if (typeof text !== 'string' || isTracedElsewhere(this.dialect)) return undefined;
    return startStatement(this.database, text, this.dialect.name, { parameters: memberAt(query, 'parameters') });
  }
}

interface Dialect {
  readonly name: SqlDialect;
  readonly system: string;
  /** The usual driver: one of its files, and the class that official instrumentations wrap. */
  readonly driver?: readonly [file: string, className: string];
}

const DIALECTS = {
  postgres: { name: 'postgresql', system: 'postgresql', driver: ['pg/lib/index.js', 'Client'] },
  mysql: { name: 'mysql', system: 'mysql', driver: ['mysql2/index.js', 'Connection'] },
  mssql: { name: 'mssql', system: 'microsoft.sql_server' },
  sqlite: { name: 'sqlite', system: 'sqlite' },
} as const satisfies Record<string, Dialect>;

/** Adapters say what their database can do. Their class names are not kept by bundlers. */
function dialectOf(adapter: object): Dialect {
  const can = (name: string): boolean => Reflect.get(adapter, name) === true;
  if (can('supportsOutput')) return DIALECTS.mssql;
  if (can('supportsTransactionalDdl')) return DIALECTS.postgres;
  return can('supportsReturning') ? DIALECTS.sqlite : DIALECTS.mysql;
}

function isTracedElsewhere({ driver }: Dialect): boolean {
  if (driver === undefined) return false;
  const [file, className] = driver;
  return loadedModules(file).some(loaded => {
    const classRef = memberAt(loaded, className);
    const query: unknown = typeof classRef === 'function' ? memberAt(classRef.prototype, 'query') : undefined;
    return typeof query === 'function' && isWrappedByOthers(query);
  });
}
