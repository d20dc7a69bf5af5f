/** Returns the text of a statement for `db.query.text`: no value is in it, and lists of values are short. */
import type { Token } from './tokenizer.js';

const MAX_LENGTH = 4096;

const CALLS = new Set(['EXEC', 'EXECUTE']);
/** Statements in which all words behind the first are names of accounts or channels, which may belong to one person. */
const PERSONAL = new Set(['LISTEN', 'UNLISTEN', 'NOTIFY', 'CONNECT']);
/** Statements in which a word may be a value: `SET x = secret`, `EXEC p secret`. */
const WORDS_ARE_VALUES = new Set(['SET', 'PRAGMA', ...CALLS, ...PERSONAL]);
const NO_VALUES = new Set(['OUTPUT', 'OUT', 'NULL', 'DEFAULT']);
/** Words before a value in SET: `SET x TO y`, `SET ROLE y`, `SET SESSION AUTHORIZATION y`. */
const BEFORE_VALUE = new Set(['TO', 'ROLE', 'AUTHORIZATION']);
/** Statements about accounts hide all that follows these words. */
const CREDENTIALS = new Set(['PASSWORD', 'IDENTIFIED', 'SECRET']);
const ACCOUNTS = new Set(['USER', 'ROLE', 'LOGIN', 'GROUP', 'PASSWORD', 'CREDENTIAL']);
const ACCOUNT_STATEMENTS = new Set(['CREATE', 'ALTER', 'SET', 'GRANT']);

/** Returns at most 4096 characters, cut between tokens. */
export function queryText(tokens: readonly Token[]): string {
  return new Writer(tokens).write();
}

class Writer {
  private readonly pieces: string[] = [];
  private length = 0;
  private first = '';
  private isAccount = false;
  /** True where words are values too, as in `SET x = secret`. */
  private inValue = false;
  private mayHoldWords = false;
  /** In calls and statements with names of accounts: the first token that is a value. */
  private valuesFrom: number | undefined;
  private statementStart = 0;
  /** 0: no list; 1: behind `IN (`; 2: behind a value; 3: behind a comma that is not written yet. */
  private list = 0;
  private readonly rows = new Rows();

  constructor(private readonly tokens: readonly Token[]) {}

  write(): string {
    const { tokens } = this;
    for (let index = 0; index < tokens.length && this.length < MAX_LENGTH; index++) {
      const token = tokens[index] as Token;
      if (index === this.statementStart) this.startStatement(index);
      if (token.text === ';') this.statementStart = index + 1;
      if (this.isRest(token, index)) {
        index = this.skipRest(index, token);
        continue;
      }
      this.put(this.shown(token, index), token, index);
    }
    while (this.length > MAX_LENGTH) this.length -= this.pieces.pop()?.length ?? this.length;
    return this.pieces.join('');
  }

  private startStatement(index: number): void {
    const { tokens } = this;
    this.first = tokens[index]?.upper ?? '';
    this.mayHoldWords = WORDS_ARE_VALUES.has(this.first);
    this.inValue = false;
    this.isAccount = false;
    this.valuesFrom = CALLS.has(this.first) ? endOfCall(tokens, index + 1) : PERSONAL.has(this.first) ? index + 1 : undefined;
    if (!ACCOUNT_STATEMENTS.has(this.first)) return;
    for (let next = index + 1; next < index + 6 && tokens[next]?.upper !== 'TABLE'; next++) {
      if (ACCOUNTS.has(tokens[next]?.upper ?? '')) this.isAccount = true;
    }
  }

  /** True behind a word whose rest of the statement is a secret or data. */
  private isRest(token: Token, index: number): boolean {
    const before = this.tokens[index - 1]?.upper ?? '';
    if (before === '' || index === this.statementStart) return false;
    if (this.isData(index)) return true;
    if (token.text === ';') return false;
    if (CREDENTIALS.has(before) && this.isAccount) return true;
    return before === 'IDENTIFIED' && (token.upper === 'BY' || token.upper === 'WITH');
  }

  /** True behind COPY … FROM STDIN and INSERT … FORMAT name: rows of data follow. */
  private isData(index: number): boolean {
    const word = this.tokens[index - 2]?.upper;
    return (
      (word === 'FROM' && this.first === 'COPY' && this.tokens[index - 1]?.upper === 'STDIN') ||
      (word === 'FORMAT' && this.first === 'INSERT')
    );
  }

  /** Writes `?` for the rest of a statement, or of the text where data may follow. Returns the index of the last hidden token. */
  private skipRest(index: number, token: Token): number {
    this.append(token.gap ? ' ?' : '?');
    if (this.isData(index)) return this.tokens.length;
    let last = index;
    while (last + 1 < this.tokens.length && this.tokens[last + 1]?.text !== ';') last++;
    return last;
  }

  private shown(token: Token, index: number): string {
    switch (token.kind) {
      case 'word':
        if (this.mayHoldWords && this.isValue(token, index)) return '?';
        if (token.upper === 'TRUE' || token.upper === 'FALSE') return this.isBehindIs(index) ? token.text : '?';
        // ALTER ROLE x SET y TO z
        if (token.upper === 'SET' && this.first === 'ALTER') this.mayHoldWords = true;
        return token.text;
      case 'quoted':
        return this.mayHoldWords && this.isValue(token, index) ? '?' : token.text;
      case 'doubtful':
        return '?';
      case 'symbol':
        if (this.mayHoldWords) this.follow(token.text, index);
        return token.text;
      case 'literal':
      case 'placeholder':
        return token.text;
    }
  }

  private isBehindIs(index: number): boolean {
    const before = this.tokens[index - 1]?.upper;
    return before === 'IS' || (before === 'NOT' && this.tokens[index - 2]?.upper === 'IS');
  }

  private isValue(token: Token, index: number): boolean {
    if (this.valuesFrom !== undefined) return index >= this.valuesFrom && !NO_VALUES.has(token.upper);
    if (this.inValue) return !NO_VALUES.has(token.upper);
    this.inValue = BEFORE_VALUE.has(token.upper);
    return false;
  }

  private follow(symbol: string, index: number): void {
    if (symbol === '=' || (symbol === '(' && this.first === 'PRAGMA')) this.inValue = true;
    else if (symbol === ',' && this.first === 'SET' && this.tokens[index + 2]?.text === '=') this.inValue = false;
  }

  private put(shown: string, token: Token, index: number): void {
    const piece = token.gap && this.length > 0 ? ` ${shown}` : shown;
    if (this.list > 0 && this.inList(shown)) return;
    this.append(piece);
    if (shown === '(' && this.tokens[index - 1]?.upper === 'IN') this.list = 1;
    this.length -= this.rows.see(shown, this.tokens[index - 1]?.upper ?? '', this.pieces);
  }

  /** True if a token of a list of values need not be written. */
  private inList(shown: string): boolean {
    const isValue = shown === '?';
    if (isValue && this.list === 3) {
      this.list = 2;
      return true;
    }
    if (isValue && this.list === 1) this.list = 2;
    else if (shown === ',' && this.list === 2) {
      this.list = 3;
      return true;
    } else {
      if (this.list === 3) this.append(',');
      this.list = 0;
    }
    return false;
  }

  private append(piece: string): void {
    this.pieces.push(piece);
    this.length += piece.length;
  }
}

/** Returns the index behind `name` or `@result = name`. */
function endOfCall(tokens: readonly Token[], start: number): number {
  let index = tokens[start + 1]?.text === '=' ? start + 2 : start;
  while (tokens[index + 1]?.text === '.') index += 2;
  return index + 1;
}

/** The rows behind VALUES: one that reads like the row before it is taken back. */
class Rows {
  private isActive = false;
  private depth = 0;
  private start = 0;
  private previousStart = -1;
  private previousEnd = -1;

  /** Looks at the last piece. Returns how many characters were taken back. */
  see(shown: string, before: string, pieces: string[]): number {
    if (shown === '(') {
      if (before === 'VALUES' && this.depth === 0) {
        this.isActive = true;
        this.previousStart = -1;
      }
      if (this.isActive && this.depth++ === 0) this.start = pieces.length - 1;
      return 0;
    }
    if (!this.isActive) return 0;
    if (shown === ')') {
      if (--this.depth === 0) return this.close(pieces);
    } else if (this.depth === 0 && shown !== ',') {
      this.isActive = false;
    }
    return 0;
  }

  private close(pieces: string[]): number {
    const { start, previousStart } = this;
    const end = pieces.length;
    const length = end - start;
    let isSame = previousStart >= 0 && this.previousEnd - previousStart === length;
    for (let offset = 1; isSame && offset < length; offset++) isSame = pieces[start + offset] === pieces[previousStart + offset];
    if (!isSame) {
      this.previousStart = start;
      this.previousEnd = end;
      return 0;
    }
    let taken = 0;
    while (pieces.length > this.previousEnd) taken += pieces.pop()?.length ?? 0;
    return taken;
  }
}
