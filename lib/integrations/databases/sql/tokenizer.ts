/** Splits SQL text into tokens, in one pass. The content of a literal goes into no token. */
import { isBlank, isDigit, isWordStart } from './characters.js';
import { type LexicalRules, RULES, type SqlDialect } from './dialect.js';
import * as lexemes from './lexemes.js';

/** A doubtful token stands in double quotes: it is a name or a string, and its place decides. */
type TokenKind = 'word' | 'quoted' | 'doubtful' | 'literal' | 'placeholder' | 'symbol';

export interface Token {
  readonly kind: TokenKind;
  /** As written, or `?` for a literal. */
  readonly text: string;
  /** A word in upper case; empty for everything else and for words too long to be keywords. */
  readonly upper: string;
  /** True if blanks or comments stand before it. */
  readonly gap: boolean;
}

/** Texts with more tokens are scripts: what comes later is not looked at. */
const MAX_TOKENS = 20_000;
const MAX_KEYWORD = 20;
/** Placeholders have small numbers. A longer one is a value. */
const MAX_PLACEHOLDER_DIGITS = 5;
/** Longer than the longest name of any of these databases. */
const MAX_NAME = 256;

/** Words of SQL Server that start with a dollar sign. Any other is an amount of money without digits. */
const PSEUDO_COLUMN = /^\$(action|identity|partition|rowguid|node_id|edge_id|from_id|to_id)$/i;

const DOUBLE_QUOTE = 34;
const HASH = 35;
const DOLLAR = 36;
const QUOTE = 39;

/** Returns the tokens of a text. Never throws. What is not closed is hidden to its end. */
export function tokenize(text: string, dialect: SqlDialect): readonly Token[] {
  return new Scanner(text, RULES[dialect]).scan();
}

class Scanner {
  private readonly tokens: Token[] = [];
  private position = 0;
  /** The kind of what is being read. Undefined for blanks and comments. */
  private kind: TokenKind | undefined;
  private gap = false;
  /** True right behind an E'…': a string that follows continues it. */
  private escaped = false;
  /** True in a comment whose content the server runs. */
  private inRunComment = false;
  private readonly isHashLetter: boolean;

  constructor(
    private readonly text: string,
    private readonly rules: LexicalRules,
  ) {
    this.isHashLetter = rules.hash === 'letter' || rules.hash === 'unknown';
  }

  scan(): readonly Token[] {
    const { text, tokens } = this;
    while (this.position < text.length && tokens.length < MAX_TOKENS) {
      const end = this.read(text.charCodeAt(this.position));
      if (this.kind === undefined) this.gap = true;
      else this.push(this.kind, end);
      this.position = end;
    }
    return tokens;
  }

  private push(kind: TokenKind, end: number): void {
    const { gap } = this;
    this.gap = false;
    if (kind !== 'literal') {
      this.escaped = false;
      if (end - this.position <= MAX_NAME) {
        const text = this.text.slice(this.position, end);
        const upper = kind === 'word' && text.length <= MAX_KEYWORD ? text.toUpperCase() : '';
        this.tokens.push({ kind, text, upper, gap });
        return;
      }
    }
    this.tokens.push({ kind: 'literal', text: '?', upper: '', gap });
  }

  /** Returns the end of what starts at the position with this character, and sets its kind. */
  private read(code: number): number {
    const { rules, text, position } = this;
    if (isBlank(code)) return this.found(undefined, position + 1);
    if (isDigit(code)) return this.literal(lexemes.endOfNumber(text, position));
    if (rules.money && (code === DOLLAR || code > 127)) {
      const end = code === DOLLAR && rules.dollar === 'quote' ? -1 : lexemes.endOfMoney(text, position);
      if (end > 0) return this.literal(end);
    }
    if (isWordStart(code) || (code === HASH && rules.hash === 'letter')) return this.word();
    switch (code) {
      case QUOTE:
        return this.string(position, this.escaped);
      case DOUBLE_QUOTE:
        return rules.doubleQuotes === 'string' ? this.string(position, false) : this.doubleQuoted(position);
      case 96: // `
        return rules.backticks ? this.quoted('`', position) : this.symbol();
      case 91: // [
        return rules.brackets ? this.quoted(']', position) : this.symbol();
      case 45: // -
        if (this.at(1) !== 45 || (rules.dashesNeedBlank && this.at(2) > 32)) return this.symbol();
        return this.comment(lexemes.endOfLineComment(text, position, rules));
      case 47: // /
        return this.at(1) === 42 ? this.blockComment() : this.symbol();
      case 42: // *
        // The end of a comment whose content the server runs.
        return this.inRunComment && this.at(1) === 47 ? this.endRunComment() : this.symbol();
      case HASH:
        if (rules.hash === 'operator') return this.symbol();
        return this.comment(rules.hash === 'unknown' ? -1 : lexemes.endOfLineComment(text, position, rules));
      case 46: // .
        return isDigit(this.at(1)) && !this.touchesName() ? this.literal(lexemes.endOfNumber(text, position)) : this.symbol();
      case DOLLAR:
        return this.dollar();
      case 63: // ?
        return this.questionMark();
      case 58: // :
        return this.colon();
      case 64: // @
        return rules.atNames ? this.atName() : this.symbol();
      default:
        // A sign beyond ASCII is no operator: only the server knows what it and the word behind it are.
        return code < 128 ? this.symbol() : this.literal(this.endOfWord(position + 1));
    }
  }

  private found(kind: TokenKind | undefined, end: number): number {
    this.kind = kind;
    return end;
  }

  private literal(end: number): number {
    this.escaped = false;
    return this.found('literal', end);
  }

  private symbol(): number {
    return this.found('symbol', this.position + 1);
  }

  private at(offset: number): number {
    return this.text.charCodeAt(this.position + offset);
  }

  private endOfWord(start: number): number {
    return lexemes.endOfWord(this.text, start, this.isHashLetter);
  }

  /** True if the token before is a name without a blank behind it, as in `users.1`. */
  private touchesName(): boolean {
    const last = this.tokens.at(-1);
    return !this.gap && (last?.kind === 'word' || last?.kind === 'quoted' || last?.kind === 'doubtful');
  }

  private word(): number {
    const { text, position, rules } = this;
    const end = this.endOfWord(position + 1);
    const after = text.charCodeAt(end);
    if (after === QUOTE && end - position <= 2) {
      const prefix = text.slice(position, end).toLowerCase();
      if (rules.prefixes.has(prefix)) {
        return prefix.endsWith('q') ? this.literal(lexemes.endOfAlternativeQuote(text, end)) : this.string(end, prefix === 'e');
      }
    }
    // U&'…' and U&"…"
    if (after === 38 && end === position + 1 && (this.at(0) | 32) === 117 && rules.prefixes.has('u&')) {
      if (this.at(2) === QUOTE) return this.string(end + 1, false);
      if (this.at(2) === DOUBLE_QUOTE) return this.doubleQuoted(end + 1);
    }
    return this.found('word', end);
  }

  private string(quote: number, escaped: boolean): number {
    this.escaped = escaped;
    return this.found('literal', lexemes.endOfString(this.text, quote, this.rules, escaped));
  }

  private doubleQuoted(quote: number): number {
    // Three quotes start a string in some dialects.
    if (this.rules.backslash === 'unknown' && this.text.startsWith('"""', quote)) return this.literal(this.text.length);
    const end = this.quoted('"', quote);
    if (this.kind === 'quoted' && this.rules.doubleQuotes === 'doubtful') this.kind = 'doubtful';
    return end;
  }

  private quoted(close: string, start: number): number {
    const end = lexemes.endOfName(this.text, start, close);
    // In some dialects a backslash keeps a quote from ending it.
    const isUncertain = this.rules.backslash === 'unknown' && end > 0 && this.text.slice(start, end).includes('\\');
    return end < 0 || isUncertain ? this.literal(this.text.length) : this.found('quoted', end);
  }

  /** Skips a comment. If its end is unknown, the rest is hidden. */
  private comment(end: number): number {
    return end < 0 ? this.literal(this.text.length) : this.found(undefined, end);
  }

  private blockComment(): number {
    const start = this.rules.commentsRun ? lexemes.startOfRunComment(this.text, this.position) : -1;
    if (start < 0) return this.comment(lexemes.endOfBlockComment(this.text, this.position, this.rules));
    this.inRunComment = true;
    return this.found(undefined, start);
  }

  private endRunComment(): number {
    this.inRunComment = false;
    return this.found(undefined, this.position + 2);
  }

  private dollar(): number {
    const { rules, text, position } = this;
    if (isDigit(this.at(1))) return this.numbered();
    if (rules.dollar === 'quote') {
      const end = lexemes.endOfDollarQuote(text, position);
      return end < 0 ? this.symbol() : this.literal(end);
    }
    if (!isWordStart(this.at(1))) return this.symbol();
    const end = this.endOfWord(position + 1);
    if (rules.money && !PSEUDO_COLUMN.test(text.slice(position, end))) return this.literal(end);
    return this.found(rules.dollar === 'letter' ? 'word' : 'placeholder', end);
  }

  /** A placeholder with a number: `$1`, `:1`. */
  private numbered(): number {
    const end = this.endOfWord(this.position + 1);
    return this.found(this.isSmallNumber(this.position + 1, end) ? 'placeholder' : 'literal', end);
  }

  private isSmallNumber(start: number, end: number): boolean {
    return end - start <= MAX_PLACEHOLDER_DIGITS && /^\d+$/.test(this.text.slice(start, end));
  }

  private questionMark(): number {
    const start = this.position + 1;
    const end = this.endOfWord(start);
    return this.found('placeholder', this.isSmallNumber(start, end) ? end : start);
  }

  private colon(): number {
    const last = this.tokens.at(-1);
    const touches = last !== undefined && !this.gap;
    if (touches && last.text === ':') return this.symbol();
    if (isWordStart(this.at(1))) return this.found('placeholder', this.endOfWord(this.position + 1));
    // The number is a placeholder, but not where a colon stands between two values, as in a slice or an object.
    const isBetween = this.rules === RULES.postgresql || (touches && last.kind !== 'symbol');
    return isDigit(this.at(1)) && !isBetween ? this.numbered() : this.symbol();
  }

  private atName(): number {
    const start = this.position + (this.at(1) === 64 ? 2 : 1);
    const end = this.endOfWord(start);
    if (end === start) return this.symbol();
    const isName = !isDigit(this.text.charCodeAt(start)) || this.isSmallNumber(start, end);
    return this.found(isName ? 'placeholder' : 'literal', end);
  }
}
