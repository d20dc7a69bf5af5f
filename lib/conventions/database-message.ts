/** Takes values and statements out of the messages of databases and their drivers. */
import type { SentValues } from './sent-values.js';

type Members = Readonly<Record<string, unknown>>;

/** Shown where nothing else of a message may be. */
export const FAILED = 'The statement failed.';

const STATEMENT =
  /^\s*(--|\/\*|\(|(select|insert|update|delete|with|merge|replace|create|alter|drop|truncate|call|exec|execute|begin|set|values|explain|copy|prepare|declare|do|grant|revoke|comment|notify|attach|pragma|vacuum|load|signal|change|table)\b)/i;
const SEPARATOR = ' - ';
const MAX_WITH_STATEMENT = 100_000;
const MAX_PARTS = 32;

/**
 * Returns the message as the database sent it. Knex and MikroORM put the statement before it, and both may contain what separates them.
 * The driver of MariaDB puts the statement behind it. If nothing says where the message begins, it is left out.
 */
export function sentMessage({ message, originalMessage, sqlMessage, stack }: Members): string {
  if (typeof originalMessage === 'string') return originalMessage;
  if (typeof sqlMessage === 'string') return sqlMessage;
  if (typeof message !== 'string') return '';
  if (message.length > MAX_WITH_STATEMENT) return endOfLong(message, stack);
  if (!message.includes(SEPARATOR)) return message;
  // Knex changes the message, but not the stack.
  const lines = typeof stack === 'string' ? stack : '';
  const parts = message.split(SEPARATOR);
  for (let first = 1; first < Math.min(parts.length, MAX_PARTS); first++) {
    const sent = parts.slice(first).join(SEPARATOR);
    const place = lines.indexOf(`: ${sent}\n`);
    if (place >= 0 && /^[\w$]+$/.test(lines.slice(0, place))) return sent;
  }
  if (!STATEMENT.test(message)) return message;
  return parts.length === 2 && parts[1] !== undefined ? parts[1] : FAILED;
}

/** Reads a bounded part of the message. */
function endOfLong(message: string, stack: unknown): string {
  const lines = typeof stack === 'string' ? stack.slice(0, 2 * MAX_MESSAGE) : '';
  const sent = /^[\w$]+: ([^]*?)\n +at /.exec(lines)?.[1];
  if (sent !== undefined && message.endsWith(SEPARATOR + sent)) return sent;
  const start = message.slice(0, MAX_MESSAGE + 1);
  return STATEMENT.test(start) || start.trim() === '' ? FAILED : start;
}

/** A quoted name after the word that says what it names. Everything else in quotes may be a value. */
const NAME =
  /\b(?:(?:constraint|relation|column|table|index|field|path|database|schema|function|procedure|sequence|view|object|collection|savepoint|in|near) (["'`])[\w.$ -]{1,128}\1|key '[\w.$ -]{1,128}')(?!\w)/gi;
/** What stands here may be any part of a statement. */
const NEAR = /^near /i;

/** Messages that name what tables do not allow. Names in them are never values. */
const OF_TABLES = (() => {
  const name = '["\'`][\\w.$ -]{1,128}["\'`]';
  return new RegExp(
    `^(duplicate key value violates unique constraint ${name}|null value in column ${name} (of relation ${name} )?violates not-null constraint|` +
      `(insert or update|update or delete) on table ${name} violates foreign key constraint ${name}( on table ${name})?|` +
      `new row for relation ${name} violates check constraint ${name}|Column ${name} cannot be null|Field ${name} doesn't have a default value|` +
      `Cannot (add or update a child|delete or update a parent) row: a foreign key constraint fails \\([\\w.$ \`(),-]{1,1024}\\)|` +
      `(UNIQUE|NOT NULL|CHECK) constraint failed: [\\w., ]{1,512})$`,
  );
})();

const DUPLICATE = 'Duplicate entry ';
/** In MySQL the name of a key comes last in one message only, and that of a column comes before the number of the row. */
const NAME_AT_END = / for (?:key '[\w.$ -]{1,128}'|column (?:'[\w.$ `-]{1,128}'|(?:`[\w$ -]{1,64}`\.?){1,3}) at row \d+)$/;

/** MikroORM adds the detail of PostgreSQL, which may be a whole row without quotes. */
const DETAIL = /\n - detail: [^]*/;

/** Returns the message without values. What is left of it are the words of the database, and names that were not sent as values. */
export function withoutValues(message: string, sent?: SentValues): string {
  if (message.length <= MAX_MESSAGE && OF_TABLES.test(message)) return message;
  const isCut = message.length > MAX_MESSAGE;
  const text = message.slice(0, MAX_MESSAGE).replace(DETAIL, '');
  // What looks like a name may be a part of a value. So names count only before the first value, and where MySQL ends with one.
  let from = 0;
  for (const { 0: name, index } of text.matchAll(NAME)) {
    if (hasQuote(text.slice(from, index)) || !isShown(name, sent)) break;
    from = index + name.length;
  }
  const last = NAME_AT_END.exec(text);
  const isLast = !isCut && last !== null && last.index >= from && (text.startsWith(DUPLICATE) || !last[0].endsWith("'"));
  const to = isLast ? last.index : text.length;
  const result = text.slice(0, from) + withoutQuotes(text.slice(from, to), isCut) + text.slice(to);
  const shown = withoutBraces(isCut ? result.replace(UNENDED, '$1?') : result)
    .replace(/\)=\([^]*\)/, ')=(?)')
    .replace(/(row contains )\([^]*\)/, '$1(?)')
    .replace(/\b(values? (?:is )?)\([^]*\)/i, '$1(?)')
    .replace(NUMBER, number => (ADDRESS.test(number) && sent?.has(number) === false ? number : '?'));
  return sent === undefined ? shown : withoutSentWords(shown, sent);
}

function withoutBraces(text: string): string {
  const [first, last] = [text.indexOf('{'), text.lastIndexOf('}')];
  return first < 0 || last < first ? text : `${text.slice(0, first)}{?}${text.slice(last + 1)}`;
}

function isShown(name: string, sent: SentValues | undefined): boolean {
  const quoted = quotedIn(name);
  if (NEAR.test(name)) return sent?.shows(quoted) === true;
  return sent === undefined || (!hasPartOf(quoted, sent) && !sent.hasParameterWith(quoted + name.slice(-1)));
}

/** MySQL puts the name of the database before names. */
function hasPartOf(name: string, sent: SentValues): boolean {
  return sent.has(name) || (!sent.shows(name) && name.split('.', 4).some(part => part !== '' && sent.has(part)));
}

/** Numbers that may be values: long ones, dates and times. Also addresses of servers. */
const NUMBER = /(?<![\w.-])[a-z][\w-]*(?:\.[\w-]+)*:\d{2,5}\b|(?<!ORA-)\b(?:\d+(?:[-:./]\d+)+|\d{4,})\b/gi;
const ADDRESS = /^(?:\d{1,3}(?:\.\d{1,3}){3}|[a-z].*):\d{2,5}$/i;
/** A value in a text that was cut. It may contain what would end it. */
const UNENDED = /(\{|\)=\(|row contains \(|\bvalues? (?:is )?\()[^]*$/i;

/** Databases repeat ordinary words without quotes in a few places only. Everywhere else, such words are their own. */
const ORDINARY = /^(?:[A-Za-z][a-z]*(?:[-/][a-z]+)*|[A-Z]+)$/;
const BEFORE_UNQUOTED = /(?:: |\b(?:function|procedure|aggregate) )$/;
const AFTER_UNQUOTED = /^ is not an? /;

function withoutSentWords(text: string, sent: SentValues): string {
  return text.replace(WORD, (word, place: number) => {
    const isOrdinary =
      ORDINARY.test(word) &&
      !BEFORE_UNQUOTED.test(text.slice(Math.max(0, place - 12), place)) &&
      !(place === 0 && AFTER_UNQUOTED.test(text.slice(word.length, word.length + 10)));
    return !isOrdinary && hasPartOf(word, sent) ? '?' : word;
  });
}

/** Returns the name without its quotes and the word before it. */
function quotedIn(name: string): string {
  return name.slice(name.search(QUOTE) + 1, -1);
}

// An apostrophe inside of a word is no quote.
const QUOTE = /["`]|(?<!\w)'|'(?!\w)/;

function hasQuote(text: string): boolean {
  return QUOTE.test(text);
}

const WITH_APOSTROPHE = " doesn't exist";

/** Replaces everything from the first to the last quote. A value may contain quotes of its own, and does not end where the text is cut. */
function withoutQuotes(text: string, isCut: boolean): string {
  const first = text.search(QUOTE);
  if (first < 0) return text;
  const end = text.endsWith(WITH_APOSTROPHE) ? text.length - WITH_APOSTROPHE.length : text.length;
  const last = Math.max(...['"', '`', "'"].map(quote => text.lastIndexOf(quote, end)));
  return last === first || isCut ? `${text.slice(0, first)}?` : `${text.slice(0, first)}?${text.slice(last + 1)}`;
}

/** What Node says of a connection: a host and a port, and no value. */
const OF_CONNECTION = /^(connect|read|write|shutdown|getaddrinfo|query[A-Z]\w*) E[A-Z0-9_]+\b/;

/** Returns the message of a driver's own error, which may repeat anything that was sent, with and without quotes. */
export function driverText(message: string, sent: SentValues): string {
  if (OF_CONNECTION.test(message)) return message;
  return withoutValues(message, sent).replace(WORD, word => (sent.has(word) ? '?' : word));
}

/** Longer messages are cut. */
const MAX_MESSAGE = 4096;
/** Also paths and addresses are words. */
const WORD = /[^\s"'`()[\]{},;]{3,}(?<![.:])/g;

/** Beginnings of messages of databases whose errors have no code. All others may be those of triggers. */
const UNCODED =
  /^(near "|no such |unrecognized token|incomplete input|datatype mismatch|malformed JSON|([A-Z]+ )+constraint failed|table \w+ (already exists|has no column)|ORA-\d)/;
/** Messages of SQLite with names. After other colons there may be a value, such as a path or a term that was searched for. */
const WITH_NAMES =
  /^((([A-Z]+ )+constraint failed|no such (table|function|index|view|trigger|savepoint|module|collation sequence)): [\w., ]+|ORA-\d[^]*)$/;

/** True for a message that SQLite or Oracle has written, and no trigger. */
export function isUncoded(message: string): boolean {
  return UNCODED.test(message);
}

/** Returns the message of SQLite without values. */
export function sqliteText(message: string, sent?: SentValues): string {
  const text = withoutValues(message, sent);
  if (WITH_NAMES.test(message)) return text;
  const column = /^no such column: ([\w.]{1,128})$/.exec(message)?.[1];
  return column !== undefined && sent?.shows(column) === true ? message : text.replace(/: (?!syntax error$)[^]*$/, ': ?');
}
