/** The lexical rules in which SQL dialects differ. */

/**
 * The dialects whose lexical rules differ. In `sqlite-names` texts in double quotes are always names, as better-sqlite3 and `node:sqlite`
 * have it; other builds of SQLite take some as strings.
 */
export type SqlDialect = 'postgresql' | 'mysql' | 'sqlite' | 'sqlite-names' | 'mssql' | 'other';

/** The rules of one dialect. Where a server's settings decide, a rule is unknown, and more is hidden. */
export interface LexicalRules {
  /** What a backslash does in '…'. */
  readonly backslash: 'escapes' | 'plain' | 'unknown';
  /** What "…" is. A doubtful one is a name or a string, and its place decides. */
  readonly doubleQuotes: 'name' | 'string' | 'doubtful';
  /** True if `…` is a name. */
  readonly backticks: boolean;
  /** True if […] is a name. */
  readonly brackets: boolean;
  readonly hash: 'comment' | 'operator' | 'letter' | 'unknown';
  /** True if `--` starts a comment only before a blank. */
  readonly dashesNeedBlank: boolean;
  /** True if a lone carriage return ends a `--` comment. */
  readonly returnEndsComment: boolean | 'unknown';
  /** True if a comment can hold comments. */
  readonly nestedComments: boolean | 'unknown';
  /** True if the server runs what stands in a comment that starts with an exclamation mark. */
  readonly commentsRun: boolean;
  /** What a dollar sign before a word starts: $tag$…$tag$, :name with another sign, or a word. */
  readonly dollar: 'quote' | 'placeholder' | 'letter';
  /** True if `@name` is one word. */
  readonly atNames: boolean;
  /** True if numbers stand behind a currency sign. */
  readonly money: boolean;
  /** Words in lower case that belong to the string behind them. */
  readonly prefixes: ReadonlySet<string>;
}

const PREFIXES = ['n', 'b', 'x'];

const SQLITE: LexicalRules = {
  backslash: 'plain',
  doubleQuotes: 'doubtful',
  backticks: true,
  brackets: true,
  hash: 'operator',
  dashesNeedBlank: false,
  returnEndsComment: false,
  nestedComments: false,
  commentsRun: false,
  dollar: 'placeholder',
  atNames: true,
  money: false,
  prefixes: new Set(PREFIXES),
};

export const RULES: Readonly<Record<SqlDialect, LexicalRules>> = {
  postgresql: {
    backslash: 'plain',
    doubleQuotes: 'name',
    backticks: false,
    brackets: false,
    hash: 'operator',
    dashesNeedBlank: false,
    returnEndsComment: true,
    nestedComments: true,
    commentsRun: false,
    dollar: 'quote',
    atNames: false,
    money: false,
    prefixes: new Set([...PREFIXES, 'e', 'u&']),
  },
  mysql: {
    backslash: 'escapes',
    doubleQuotes: 'string',
    backticks: true,
    brackets: false,
    hash: 'comment',
    dashesNeedBlank: true,
    returnEndsComment: false,
    nestedComments: false,
    commentsRun: true,
    dollar: 'letter',
    atNames: true,
    money: false,
    prefixes: new Set(PREFIXES),
  },
  sqlite: SQLITE,
  'sqlite-names': { ...SQLITE, doubleQuotes: 'name' },
  mssql: {
    backslash: 'plain',
    doubleQuotes: 'doubtful',
    backticks: false,
    brackets: true,
    hash: 'letter',
    dashesNeedBlank: false,
    returnEndsComment: 'unknown',
    nestedComments: true,
    commentsRun: false,
    dollar: 'letter',
    atNames: true,
    money: true,
    prefixes: new Set(PREFIXES),
  },
  other: {
    backslash: 'unknown',
    doubleQuotes: 'doubtful',
    backticks: true,
    brackets: false,
    hash: 'unknown',
    dashesNeedBlank: false,
    returnEndsComment: 'unknown',
    nestedComments: 'unknown',
    commentsRun: false,
    dollar: 'quote',
    atNames: true,
    money: true,
    prefixes: new Set([...PREFIXES, 'e', 'r', 'q', 'nq', 'u&']),
  },
};
