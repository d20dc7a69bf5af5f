/** Describes the commands of MongoDB: their name, collection and size, and their text without values. */
import { types } from 'node:util';
import { memberOf } from '../../../wrapping/has-methods.js';
import type { QueryParts } from '../attributes.js';

export type MongodbCommand = Readonly<Record<string, unknown>>;

/** Commands that drivers send on their own, and those with credentials. They get no span. */
const SILENT = new Set(
  'hello ismaster isMaster ping buildInfo endSessions killCursors authenticate getnonce logout saslStart saslContinue'.split(' '),
);

/** Commands whose text is recorded. Their first member is the name of a collection. */
const WITH_TEXT = new Set('find aggregate count distinct insert update delete findAndModify mapReduce createIndexes'.split(' '));

/** Further commands whose first member is the name of a collection. */
const OF_COLLECTIONS = new Set('create drop collMod collStats validate dropIndexes listIndexes compact convertToCapped'.split(' '));

/** The member with the documents or statements of a command that may have several. */
const BATCHES: Readonly<Record<string, string>> = { insert: 'documents', update: 'updates', delete: 'deletes', bulkWrite: 'ops' };

/** Returns the name of the command. Returns undefined for a command that gets no span. */
export function commandName(command: unknown): string | undefined {
  if (typeof command !== 'object' || command === null) return undefined;
  const [name] = Object.keys(command);
  return name === undefined || SILENT.has(name) ? undefined : name;
}

/** Describes a command with its name, for its span. `text` is only computed when it is read. */
export function describeCommand(command: MongodbCommand, name: string): QueryParts {
  // A name that users make up may be anything.
  const operation = /^\w{1,64}$/.test(name) ? name : undefined;
  const collection = collectionOf(command, name);
  const summary = [operation, collection].filter(part => part !== undefined).join(' ');
  return {
    operation,
    collection,
    summary: summary === '' ? undefined : summary,
    get text() {
      return WITH_TEXT.has(name) ? textOf(command, name) : undefined;
    },
  };
}

/** Returns the number of documents or statements that the command sends. */
export function batchSizeOf(command: MongodbCommand, name: string): number | undefined {
  const member = BATCHES[name];
  return member === undefined ? undefined : listIn(command[member])?.length;
}

/** Returns true if the cursor of the command stays open and waits for new documents. */
export function isTailing(command: MongodbCommand): boolean {
  const [stage] = listIn(command['pipeline']) ?? [];
  return command['tailable'] === true || (typeof stage === 'object' && stage !== null && '$changeStream' in stage);
}

function collectionOf(command: MongodbCommand, name: string): string | undefined {
  const { [name]: first, collection } = command;
  if (name === 'explain' && typeof first === 'object' && first !== null) {
    const [inner = ''] = Object.keys(first);
    return collectionOf(first as MongodbCommand, inner);
  }
  const value = name === 'getMore' ? collection : WITH_TEXT.has(name) || OF_COLLECTIONS.has(name) ? first : undefined;
  return typeof value === 'string' ? value : undefined;
}

/** The driver keeps many documents in a list, or in an object with their bytes. */
function listIn(value: unknown): readonly unknown[] | undefined {
  const list = typeof value === 'object' && value !== null && !Array.isArray(value) ? memberOf(value, 'documents') : value;
  return Array.isArray(list) ? (list as readonly unknown[]) : undefined;
}

/** A command may be large, so that the text shows its beginning. */
const MAX_KEYS = 200;
const MAX_KEY_LENGTH = 100;
const MAX_ITEMS = 100;
const MAX_DEPTH = 20;
const VALUE = '"?"';
const REST = '"…"';

/** Returns the command as JSON, with `"?"` in place of each value. The name of the collection stays. */
function textOf(command: MongodbCommand, name: string): string {
  const { [name]: first, ...others } = command;
  const members = shapeOfObject(others, { left: MAX_KEYS }, 1);
  const head = `${JSON.stringify(name)}:${typeof first === 'string' ? JSON.stringify(first) : VALUE}`;
  return members === '{}' ? `{${head}}` : `{${head},${members.slice(1)}`;
}

interface Budget {
  left: number;
}

function shapeOf(value: unknown, budget: Budget, depth: number): string {
  if (typeof value !== 'object' || value === null || types.isProxy(value)) return VALUE;
  if (depth > MAX_DEPTH) return REST;
  const list = Array.isArray(value) || !isPlain(value) ? listIn(value) : undefined;
  if (list !== undefined) return shapeOfList(list, budget, depth);
  return isPlain(value) ? shapeOfObject(value, budget, depth) : VALUE;
}

/** Equal shapes are shown once, such as those of many documents or of many values. */
function shapeOfList(list: readonly unknown[], budget: Budget, depth: number): string {
  const shapes = new Set<string>();
  for (const item of list.slice(0, MAX_ITEMS)) shapes.add(budget.left > 0 ? shapeOf(item, budget, depth + 1) : REST);
  return `[${[...shapes].join(',')}]`;
}

/** Does not call getters. */
function shapeOfObject(value: object, budget: Budget, depth: number): string {
  const members: string[] = [];
  for (const key of Object.keys(value)) {
    if (budget.left <= 0 || key.length > MAX_KEY_LENGTH) {
      members.push(`${REST}:${REST}`);
      break;
    }
    budget.left -= 1;
    const member: unknown = Object.getOwnPropertyDescriptor(value, key)?.value;
    members.push(`${JSON.stringify(key)}:${shapeOf(member, budget, depth + 1)}`);
  }
  return `{${members.join(',')}}`;
}

/** Returns true for an object that is written as a document. Dates, ids and other values have classes. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null;
  // An object of another realm has a different `Object.prototype`.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
