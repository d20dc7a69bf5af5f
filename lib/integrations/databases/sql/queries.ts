/** Finds the operations and tables of queries: SELECT, INSERT, UPDATE, DELETE, MERGE and what is nested in them. */
import { type Findings, readName } from './names.js';
import type { Token } from './tokenizer.js';

/** Words that open a query. */
export const QUERY_WORDS = new Set('SELECT INSERT UPDATE DELETE MERGE REPLACE WITH VALUES TABLE FROM'.split(' '));
/** Words that stand between an operation and its table. */
const BEFORE_TABLE = new Set('INTO FROM ONLY LATERAL LOW_PRIORITY HIGH_PRIORITY DELAYED QUICK IGNORE TABLE OVERWRITE'.split(' '));
/** Words that end a list of tables. */
const AFTER_TABLES = new Set(
  'WHERE GROUP ORDER HAVING LIMIT OFFSET FETCH WINDOW FOR SET RETURNING OUTPUT UNION EXCEPT INTERSECT MINUS VALUES QUALIFY OPTION WHEN EXEC EXECUTE CALL DECLARE PRINT IF BEGIN RETURN'.split(
    ' ',
  ),
);
/** Words behind a table that are no alias of it. */
const NO_ALIAS = new Set([
  ...AFTER_TABLES,
  ...'FROM INTO JOIN STRAIGHT_JOIN INNER LEFT RIGHT FULL CROSS OUTER NATURAL ASOF ON USING WITH SELECT INSERT UPDATE DELETE DEFAULT PARTITION TABLESAMPLE'.split(
    ' ',
  ),
  ...'USE FORCE IGNORE INDEXED NOT APPLY PIVOT UNPIVOT LATERAL GLOBAL ANY SEMI ANTI OVERRIDING WITHIN CONNECT START FINAL SAMPLE'.split(
    ' ',
  ),
]);
/** UPDATE and DELETE behind these words belong to another operation: ON CONFLICT DO UPDATE, FOR NO KEY UPDATE, WHEN MATCHED THEN DELETE. */
const OWN_CLAUSE = new Set('DO KEY FOR ON THEN AFTER BEFORE OF'.split(' '));
const LOCK_HINTS = new Set('NOLOCK READPAST UPDLOCK ROWLOCK HOLDLOCK TABLOCK TABLOCKX READUNCOMMITTED'.split(' '));

/** What is known inside one pair of parentheses. */
interface Level {
  operation: string;
  /** How many findings there were behind the operation. */
  size: number;
  /** True where a comma leads to the next table. */
  inTables: boolean;
  /** True where the next name is a table. */
  expects: boolean;
  /** True between WITH and the query that follows. */
  inWith: boolean;
}

/** Adds the operations and tables of the tokens from `start` to `end`. */
export function readQuery(tokens: readonly Token[], start: number, end: number, findings: Findings, isMain = true): void {
  new QueryReader(tokens, end, findings, isMain).read(start);
}

class QueryReader {
  private level: Level = newLevel(false);
  private readonly outer: Level[] = [];
  private readonly withNames = new Set<string>();

  constructor(
    private readonly tokens: readonly Token[],
    private readonly end: number,
    private readonly findings: Findings,
    private readonly isMain: boolean,
  ) {}

  read(start: number): void {
    for (let index = start; index < this.end;) index = this.step(index, this.tokens[index] as Token);
  }

  /** Looks at one token. Returns the index of the next one to look at. */
  private step(index: number, token: Token): number {
    const { level } = this;
    if (token.kind === 'symbol') {
      this.symbol(index, token.text);
      return index + 1;
    }
    const isNameOnly = this.tokens[index - 1]?.text === '.' || (token.kind === 'word' && this.tokens[index + 1]?.text === '.');
    if (token.kind === 'word' && !isNameOnly) {
      const next = this.keyword(index, token.upper);
      if (next > 0) return next;
    }
    if (level.expects && (token.kind === 'word' || token.kind === 'quoted')) return this.table(index);
    level.expects = false;
    return index + 1;
  }

  private symbol(index: number, symbol: string): void {
    const { level } = this;
    if (symbol === '(') {
      this.outer.push(level);
      this.level = newLevel(level.expects);
      level.expects = false;
    } else if (symbol === ')') {
      this.level = this.outer.pop() ?? newLevel(false);
    } else if (symbol === ',') {
      level.expects = level.inTables;
      if (level.inWith) this.withName(index + 1);
    }
  }

  /** Looks at a word that may be a keyword. Returns the index to go on at, or 0 if the word is none. */
  private keyword(index: number, upper: string): number {
    const { level } = this;
    switch (upper) {
      case '':
        return 0;
      case 'SELECT':
      case 'INSERT':
      case 'REPLACE':
      case 'UPDATE':
      case 'DELETE':
      case 'MERGE':
        return this.operation(index, upper);
      case 'VALUES':
      case 'TABLE':
        if (level.operation === '' && !level.inTables && !level.expects && this.isStart(index)) return this.operation(index, upper);
        break;
      case 'WITH':
        if (this.isBeforeWithName(index)) {
          level.inWith = true;
          level.expects = false;
          return this.withName(this.upper(index + 1) === 'RECURSIVE' ? index + 2 : index + 1);
        }
        break;
      case 'FROM':
        if (level.operation === '' || this.upper(index - 1) === 'DISTINCT') return index + 1;
        // In DELETE a FROM a JOIN b the tables are named again.
        if (level.operation === 'DELETE') this.findings.shrink(level.size);
        level.inTables = true;
        level.expects = true;
        return index + 1;
      case 'INTO':
        level.expects = level.operation !== '' && !['OUTFILE', 'DUMPFILE'].includes(this.upper(index + 1));
        return index + 1;
      case 'JOIN':
      case 'STRAIGHT_JOIN':
      case 'APPLY':
        level.expects = true;
        return index + 1;
      case 'USING':
        level.expects = level.operation === 'MERGE' || (level.operation === 'DELETE' && this.tokens[index + 1]?.text !== '(');
        level.inTables ||= level.expects;
        return index + 1;
      case 'ON':
        level.expects = false;
        return index + 1;
      case 'OR':
      case 'TOP':
        // INSERT OR REPLACE INTO, UPDATE TOP (1): the table is still to come.
        if (level.expects) return this.skip(index + 1);
    }
    if (level.expects && BEFORE_TABLE.has(upper)) return index + 1;
    if (!AFTER_TABLES.has(upper)) return 0;
    level.inTables = false;
    level.expects = false;
    return index + 1;
  }

  private upper(index: number): string {
    return this.tokens[index]?.upper ?? '';
  }

  /** True if nothing but a parenthesis, EXPLAIN or AS can stand before. */
  private isStart(index: number): boolean {
    const before = this.tokens[index - 1];
    return (
      before === undefined || before.kind === 'symbol' || before.upper === 'AS' || before.upper === 'FOR' || before.upper === 'EXPLAIN'
    );
  }

  private skip(index: number): number {
    return this.tokens[index]?.text === '(' ? index + 3 : index + 1;
  }

  private operation(index: number, upper: string): number {
    const { level } = this;
    const isCall = this.tokens[index + 1]?.text === '(';
    if (upper !== 'SELECT' && upper !== 'VALUES') {
      if (isCall || OWN_CLAUSE.has(this.upper(index - 1))) return index + 1;
      if ((upper === 'REPLACE' || upper === 'MERGE') && level.operation !== '') return index + 1;
    }
    this.findings.addOperation(upper, this.isMain && this.outer.length === 0);
    level.operation = upper;
    level.size = this.findings.size;
    level.inWith = false;
    level.inTables = upper === 'UPDATE';
    level.expects = upper !== 'SELECT' && upper !== 'VALUES';
    return index + 1;
  }

  private isBeforeWithName(index: number): boolean {
    const next = this.tokens[index + 1];
    if (next?.upper === 'RECURSIVE') return true;
    if (next === undefined || next.kind === 'symbol' || next.kind === 'literal' || next.upper === 'ORDINALITY') return false;
    const after = this.tokens[index + 2];
    return after?.upper === 'AS' || after?.text === '(';
  }

  /** Remembers the name at the index, which is no table. Returns the index behind it. */
  private withName(index: number): number {
    const read = readName(this.tokens, index, this.end);
    if (read === undefined) return index;
    const after = this.tokens[read.next];
    if (after?.upper === 'AS' || after?.text === '(') this.withNames.add(read.name.toUpperCase());
    return read.next;
  }

  private table(index: number): number {
    const { level, tokens } = this;
    level.expects = false;
    const read = readName(tokens, index, this.end);
    if (read === undefined) return index + 1;
    const isIn = level.operation !== 'SELECT' && level.operation !== '' && !level.inTables;
    const isFunction = tokens[read.next]?.text === '(' && !isIn && !this.isBehindInto(index) && !LOCK_HINTS.has(this.upper(read.next + 1));
    if (!isFunction && (read.isQualified || !this.withNames.has(read.name.toUpperCase()))) {
      const mayBeAlias = !read.isQualified && level.operation === 'UPDATE';
      this.findings.addTable(read.name, mayBeAlias);
    }
    if (level.operation === 'DELETE') level.inTables = true;
    return this.alias(read.next);
  }

  private isBehindInto(index: number): boolean {
    return this.upper(index - 1) === 'INTO';
  }

  /** Remembers the alias at the index, if there is one. Returns the index behind it. */
  private alias(index: number): number {
    const hasAs = this.upper(index) === 'AS';
    const at = hasAs ? index + 1 : index;
    const token = this.tokens[at];
    if (at >= this.end || token === undefined || (!hasAs && token.kind === 'word' && NO_ALIAS.has(token.upper))) return index;
    const read = readName(this.tokens, at, this.end);
    if (read === undefined || read.isQualified) return index;
    // A query follows in CREATE TABLE x AS SELECT.
    if (hasAs && QUERY_WORDS.has(token.upper)) return index;
    this.findings.aliases.add(read.name.toUpperCase());
    return read.next;
  }
}

function newLevel(expects: boolean): Level {
  return { operation: '', size: 0, inTables: expects, expects, inWith: false };
}
