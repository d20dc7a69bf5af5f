/**
 * Recognizes errors of databases, by their members, and errors of the libraries above them. Their messages may contain values and
 * statements, so spans get a text without them.
 */
import { driverText, FAILED, isUncoded, sentMessage, sqliteText, withoutValues } from './database-message.js';
import { isRedisError, redisErrorCode, redisErrorText } from './redis-error.js';
import { noteSent, noteText, type Repeated, repeatedIn, type Sent, sentWith, type SentValues } from './sent-values.js';

type Members = Readonly<Record<string, unknown>>;

/** Members in which errors keep the error that caused them. */
const INNER = [
  'cause',
  'driverError',
  'original',
  'parent',
  'nativeError',
  'previous',
  'originalError',
  'response',
  'error',
  'meta',
  'driverAdapterError',
];
/** Members that only errors about a statement have. */
const OF_STATEMENTS = ['sql', 'query', 'params', 'parameters', 'driverError', 'nativeError', 'original'];
const MAX_DEPTH = 5;

/** Returns the code that the database answered with, for `db.response.status_code`. Never throws. @internal */
export function databaseErrorCode(thrown: unknown): string | undefined {
  return guarded(() => {
    const error = found(thrown, isOfDatabase);
    return error === undefined ? undefined : codeOf(error);
  });
}

/** Remembers what was sent with the statement that failed with `thrown`, for {@link databaseErrorText}. Never throws. @internal */
export function noteFailedStatement(thrown: unknown, sent: Sent): void {
  guarded(() =>
    found(thrown, error => {
      const known = noteSent(error, sent);
      if (sent.text !== sent.shown) noteText(error, sent.text, sent.shown ?? FAILED);
      for (const name of DETAILS) {
        const text = error[name];
        if (typeof text === 'string') noteText(error, text, isRaised(error) ? RAISED : withoutValues(text, known));
      }
      for (const name of MESSAGES) if (typeof error[name] === 'string') noteText(error, error[name], safeText(error) || FAILED);
      return false;
    }),
  );
}

/** What databases say besides the message. It often is a row or a value. */
const DETAILS = ['detail', 'where', 'hint', 'internalQuery'];
const MESSAGES = ['sqlMessage', 'originalMessage', 'message'];

/**
 * Returns the message of a database's error without values and statements. Returns undefined if `thrown` is another error, or if it only
 * has a database's error as its cause and its own message does not repeat it. Never throws. @internal
 */
export function databaseErrorText(thrown: unknown): string | undefined {
  return guarded(() => {
    if (!isObject(thrown)) return undefined;
    const own = typeof thrown['message'] === 'string' ? thrown['message'] : '';
    if (codeOf(thrown) !== undefined || isOfTypeOrm(thrown)) return safeText(thrown);
    const inner = found(thrown, isOfDatabase) ?? found(thrown, isOfTypeOrm) ?? found(thrown, isOfStatement);
    // Prisma's own messages may repeat the database's.
    if (typeof inner?.['originalMessage'] === 'string') return safeText(inner);
    const isOfPrisma = typeof thrown['name'] === 'string' && thrown['name'].startsWith('PrismaClient');
    if (isOfPrisma) return withoutValues(lastParagraph(own));
    if (isOfMongoose(thrown)) return withoutValues(textOfMongoose(thrown, own));
    if (inner === undefined) return repeatsStatement(thrown, own) ? FAILED : undefined;
    // The errors in an AggregateError say what went wrong.
    if (inner === thrown) return own === '' ? undefined : safeText(inner);
    const text = typeof inner['message'] === 'string' ? inner['message'] : '';
    const repeats = (text !== '' && own.includes(text)) || OF_STATEMENTS.some(name => name in thrown);
    return repeats ? safeText(inner) || FAILED : undefined;
  });
}

/** Returns `text` without values, if it repeats something of a statement that has just failed. Returns other texts as they are. @internal */
export function withoutRepeatedValues(text: string): string {
  return withoutRepeated(text, { left: MAX_REPEATED });
}

/** More is left out. */
const MAX_REPEATED = 16;

function withoutRepeated(text: string, budget: { left: number }): string {
  const repeated = repeatedAtStart(text);
  if (repeated === undefined) return text;
  budget.left -= 1;
  if (budget.left < 0) return FAILED;
  const start = text.slice(0, MAX_TEXT);
  const { form, isWhole, safe, sent } = repeated;
  if (!isWhole) {
    const place = start.indexOf(form);
    return driverText(start.slice(0, place), sent) + (safe === RAISED ? RAISED : driverText(start.slice(place), sent));
  }
  // Statements and details may stand beside it.
  const others = start.split(form, MAX_REPEATED).map(other => driverText(withoutRepeated(other, budget), sent));
  return others.join(safe);
}

/** True if a stack repeats something of a statement that has just failed, before its frames. @internal */
export function repeatsFailure(stack: string): boolean {
  const frames = stack.indexOf('\n    at ');
  return repeatedAtStart(frames < 0 ? stack : stack.slice(0, frames)) !== undefined;
}

/** Users may have given something that is no text. */
function repeatedAtStart(text: string): Repeated | undefined {
  return guarded(() => repeatedIn(text.slice(0, MAX_TEXT)));
}

/** No text in a span is longer. */
const MAX_TEXT = 16_384;

const RAISED = 'A program in the database raised this error. Its text may contain values.';

/** PostgreSQL's functions that report what RAISE and ASSERT say. */
const RAISING = /^exec_stmt_(raise|assert)$/;

/** True for an error whose text a user has written: RAISE, ASSERT, SIGNAL of MySQL, THROW and RAISERROR of SQL Server, triggers of SQLite. */
function isRaised({ code, number, originalCode, routine, sqlState, errno, errcode, message }: Members): boolean {
  return (
    [code, originalCode].some(one => one === 'P0001' || one === 'P0004' || one === 'SQLITE_CONSTRAINT_TRIGGER') ||
    (typeof routine === 'string' && RAISING.test(routine)) ||
    (typeof sqlState === 'string' && isSignal(sqlState, errno)) ||
    (typeof number === 'number' && number >= 50_000) ||
    errcode === SQLITE_CONSTRAINT_TRIGGER ||
    (typeof message === 'string' && RAISED_IN_ORACLE.test(message.slice(0, 1000)))
  );
}

const SQLITE_CONSTRAINT_TRIGGER = 1811;
const RAISED_IN_ORACLE = /\bORA-20\d{3}\b/;

/** The numbers that MySQL and MariaDB, and the driver of MariaDB, give their own errors. 1642 to 1644 are those of SIGNAL. */
function isSignal(sqlState: string, errno: unknown): boolean {
  const isOwn = typeof errno === 'number' && ((errno >= 1000 && errno < 16_000) || (errno >= 45_000 && errno < 46_000));
  return sqlState === '45000' || !isOwn || (errno >= 1642 && errno <= 1644);
}

/** Returns what may be shown of an error of a database or of its driver. */
function safeText(error: Members): string {
  const message = sentMessage(error);
  if (isRedisError(error)) return redisErrorText(message);
  if (isRaised(error)) return RAISED;
  const sent = sentIn(error);
  if (isSqlite(error)) return sqliteText(message, sent);
  if (codeOf(error) !== undefined) return withoutValues(message, sent);
  if (sent !== undefined && !isOfTypeOrm(error)) return driverText(message, sent);
  return isUncoded(message) ? sqliteText(message, sent) : FAILED;
}

function sentIn(thrown: Members): SentValues | undefined {
  const error = found(thrown, isOfStatement);
  return error === undefined ? undefined : sentWith(error);
}

function isSqlite({ code }: Members): boolean {
  return typeof code === 'string' && (code.startsWith('SQLITE_') || code === 'ERR_SQLITE_ERROR');
}

/** Returns the first error for which `isMeant` is true: `thrown` itself, or one that it has as a cause. */
function found(thrown: unknown, isMeant: (error: Members) => boolean, depth = 0): Members | undefined {
  if (!isObject(thrown) || depth > MAX_DEPTH) return undefined;
  if (isMeant(thrown)) return thrown;
  for (const name of INNER) {
    const error = found(thrown[name], isMeant, depth + 1);
    if (error !== undefined) return error;
  }
  return undefined;
}

function isOfDatabase(error: Members): boolean {
  return codeOf(error) !== undefined;
}

/** True for an error that a traced statement has failed with. */
function isOfStatement(error: Members): boolean {
  return sentWith(error) !== undefined;
}

/** Returns the code of a database's error. Returns undefined for any other error. */
function codeOf(error: Members): string | undefined {
  const { code, errno, name, number } = error;
  // PostgreSQL: SQLSTATE.
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && typeof error['severity'] === 'string') return code;
  // The error that a driver adapter of Prisma makes of one of these.
  if (typeof error['originalCode'] === 'string' && typeof error['kind'] === 'string') return error['originalCode'];
  // MySQL and MariaDB.
  if (typeof errno === 'number' && (typeof error['sqlState'] === 'string' || typeof error['sqlMessage'] === 'string')) return String(errno);
  // SQLite. Node's own module has the number in `errcode`.
  if (isSqlite(error)) return typeof error['errcode'] === 'number' ? String(error['errcode']) : String(code);
  // SQL Server.
  if (typeof number === 'number' && typeof error['lineNumber'] === 'number') return String(number);
  if (typeof name === 'string' && name.startsWith('Mongo')) return typeof code === 'number' ? String(code) : undefined;
  // Redis begins its answer with the code. Scripts may answer without one.
  return isRedisError(error) ? redisErrorCode(String(error['message'])) : undefined;
}

/** The error of Drizzle, whose message is the statement with its values. */
function repeatsStatement({ query, params }: Members, message: string): boolean {
  return typeof query === 'string' && query !== '' && Array.isArray(params) && message.includes(query);
}

/** Some of the databases below TypeORM have no codes. */
function isOfTypeOrm(error: Members): boolean {
  return error['name'] === 'QueryFailedError' && 'driverError' in error;
}

/** Mongoose refuses values before it sends anything. */
function isOfMongoose(error: object): boolean {
  for (let owner = Object.getPrototypeOf(error) as Members | null; owner !== null; owner = Object.getPrototypeOf(owner) as Members | null) {
    if ((owner['constructor'] as Members | undefined)?.['name'] === 'MongooseError') return true;
  }
  return false;
}

/** Messages of validators are the user's, and may show the value without quotes. The names of the paths are enough. */
function textOfMongoose(error: Members, message: string): string {
  const { name, _message: summary, errors, path, kind, valueType } = error;
  if (name === 'CastError' && typeof valueType === 'string')
    return `Cast to ${String(kind)} failed for value ? (type ${valueType}) at path "${String(path)}" for model ?`;
  if (name === 'ValidatorError') return `Validator failed for path "${String(path)}"`;
  return typeof summary === 'string' && isObject(errors) ? `${summary}: ${Object.keys(errors).join(', ')}` : message;
}

/** Prisma's messages begin with the source code of the call. */
function lastParagraph(message: string): string {
  return message.trim().split('\n').at(-1) ?? '';
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null;
}

/** Getters and proxies may throw. */
function guarded<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
