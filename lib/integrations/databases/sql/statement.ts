/** Describes SQL statements for spans: summary, operation, table, and the text without values. */
import type { SqlDialect } from './dialect.js';
import { decideDoubleQuotes } from './double-quotes.js';
import { queryText } from './query-text.js';
import { summarize, type Summary } from './summary.js';
import { tokenize } from './tokenizer.js';

export type { SqlDialect } from './dialect.js';

/** What is told about a statement. No value that stands in it is here. */
export interface Statement {
  /** `db.query.summary`, as `SELECT users`: at most 255 characters, cut between words. Undefined if nothing is recognized. */
  readonly summary: string | undefined;
  /** `db.operation.name` in upper case. Undefined for several statements of different kinds, `BATCH INSERT` for several of one kind. */
  readonly operation: string | undefined;
  /** `db.collection.name`, if exactly one table is named. */
  readonly collection: string | undefined;
  /** `db.stored_procedure.name` of CALL and EXEC. */
  readonly procedure: string | undefined;
  /** `db.query.text`: literals are `?`, comments are gone, placeholders stay; at most 4096 characters. */
  readonly text: string;
}

/** Longer texts are not kept. */
const MAX_KEPT_LENGTH = 10_000;
/** Half of what a dialect may keep, in texts and in characters. */
const MAX_TEXTS = 500;
const MAX_CHARACTERS = 500_000;

const caches = new Map<SqlDialect, StatementCache>();

/** Returns the description of a text, the same object each time as long as the text is kept. Never throws. */
export function describeStatement(text: string, dialect: SqlDialect): Statement {
  let cache = caches.get(dialect);
  if (cache === undefined) {
    cache = new StatementCache(dialect);
    caches.set(dialect, cache);
  }
  return cache.describe(text);
}

/** Two generations of descriptions. What is used while it is in the old one stays, so that texts that come once push nothing else out. */
class StatementCache {
  private recent = new Map<string, Statement>();
  private old = new Map<string, Statement>();
  private characters = 0;

  constructor(private readonly dialect: SqlDialect) {}

  describe(text: string): Statement {
    const known = this.recent.get(text);
    if (known !== undefined) return known;
    const statement = this.old.get(text) ?? describe(text, this.dialect);
    if (text.length <= MAX_KEPT_LENGTH) this.keep(text, statement);
    return statement;
  }

  private keep(text: string, statement: Statement): void {
    if (this.recent.size >= MAX_TEXTS || this.characters + text.length > MAX_CHARACTERS) {
      this.old = this.recent;
      this.recent = new Map();
      this.characters = 0;
    }
    this.recent.set(text, statement);
    this.characters += text.length;
  }
}

function describe(text: string, dialect: SqlDialect): Statement {
  const tokens = decideDoubleQuotes(tokenize(text, dialect));
  const { summary, operation, collection, procedure }: Summary = summarize(tokens, dialect);
  return { summary, operation, collection, procedure, text: queryText(tokens) };
}
