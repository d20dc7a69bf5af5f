/** Attributes of statements and commands (semantic conventions for database client spans). */
import type { Attributes } from '@opentelemetry/api';
import type { ResolvedDatabaseOptions } from '../../options/resolved-options.js';
import type { Statement } from './sql/statement.js';

/** What a connection leads to. */
export interface DatabaseAddress {
  /** `db.system.name`. */
  readonly system: string;
  /** `db.namespace`: the name of the database, or its number. */
  readonly namespace?: string | undefined;
  /** `server.address`: a host name, an IP address, or the path of a Unix socket. */
  readonly address?: string | undefined;
  /** `server.port`. */
  readonly port?: number | undefined;
}

/** The parts of a statement or command that its span shows. Undefined parts are left out. */
export interface QueryParts {
  /** `db.query.summary`, which is also the name of the span. */
  readonly summary?: string | undefined;
  readonly operation?: string | undefined;
  readonly collection?: string | undefined;
  readonly procedure?: string | undefined;
  /** `db.query.text`, without values. */
  readonly text?: string | undefined;
}

/** The database of one connection or pool. It keeps the attributes of each statement, because they are the same each time. */
export class Database {
  private readonly known = new WeakMap<Statement, Attributes>();
  private readonly knownWithoutText = new WeakMap<Statement, Attributes>();

  constructor(readonly address: DatabaseAddress) {}

  /** Returns the attributes of a statement. The caller must not change them. */
  attributesOf(statement: Statement, options: ResolvedDatabaseOptions): Attributes {
    const known = options.queryText ? this.known : this.knownWithoutText;
    let attributes = known.get(statement);
    if (attributes === undefined) known.set(statement, (attributes = queryAttributes(this.address, statement, options)));
    return attributes;
  }
}

/** Returns the attributes of a statement or command. */
export function queryAttributes(database: DatabaseAddress, query: QueryParts, { queryText }: ResolvedDatabaseOptions): Attributes {
  const attributes: Attributes = { 'db.system.name': database.system };
  if (database.namespace !== undefined) attributes['db.namespace'] = database.namespace;
  if (query.operation !== undefined) attributes['db.operation.name'] = query.operation;
  if (query.collection !== undefined) attributes['db.collection.name'] = query.collection;
  if (query.procedure !== undefined) attributes['db.stored_procedure.name'] = query.procedure;
  if (query.summary !== undefined) attributes['db.query.summary'] = query.summary;
  if (queryText && query.text !== undefined) attributes['db.query.text'] = query.text;
  return Object.assign(attributes, serverAttributes(database));
}

/** Returns what a driver knows of its connection, and a library above it may not. */
export function addressAttributes(database: DatabaseAddress): Attributes {
  const { namespace } = database;
  return { ...(namespace === undefined ? {} : { 'db.namespace': namespace }), ...serverAttributes(database) };
}

/** Reads the attributes by which another library describes a statement. */
export function describedQuery(attributes: object = {}): { readonly system?: string; readonly text: string } {
  const { 'db.system.name': system, 'db.query.text': text } = attributes as Readonly<Record<string, unknown>>;
  return { ...(typeof system === 'string' ? { system } : {}), text: typeof text === 'string' ? text : '' };
}

function serverAttributes({ address, port }: Pick<DatabaseAddress, 'address' | 'port'>): Attributes {
  const attributes: Attributes = {};
  if (address === undefined) return attributes;
  attributes['server.address'] = address;
  // A Unix socket has a path and no port.
  if (port !== undefined && !address.startsWith('/')) attributes['server.port'] = port;
  return attributes;
}

/** Several statements or documents that are sent as one. One alone is no batch. */
export function batchAttributes(size: number): Attributes {
  return size > 1 ? { 'db.operation.batch.size': size } : {};
}

/** `error.type` is the code that the database answered with. */
export function statusAttributes(code: string): Attributes {
  return { 'db.response.status_code': code, 'error.type': code };
}

const MAX_PARAMETERS = 100;
const MAX_PARAMETER_LENGTH = 1000;

/** Returns `db.query.parameter.<name or index>` for each parameter, as text. */
export function parameterAttributes(parameters: unknown): Attributes {
  const attributes: Attributes = {};
  if (typeof parameters !== 'object' || parameters === null) return attributes;
  for (const [name, value] of Object.entries(parameters).slice(0, MAX_PARAMETERS)) {
    attributes[`db.query.parameter.${name}`] = parameterText(value);
  }
  return attributes;
}

function parameterText(value: unknown): string {
  if (ArrayBuffer.isView(value)) return `<${value.byteLength} bytes>`;
  let text: string | undefined;
  try {
    text = typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
  } catch {
    // It has a cycle, or a method of its own that throws. The other parameters are still recorded.
  }
  text ??= '<unreadable>';
  return text.length > MAX_PARAMETER_LENGTH ? `${text.slice(0, MAX_PARAMETER_LENGTH)}…` : text;
}
