/** Decides whether texts in double quotes are names or strings, where the server itself takes them as one or the other. */
import type { Token } from './tokenizer.js';

/** A name follows these words in every statement. */
const BEFORE_NAME = new Set(
  'JOIN UPDATE TABLE AS INDEX VIEW TRIGGER EXISTS ONLY REFERENCES SAVEPOINT RECURSIVE COLUMN CONSTRAINT ADD'.split(' '),
);
/** Statements whose FROM and INTO stand before a table. */
const QUERIES = new Set(['SELECT', 'DELETE', 'UPDATE', 'INSERT', 'REPLACE', 'MERGE']);
/** Statements in which words and names stand for values. */
const ABOUT_VALUES = new Set(['SET', 'PRAGMA', 'VACUUM', 'ATTACH', 'EXEC', 'EXECUTE', 'CALL', 'PRINT']);
const ENDS_ASSIGNMENTS = new Set(['WHERE', 'FROM', 'RETURNING', 'OUTPUT']);

/** What the tokens in one pair of parentheses are. */
interface Level {
  /** True behind SELECT and its like: FROM is followed by tables. In a function it is not. */
  isQuery: boolean;
  /** True in a list of nothing but tables and their aliases. */
  inTables: boolean;
  /** True in a list of columns: behind a table that rows go into, or that is created. */
  inColumns: boolean;
  /** True between SET and WHERE of an UPDATE. */
  inAssignments: boolean;
}

/** Returns the tokens with a decision for each doubtful one: a name where only a name can stand, else a literal. */
export function decideDoubleQuotes(tokens: readonly Token[]): readonly Token[] {
  return tokens.some(token => token.kind === 'doubtful') ? new Decider(tokens).decide() : tokens;
}

class Decider {
  private readonly decided: Token[] = [];
  private level: Level = newLevel(false);
  private readonly outer: Level[] = [];
  private first = '';
  /** True where a table comes next. */
  private isBeforeTable = false;

  constructor(private readonly tokens: readonly Token[]) {}

  decide(): readonly Token[] {
    const { tokens, decided } = this;
    let isStart = true;
    for (const [index, token] of tokens.entries()) {
      if (isStart) this.first = token.upper;
      isStart = token.text === ';';
      if (token.kind !== 'doubtful') decided.push(token);
      else if (this.isName(index)) decided.push({ ...token, kind: 'quoted' });
      else decided.push({ ...token, kind: 'literal', text: '?' });
      this.follow(index, token);
    }
    return decided;
  }

  private isName(index: number): boolean {
    const { level, tokens, decided } = this;
    const before = decided[index - 1];
    const after = tokens[index + 1];
    if (before === undefined || ABOUT_VALUES.has(this.first)) return false;
    if (this.isBeforeTable || before.text === '.' || after?.text === '.') return true;
    // Behind a name there can only be its alias.
    if (before.kind === 'quoted') return true;
    if (before.kind === 'word')
      return BEFORE_NAME.has(before.upper) || (before.upper === 'SET' && level.inAssignments && after?.text === '=');
    if (before.text === ',') return level.inColumns || (level.inAssignments && after?.text === '=');
    return before.text === '(' && level.inColumns;
  }

  private follow(index: number, token: Token): void {
    const { level } = this;
    const wasBeforeTable = this.isBeforeTable;
    this.isBeforeTable = false;
    switch (token.kind) {
      case 'word':
        this.word(index, token.upper, wasBeforeTable);
        break;
      case 'symbol':
        if (token.text === '(') {
          this.outer.push(level);
          this.level = newLevel(this.startsColumns(index));
        } else if (token.text === ')') {
          this.level = this.outer.pop() ?? newLevel(false);
        } else if (token.text === ';') {
          this.level = newLevel(false);
          this.outer.length = 0;
        } else if (token.text === ',') {
          this.isBeforeTable = level.inTables;
          break;
        }
        if (token.text !== '.') level.inTables = false;
        break;
      case 'literal':
      case 'placeholder':
        level.inTables = false;
        break;
      case 'doubtful':
      case 'quoted':
    }
  }

  private word(index: number, upper: string, isTable: boolean): void {
    const { level } = this;
    const before = this.tokens[index - 1]?.upper ?? '';
    if (QUERIES.has(upper)) level.isQuery = true;
    if (ENDS_ASSIGNMENTS.has(upper)) level.inAssignments = false;
    if (upper === 'SET') level.inAssignments = level.isQuery;
    if ((upper === 'FROM' && before !== 'DISTINCT') || upper === 'INTO') {
      this.isBeforeTable = level.isQuery;
      level.inTables = level.isQuery && upper === 'FROM';
    } else if (!isTable && upper !== 'AS') {
      // A table's alias keeps the list going. What looks like one but is a keyword is followed by no comma and a name.
      level.inTables &&= this.isAlias(index);
    }
  }

  private isAlias(index: number): boolean {
    const before = this.decided[index - 1];
    return (
      before?.kind === 'quoted' || before?.upper === 'AS' || this.tokens[index + 1]?.text === ',' || this.tokens[index + 1]?.text === '.'
    );
  }

  /** True if the parenthesis follows the name of a table that rows go into or that is created. */
  private startsColumns(index: number): boolean {
    const { tokens } = this;
    let name = index - 1;
    while (name > 1 && tokens[name - 1]?.text === '.') name -= 2;
    const before = tokens[name - 1]?.upper ?? '';
    return before === 'INTO' || (this.first === 'CREATE' && (before === 'TABLE' || before === 'EXISTS'));
  }
}

function newLevel(inColumns: boolean): Level {
  return { isQuery: false, inTables: false, inColumns, inAssignments: false };
}
