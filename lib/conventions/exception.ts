/** Reads type, message and stack of any thrown value and of its causes. The result is limited in size and contains no credentials. */
import type { Attributes, Exception } from '@opentelemetry/api';
import { databaseErrorText, repeatsFailure, withoutRepeatedValues } from './database-error.js';

const MAX_MESSAGE = 4096;
const MAX_STACK = 16384;
/** For each cause. */
const MAX_CAUSE = 2048;
const MAX_CAUSES = 8;
/** The number of causes, in breadth and depth, that replace a message without information. */
const MAX_REASONS = 3;
/** Limits for thrown data that is not an error. */
const MAX_DATA_DEPTH = 5;
const MAX_DATA_VALUES = 100;
const MAX_DATA_ENTRIES = 20;
const MAX_DATA_TEXT = 300;

/** Messages of Node, V8 and undici without information: only their causes say what went wrong. */
const UNINFORMATIVE = new Set(['', 'fetch failed', 'terminated', 'All promises were rejected']);

/** Returns `error.type` of a thrown value: a stable code like `ECONNREFUSED`, else the class of the error, else `_OTHER`. */
export function errorType(thrown: unknown): string {
  const code = member(thrown, 'code');
  if (isCode(code)) return code;
  // `fetch` throws the same class for all failures. Its cause has the code.
  const causeCode = isUninformative(member(thrown, 'message')) ? member(member(thrown, 'cause'), 'code') : undefined;
  if (isCode(causeCode)) return causeCode;
  const name = member(thrown, 'name');
  if (typeof name === 'string' && name && name !== 'Error') return name;
  const className = classNameOf(thrown);
  return className && className !== 'Object' ? className : '_OTHER';
}

/** Returns the attributes of the `exception` event for any thrown value. */
export function exceptionAttributes(thrown: unknown): Attributes {
  const attributes: Attributes = { 'exception.type': exceptionType(thrown), 'exception.message': exceptionMessage(thrown) };
  const stack = guarded(() => stackWithCauses(thrown));
  if (stack !== undefined) attributes['exception.stacktrace'] = stack;
  return attributes;
}

/**
 * Returns the shortened message of any thrown value. If it has no information, the messages of its causes are used. Data in Nest's
 * exceptions is appended.
 */
export function exceptionMessage(thrown: unknown): string {
  return (lastMessage = shorten(guarded(() => messageOf(thrown, 0)) ?? 'unprintable', MAX_MESSAGE));
}

let lastMessage = '';

/** Returns the description of a status without values that were sent to a database. That of {@link exceptionMessage} has none. */
export function statusMessage(given: string): string {
  return given === lastMessage ? given : withoutRepeatedValues(given);
}

function exceptionType(thrown: unknown): string {
  if (!isObject(thrown)) return thrown === null ? 'null' : typeof thrown;
  const className = classNameOf(thrown);
  if (className && className !== 'Error' && className !== 'Object') return className;
  const name = member(thrown, 'name');
  return typeof name === 'string' && name ? name : className || 'Object';
}

function messageOf(thrown: unknown, depth: number): string {
  if (!isObject(thrown)) return withoutRepeatedValues(String(thrown));
  if (!('message' in thrown)) {
    const text = isPlain(thrown) || Array.isArray(thrown) ? undefined : called(member(thrown, 'toString'), thrown);
    return typeof text === 'string' && text !== '[object Object]' ? withoutRepeatedValues(text) : describeData(thrown);
  }
  const { message } = thrown;
  const safe = databaseErrorText(thrown);
  if (safe !== undefined) return safe;
  const own = typeof message === 'string' ? message : isObject(message) ? describeData(message) : String(message);
  const answer = answerText(answerOf(thrown));
  if (answer !== undefined) return `${withoutRepeatedValues(own)}: ${answer}`;
  if (!isUninformative(own) || depth >= MAX_REASONS) return withoutRepeatedValues(own);
  const reasons = causesOf(thrown).slice(0, MAX_REASONS);
  const reason = reasons.map(({ value }) => guarded(() => messageOf(value, depth + 1)) ?? 'unprintable').join('; ');
  return own === '' ? reason : reason === '' ? own : `${own}: ${reason}`;
}

/** Returns the response of a Nest exception (HttpException, RpcException, WsException): a text, an object or another error. */
function answerOf(thrown: object): unknown {
  const isHttp = typeof member(thrown, 'getStatus') === 'function';
  const answer = isHttp ? member(thrown, 'getResponse') : member(thrown, 'error') === undefined ? undefined : member(thrown, 'getError');
  return called(answer, thrown);
}

/** Returns the text of a response. Returns undefined if the exception's message already contains the text. */
function answerText(answer: unknown): string | undefined {
  if (answer === undefined || typeof answer === 'string') return undefined;
  if (!isObject(answer)) return describeData(answer);
  const message = member(answer, 'message');
  if (typeof message === 'string') return undefined;
  // Nest's response for a list of messages, as a ValidationPipe throws it.
  const hasMore = Object.keys(answer).some(key => key !== 'message' && key !== 'error' && key !== 'statusCode');
  const isList = Array.isArray(message) && message.every(item => typeof item === 'string');
  return isList && !hasMore ? withoutRepeatedValues(message.join(', ')) : describeData(answer);
}

interface Cause {
  readonly label: string;
  readonly value: unknown;
}

function causesOf(thrown: object): Cause[] {
  const cause = member(thrown, 'cause');
  const answer = answerOf(thrown);
  const errors = member(thrown, 'errors');
  // VError has a method `cause()`. GraphQLError uses `originalError`.
  const single = [typeof cause === 'function' ? called(cause, thrown) : cause, member(thrown, 'originalError')];
  const causes: Cause[] = [...single, isErrorLike(answer) ? answer : undefined]
    .filter(value => value !== undefined && value !== null)
    .map(value => ({ label: 'Caused by: ', value }));
  const members: unknown[] = guarded(() => (Array.isArray(errors) ? (errors as unknown[]).slice(0, MAX_CAUSES) : undefined)) ?? [];
  const count = guarded(() => (errors as unknown[]).length) ?? 0;
  return [...causes, ...members.map((value, index) => ({ label: `Caused by (${index + 1} of ${count}): `, value }))];
}

/** Returns the stack, followed by the stacks of the causes in Java's format, which log tools and backends know. */
function stackWithCauses(thrown: unknown): string | undefined {
  if (!isObject(thrown)) return undefined;
  const waiting = causesOf(thrown).reverse();
  const own = stackOf(thrown, MAX_MESSAGE);
  if (waiting.length === 0) return own && shorten(own, MAX_STACK);
  const sections = [shorten(own ?? headingOf(thrown), MAX_STACK / 2)];
  const seen = new Set<unknown>([thrown]);
  const stacks = new Set([own]);
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { label, value } = next;
    if (isObject(value)) {
      if (seen.has(value)) continue;
      seen.add(value);
    }
    if (sections.length > MAX_CAUSES) {
      sections.push('Caused by: …');
      break;
    }
    const stack = isObject(value) ? stackOf(value, MAX_CAUSE / 2) : undefined;
    const isNew = stack !== undefined && !stacks.has(stack);
    stacks.add(stack);
    sections.push(label + shorten(isNew ? stack : headingOf(value), MAX_CAUSE));
    if (isObject(value)) waiting.push(...causesOf(value).reverse());
  }
  return shorten(sections.join('\n'), MAX_STACK);
}

/** Returns `Type: message`, the first line of a stack. */
function headingOf(thrown: unknown): string {
  const message = exceptionMessage(thrown);
  return isErrorLike(thrown) ? `${exceptionType(thrown)}: ${message}` : message;
}

/** Shortens a long message in the stack. Otherwise no frames would be left. */
function stackOf(thrown: object, maxMessage: number): string | undefined {
  const [stack, message] = [member(thrown, 'stack'), member(thrown, 'message')];
  if (typeof stack !== 'string' || stack === '') return undefined;
  if (hasValues(thrown, stack)) return [headingOf(thrown), ...framesOf(stack, String(message))].join('\n');
  if (typeof message !== 'string' || message.length <= maxMessage) return stack;
  return stack.replace(message, () => shorten(message, maxMessage));
}

const hasValues = (thrown: object, stack: string) => databaseErrorText(thrown) !== undefined || repeatsFailure(stack);

/** Returns the lines of a stack after its message. Some libraries change the message later. */
function framesOf(stack: string, message: string): string[] {
  const start = message === '' ? -1 : stack.indexOf(message);
  const rest = start < 0 ? stack : stack.slice(start + message.length);
  return rest.split('\n').filter(line => line.length < MAX_MESSAGE && /^\s+at .*(:\d+:\d+|<anonymous>|native)\)?$/.test(line));
}

/** Returns undefined if the member cannot be read. */
function member(thrown: unknown, key: string): unknown {
  return isObject(thrown) ? guarded(() => (thrown as Readonly<Record<string, unknown>>)[key]) : undefined;
}

function classNameOf(thrown: unknown): string {
  const constructor = member(thrown, 'constructor');
  const name: unknown = typeof constructor === 'function' ? guarded(() => constructor.name) : undefined;
  return typeof name === 'string' ? name : '';
}

function isErrorLike(value: unknown): boolean {
  return typeof member(value, 'message') === 'string' || typeof member(value, 'stack') === 'string';
}

function isUninformative(message: unknown): boolean {
  return typeof message === 'string' && UNINFORMATIVE.has(message);
}

function isCode(code: unknown): code is string {
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{2,63}$/.test(code);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function called(method: unknown, self: object): unknown {
  return typeof method === 'function' ? guarded(() => Reflect.apply(method, self, []) as unknown) : undefined;
}

/** Getters and proxies may throw. */
function guarded<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch {
    return undefined;
  }
}

function shorten(text: string, limit: number): string {
  return text.length > limit ? `${text.slice(0, limit)}…` : text;
}

/** True if a value with this key may be a credential. */
export const isSecretKey = (key: string): boolean => CREDENTIAL.test(key) || CREDENTIAL_IN_CAMEL_CASE.test(key);

const CREDENTIAL =
  /passw|passphrase|pwd|secret|token|authorization|cookie|credential|jwt|signature|(?:api|private|access|account|encryption|master|shared|signing)[-_]?key|session[-_]?(?:id|key)|(?:pass|pin|otp|security|verification|recovery)[-_]?code|cv[vc]2?\]?$|(?:^|[-_.[])(?:pass|pin|t?otp|sid|sig|auth|session)\]?$/i;
const CREDENTIAL_IN_CAMEL_CASE = /[a-z\d](?:Pass|Pin|Otp|Sid|Auth|Session)$/;
/** Members of failed requests that are left out. */
const REQUEST_MEMBERS = new Set(['config', 'request', 'headers', 'rawHeaders']);

/** Members of copied errors of databases that are left out: the statement and its values. */
const STATEMENT_MEMBERS = new Set(['sql', 'query', 'parameters', 'params', 'bindings', 'values']);

/** Returns `data` as JSON. `…` marks omitted parts, and class instances are shown by name. Throws if a getter or proxy throws. */
function describeData(data: unknown): string {
  return JSON.stringify(pruned(data, 0, { left: MAX_DATA_VALUES })) ?? String(data);
}

/** True if `value` is a plain object. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  // An object of another realm has a different `Object.prototype`.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function pruned(value: unknown, depth: number, budget: { left: number }): unknown {
  budget.left -= 1;
  if (typeof value === 'string') return shorten(withoutRepeatedValues(value.slice(0, MAX_MESSAGE)), MAX_DATA_TEXT);
  if (typeof value === 'bigint') return String(value);
  return isObject(value) ? prunedObject(value, depth, budget) : value;
}

function prunedObject(value: object, depth: number, budget: { left: number }): unknown {
  if ('message' in value && 'stack' in value) return withoutRepeatedValues(String(value.message));
  const isList = Array.isArray(value);
  if (!isList && depth > 0 && !isPlain(value)) return scalarOf(value) ?? `[${value.constructor.name}]`;
  if (depth >= MAX_DATA_DEPTH || budget.left <= 0) return '…';
  if (isList) {
    const items = value.slice(0, MAX_DATA_ENTRIES).map(item => (budget.left > 0 ? pruned(item, depth + 1, budget) : '…'));
    return value.length > MAX_DATA_ENTRIES ? [...items, '…'] : items;
  }
  const copy: Record<string, unknown> = {};
  const entries = value as Readonly<Record<string, unknown>>;
  // class-validator's errors repeat the caller's input, which is not recorded.
  const isValidationError = 'constraints' in value && 'property' in value;
  const isOfStatement = ['sql', 'query'].some(key => typeof entries[key] === 'string');
  for (const key of Object.keys(value).slice(0, MAX_DATA_ENTRIES)) {
    if (budget.left <= 0) break;
    if (isValidationError && (key === 'target' || key === 'value')) continue;
    if (isOfStatement && STATEMENT_MEMBERS.has(key)) continue;
    const entry = entries[key];
    if (REQUEST_MEMBERS.has(key) && typeof entry === 'object') continue;
    const isSecret = isSecretKey(key) && typeof entry !== 'boolean' && typeof entry !== 'number';
    copy[key] = isSecret ? 'REDACTED' : pruned(entry, depth + 1, budget);
  }
  return copy;
}

/** Returns the JSON value of a Date, URL, ObjectId or Decimal. */
function scalarOf(value: object): unknown {
  if (!('toJSON' in value) || typeof value.toJSON !== 'function') return undefined;
  const json: unknown = (value.toJSON as () => unknown)();
  return typeof json === 'string' || typeof json === 'number' ? json : undefined;
}

/**
 * Returns the attributes of what a user hands to the API's `recordException()`, as the SDK writes them, but without values that were sent to a
 * database. Returns undefined if it has neither a type nor a message.
 */
export function attributesOfException(exception: Exception): Attributes | undefined {
  const attributes: Attributes = {};
  if (typeof exception === 'string') attributes['exception.message'] = withoutRepeatedValues(exception);
  else {
    const { code, name, message, stack } = (exception ?? {}) as Partial<Record<'name' | 'message' | 'stack', string>> & {
      readonly code?: string | number;
    };
    const type = code ? code.toString() : name;
    if (type) attributes['exception.type'] = type;
    if (message) attributes['exception.message'] = databaseErrorText(exception) ?? withoutRepeatedValues(message);
    if (stack) attributes['exception.stacktrace'] = hasValues(exception, stack) ? stackOf(exception, MAX_MESSAGE) : stack;
  }
  return attributes['exception.type'] || attributes['exception.message'] ? attributes : undefined;
}
