/** The CLIENT span of one statement or command: from the call of the library to the answer of the database. */
import { type Attributes, type Context, context, type Span, SpanKind, trace } from '@opentelemetry/api';
import { databaseErrorCode, noteFailedStatement } from '../../conventions/database-error.js';
import { recordCutOff } from '../../conventions/failure.js';
import type { Sent } from '../../conventions/sent-values.js';
import { anyRule } from '../../options/ignore-rules.js';
import type { ResolvedDatabaseOptions } from '../../options/resolved-options.js';
import type { DatabaseQuery } from '../../options/tracing-options.js';
import { guarded } from '../../options/trouble.js';
import { inContext } from '../../spans/context.js';
import { outboundIn, type OutboundOperation, type OutboundWork, startOutbound } from '../../spans/outbound.js';
import { InFlightOperations } from '../../spans/in-flight.js';
import { applicationIn, type TracingApplication } from '../../spans/work.js';
import { isOfOfficialOrm } from './official.js';
import {
  addressAttributes,
  batchAttributes,
  type Database,
  type DatabaseAddress,
  parameterAttributes,
  queryAttributes,
  type QueryParts,
  statusAttributes,
} from './attributes.js';
import { describeStatement, type SqlDialect, type Statement } from './sql/statement.js';

/** What a library knows of a statement besides its text. */
export interface StatementDetails {
  /** The values of its parameters: a list, or an object with their names. They are recorded only if the user asks for them. */
  readonly parameters?: unknown;
  /** How many statements or rows are sent as one. */
  readonly batchSize?: number | undefined;
  /** True if there must be a span around it: outside of a trace, it gets none. @default false */
  readonly needsParent?: boolean;
}

/**
 * Opens the span of an SQL statement. Returns undefined if no span records, or if the statement belongs to the query of an outer library,
 * such as an ORM: then there is nothing to end. Never throws.
 */
export function startStatement(
  database: Database,
  text: string,
  dialect: SqlDialect,
  details: StatementDetails = NO_DETAILS,
  parent: Context = context.active(),
): OutboundWork | undefined {
  const application = applicationTracing(database.address, details, parent);
  const options = application?.databases;
  if (application === undefined || options === undefined) return undefined;
  return start(application, new SqlQuery(options, details, database, text, dialect), parent);
}

/** Does what {@link startStatement} does for a command that is no SQL. `describe` must not throw. */
export function startCommand(
  database: DatabaseAddress,
  describe: () => QueryParts,
  details: StatementDetails = NO_DETAILS,
  parent: Context = context.active(),
): OutboundWork | undefined {
  const application = applicationTracing(database, details, parent);
  const options = application?.databases;
  if (application === undefined || options === undefined) return undefined;
  return start(application, new CommandQuery(options, details, database, describe), parent);
}

const NO_DETAILS: StatementDetails = {};

/**
 * Returns `promise`, whose span ends with it. The promise must be one of Node's own, and its value must be complete. Other results are
 * followed by `runTracked()`.
 */
export function endingPromise<T>(work: OutboundWork, promise: Promise<T>): Promise<T> {
  return promise.then(
    value => {
      work.succeed(value);
      return value;
    },
    (reason: unknown) => {
      work.fail(reason);
      throw reason;
    },
  );
}

/** Calls `fn` with the callback that `work` needs: it ends the span, and then calls `callback` in the context of the caller. */
export function endingCallback<Args extends unknown[]>(
  work: OutboundWork,
  callback: (this: unknown, ...args: Args) => unknown,
  caller: Context = context.active(),
): (this: unknown, ...args: Args) => unknown {
  return function (...args) {
    const [error] = args;
    if (error === null || error === undefined) work.succeed(args[1]);
    else work.fail(error);
    return inContext(caller, callback, this, ...args);
  };
}

/** Returns the application whose span the statement gets. Returns undefined if it gets none. */
function applicationTracing(database: DatabaseAddress, details: StatementDetails, parent: Context): TracingApplication | undefined {
  const application = applicationIn(parent);
  if (application?.databases === undefined) return undefined;
  const outer = outboundIn(parent);
  if (outer !== undefined) {
    // An ORM may not know the server and the database.
    if (outer.operation instanceof Query && !outer.operation.isLocated) outer.note(() => addressAttributes(database));
    return undefined;
  }
  const active = trace.getSpan(parent);
  return (details.needsParent === true && active === undefined) || isOfOfficialOrm(active) ? undefined : application;
}

function start(application: TracingApplication, query: Query, parent: Context): OutboundWork | undefined {
  const work = startOutbound(application, query, parent);
  if (!work.span.isRecording()) return undefined;
  work.describeFailure = describeFailure;
  let list = unfinished.get(application);
  if (list === undefined) unfinished.set(application, (list = new InFlightOperations('query')));
  work.enter(list);
  return work;
}

const unfinished = new WeakMap<TracingApplication, InFlightOperations<OutboundWork>>();

/** Ends the spans of statements that the application has not finished, such as those of open cursors, because it closes. */
export function endUnfinished(application: TracingApplication): void {
  for (const work of unfinished.get(application)?.all() ?? []) work.endWith(recordCutOff);
}

function describeFailure(span: Span, thrown: unknown): void {
  const code = databaseErrorCode(thrown);
  if (code !== undefined) span.setAttributes(statusAttributes(code));
}

abstract class Query implements OutboundOperation {
  constructor(
    protected readonly options: ResolvedDatabaseOptions,
    private readonly details: StatementDetails,
  ) {}

  protected abstract readonly address: DatabaseAddress;
  /** Described when it is first read. */
  protected abstract readonly parts: QueryParts;
  protected abstract ownAttributes(): Attributes;

  /** True if the server and the database are known. */
  get isLocated(): boolean {
    const { address, namespace } = this.address;
    return address !== undefined && namespace !== undefined;
  }

  get kind() {
    return SpanKind.CLIENT as const;
  }

  get name(): string {
    const { operation, summary } = this.parts;
    return summary ?? operation ?? this.address.system;
  }

  attributes(): Attributes {
    const attributes = this.ownAttributes();
    const { batchSize = 1, parameters } = this.details;
    const isCaptured = this.options.captureParameters && parameters !== undefined;
    if (batchSize <= 1 && !isCaptured) return attributes;
    const captured = isCaptured ? guarded('databases.captureParameters', () => parameterAttributes(parameters), {}) : {};
    return { ...attributes, ...batchAttributes(batchSize), ...captured };
  }

  failed(thrown: unknown): void {
    noteFailedStatement(thrown, this.sent());
  }

  protected sent(): Sent {
    return { parameters: this.details.parameters };
  }

  isIgnored(): boolean {
    const { ignore } = this.options;
    if (ignore.length === 0) return false;
    const { collection, operation, text } = this.parts;
    const { namespace, system } = this.address;
    return ruleOf(this.options)({ system, namespace, operation, collection, summary: this.name, text });
  }
}

class SqlQuery extends Query {
  private statement: Statement | undefined;

  constructor(
    options: ResolvedDatabaseOptions,
    details: StatementDetails,
    private readonly database: Database,
    private readonly text: string,
    private readonly dialect: SqlDialect,
  ) {
    super(options, details);
  }

  protected get address(): DatabaseAddress {
    return this.database.address;
  }

  protected get parts(): Statement {
    return (this.statement ??= describeStatement(this.text, this.dialect));
  }

  protected override sent(): Sent {
    return { ...super.sent(), text: this.text, shown: this.parts.text };
  }

  protected ownAttributes(): Attributes {
    return this.database.attributesOf(this.parts, this.options);
  }
}

class CommandQuery extends Query {
  private described: QueryParts | undefined;

  constructor(
    options: ResolvedDatabaseOptions,
    details: StatementDetails,
    protected readonly address: DatabaseAddress,
    private readonly describe: () => QueryParts,
  ) {
    super(options, details);
  }

  protected get parts(): QueryParts {
    return (this.described ??= this.describe());
  }

  protected ownAttributes(): Attributes {
    return queryAttributes(this.address, this.parts, this.options);
  }
}

const compiled = new WeakMap<ResolvedDatabaseOptions, (query: DatabaseQuery) => boolean>();

function ruleOf(options: ResolvedDatabaseOptions): (query: DatabaseQuery) => boolean {
  let rule = compiled.get(options);
  if (rule === undefined) compiled.set(options, (rule = anyRule(options.ignore, ({ summary }) => summary, 'databases.ignore')));
  return rule;
}
