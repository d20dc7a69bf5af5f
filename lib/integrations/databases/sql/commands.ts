/** Finds the operation and targets of statements that are no queries: CREATE, DROP, CALL, BEGIN and others. */
import type { SqlDialect } from './dialect.js';
import { type Findings, readName } from './names.js';
import { readQuery, QUERY_WORDS } from './queries.js';
import type { Token } from './tokenizer.js';

/** Statements that are told by their first word alone: names in them are accounts, variables, or made up by libraries. */
const BARE = new Set(
  (
    'BEGIN COMMIT SAVEPOINT SET SHOW PRAGMA LISTEN UNLISTEN NOTIFY FETCH CLOSE MOVE GRANT REVOKE DENY COMMENT RESET DISCARD DEALLOCATE ABORT ' +
    'END ATTACH DETACH DO KILL FLUSH CHECKPOINT BACKUP RESTORE PRINT WAITFOR IF WHILE XA CHECK LOAD REASSIGN SECURITY HELP IMPORT OPEN RETURN HANDLER'
  ).split(' '),
);
/** Words between CREATE, ALTER or DROP and the kind of object. */
const MODIFIERS = new Set(
  (
    'OR REPLACE TEMP TEMPORARY GLOBAL LOCAL UNLOGGED UNIQUE RECURSIVE VIRTUAL FULLTEXT SPATIAL CLUSTERED NONCLUSTERED COLUMNSTORE ' +
    'FORCE EDITIONABLE NONEDITIONABLE PUBLIC PRIVATE TRUSTED PROCEDURAL CONSTRAINT AGGREGATE BITMAP TRANSIENT SQL SECURITY DEFINER INVOKER'
  ).split(' '),
);
/** Kinds of two words: the word goes with the one behind it. */
const DOUBLE_KINDS = new Set('MATERIALIZED FOREIGN EXTERNAL EVENT ACCESS DEFAULT SERVER TEXT USER DATABASE RESOURCE'.split(' '));
const SECOND_KINDS = new Set('VIEW TABLE TRIGGER METHOD PRIVILEGES ROLE SEARCH MAPPING LINK GROUP'.split(' '));
/** Kinds whose names are not told. */
const ACCOUNT_KINDS = new Set('USER ROLE LOGIN GROUP CREDENTIAL PROFILE RULE SYSTEM SESSION SERVER'.split(' '));
const TABLE_KINDS = new Set(['TABLE', 'FOREIGN TABLE', 'EXTERNAL TABLE', 'VIEW', 'MATERIALIZED VIEW']);
/** Kinds with statements inside. */
const ROUTINES = new Set(['FUNCTION', 'PROCEDURE', 'PROC', 'TRIGGER', 'EVENT', 'PACKAGE', 'TYPE', 'EVENT TRIGGER']);
/** Words between a kind and a name. */
const BEFORE_NAME = new Set(
  'IF NOT EXISTS CONCURRENTLY ONLY TABLE TABLES FULL FREEZE VERBOSE ANALYZE LOCAL NO_WRITE_TO_BINLOG EXTENDED FORMATTED'.split(' '),
);
/** Statements about tables, whose names follow. */
const ABOUT_TABLES = new Set('TRUNCATE LOCK VACUUM ANALYZE ANALYSE OPTIMIZE REPAIR REINDEX CLUSTER RENAME'.split(' '));

/** Returns true if nothing behind this statement is to be looked at: it holds statements or data. */
export function readCommand(tokens: readonly Token[], start: number, end: number, findings: Findings, dialect: SqlDialect): boolean {
  return new CommandReader(tokens, end, findings, dialect).read(start, tokens[start]?.upper ?? '');
}

class CommandReader {
  constructor(
    private readonly tokens: readonly Token[],
    private readonly end: number,
    private readonly findings: Findings,
    private readonly dialect: SqlDialect,
  ) {}

  read(start: number, first: string): boolean {
    const { findings } = this;
    const second = this.upper(start + 1);
    switch (first) {
      case 'CREATE':
      case 'ALTER':
      case 'DROP':
        return this.definition(start, first);
      case 'CALL':
        this.procedure(start + 1, first);
        return false;
      case 'EXEC':
      case 'EXECUTE':
        this.execute(start, first);
        return false;
      case 'EXPLAIN':
      case 'DESCRIBE':
      case 'DESC':
        this.explain(start, first);
        return false;
      case 'DECLARE':
      case 'PREPARE':
        findings.addOperation(first, true);
        if (!this.tokens[start + 1]?.text.startsWith('@')) this.queryBehind(start + 1);
        return false;
      case 'COPY':
        this.copy(start);
        return true;
      case 'START':
        findings.addOperation(second === '' ? first : `${first} ${second}`, true);
        return false;
      case 'ROLLBACK':
        findings.addOperation(this.has(start, 'TO') ? 'ROLLBACK TO SAVEPOINT' : first, true);
        return false;
      case 'RELEASE':
        findings.addOperation('RELEASE SAVEPOINT', true);
        return false;
      case 'SAVE':
        findings.addOperation('SAVE TRANSACTION', true);
        return false;
      case 'REFRESH':
        findings.addOperation('REFRESH MATERIALIZED VIEW', true);
        this.names(start + 3, true);
        return false;
      case 'USE':
        findings.addOperation(first, true);
        this.names(start + 1, false);
        return false;
      default:
        if (ABOUT_TABLES.has(first)) this.aboutTables(start, first);
        else if (BARE.has(first)) findings.addOperation(first, true);
        return false;
    }
  }

  private upper(index: number): string {
    return index < this.end ? (this.tokens[index]?.upper ?? '') : '';
  }

  /** True if the word is one of the next three. */
  private has(start: number, word: string): boolean {
    return this.upper(start + 1) === word || this.upper(start + 2) === word || this.upper(start + 3) === word;
  }

  private definition(start: number, verb: string): boolean {
    const { findings } = this;
    let index = start + 1;
    while (MODIFIERS.has(this.upper(index)) || this.isDefiner(index)) index++;
    let kind = this.upper(index);
    if (kind === '') {
      findings.addOperation(verb, true);
      return true;
    }
    if (DOUBLE_KINDS.has(kind) && SECOND_KINDS.has(this.upper(index + 1))) kind = `${kind} ${this.upper(++index)}`;
    findings.addOperation(`${verb} ${kind}`, true);
    if (ACCOUNT_KINDS.has(kind)) return false;
    const behind = this.names(index + 1, TABLE_KINDS.has(kind), verb === 'DROP');
    if (kind === 'INDEX') this.indexed(behind);
    if (verb === 'CREATE' && TABLE_KINDS.has(kind)) this.queryBehind(behind);
    return verb !== 'DROP' && ROUTINES.has(kind);
  }

  /** True in DEFINER = account and ALGORITHM = word of MySQL. */
  private isDefiner(index: number): boolean {
    const token = this.tokens[index];
    if (index >= this.end || token === undefined) return false;
    return (
      token.text === '=' ||
      this.tokens[index + 1]?.text === '=' ||
      this.tokens[index - 1]?.text === '=' ||
      token.text.startsWith('@') ||
      token.kind === 'literal'
    );
  }

  /** Adds the table that an index belongs to. */
  private indexed(index: number): void {
    for (let at = index; at < Math.min(this.end, index + 4); at++) {
      if (this.upper(at) !== 'ON') continue;
      const read = readName(this.tokens, this.upper(at + 1) === 'ONLY' ? at + 2 : at + 1, this.end);
      if (read !== undefined) this.findings.addTable(read.name);
      return;
    }
  }

  /** Adds the name at the index, and those behind commas. Returns the index behind them. */
  private names(index: number, areTables: boolean, isList = true): number {
    let at = index;
    while (BEFORE_NAME.has(this.upper(at))) at++;
    while (at < this.end) {
      if (this.upper(at) === 'ON') return at;
      const read = readName(this.tokens, at, this.end);
      if (read === undefined) return at;
      if (areTables) this.findings.addTable(read.name);
      else this.findings.addTarget(read.name);
      at = read.next;
      if (!isList) return at;
      while (at < this.end && this.tokens[at]?.text !== ',') at++;
      at++;
    }
    return at;
  }

  private aboutTables(start: number, first: string): void {
    this.findings.addOperation(first, true);
    let index = start + 1;
    if (first === 'VACUUM' && (this.upper(index) === 'INTO' || this.upper(index + 1) === 'INTO')) return;
    if (this.tokens[index]?.text === '(') while (index < this.end && this.tokens[index++]?.text !== ')');
    if (first === 'REINDEX' && this.upper(index) !== 'TABLE') return;
    this.names(index, true);
  }

  private execute(start: number, first: string): void {
    // EXECUTE of these runs a statement that was prepared under a name.
    if (first === 'EXECUTE' && (this.dialect === 'postgresql' || this.dialect === 'mysql')) {
      this.findings.addOperation(first, true);
      return;
    }
    const assigns = this.tokens[start + 1]?.kind === 'placeholder' && this.tokens[start + 2]?.text === '=';
    this.procedure(assigns ? start + 3 : start + 1, first);
  }

  private procedure(index: number, verb: string): void {
    this.findings.addOperation(verb, true);
    const read = readName(this.tokens, index, this.end);
    if (read === undefined) return;
    this.findings.addTarget(read.name);
    this.findings.procedure = read.name;
  }

  private explain(start: number, first: string): void {
    this.findings.addOperation(first, true);
    if (!this.queryBehind(start + 1) && first !== 'EXPLAIN') this.names(start + 1, true, false);
  }

  private copy(start: number): void {
    this.findings.addOperation('COPY', true);
    if (this.tokens[start + 1]?.text === '(') readQuery(this.tokens, start + 1, this.end, this.findings, false);
    else this.names(start + 1, true, false);
  }

  /** Adds the query that starts somewhere behind the index. False if there is none. */
  private queryBehind(index: number): boolean {
    for (let at = index; at < this.end; at++) {
      const upper = this.upper(at);
      if (upper === '' || upper === 'TABLE' || upper === 'FROM' || !QUERY_WORDS.has(upper)) continue;
      if (upper === 'WITH' && this.upper(at + 2) !== 'AS' && this.upper(at + 1) !== 'RECURSIVE') continue;
      readQuery(this.tokens, at, this.end, this.findings, false);
      return true;
    }
    return false;
  }
}
