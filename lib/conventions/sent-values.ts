/** Remembers what was sent to a database when it failed, so that the text of the error repeats no value of it. */

/** What is known of a statement or command that has failed. */
export interface Sent {
  /** The statement as it was sent. */
  readonly text?: string | undefined;
  /** The statement without values. What stands in it is no value. */
  readonly shown?: string | undefined;
  /** The values of its parameters, in any shape. */
  readonly parameters?: unknown;
}

const MAX_VALUES = 1000;
const MAX_CHARACTERS = 100_000;
const MAX_DEPTH = 4;
/** Shorter texts are compared as a whole. They may be a part of any value. */
const MIN_PART = 3;

/** Knows what may be a value in the text of an error. What is too large to be read may contain anything. */
export class SentValues {
  private lowerCase: { readonly statement: string; readonly shown: string; readonly values: string } | undefined;
  private left = MAX_VALUES;

  constructor(private readonly sent: Sent) {}

  /** True if `text` is a value that was sent, or a part of one. Databases may change upper case to lower case. */
  has(text: string): boolean {
    const { statement, shown, values } = this.read();
    const part = text.toLowerCase();
    if (containsWord(shown, part)) return false;
    if (this.left < 0) return true;
    if (part.length < MIN_PART) return values.includes(`\n${part}\n`);
    return values.includes(part) || (statement.includes(part) && !shown.includes(part));
  }

  /** True if `text` stands in the statement without values. */
  shows(text: string): boolean {
    return containsWord(this.read().shown, text.toLowerCase());
  }

  /** True if a parameter contains `text`, even if the statement does, too. */
  hasParameterWith(text: string): boolean {
    const { values } = this.read();
    return values.includes(text.toLowerCase());
  }

  private read() {
    return (this.lowerCase ??= this.readSent());
  }

  private readSent() {
    const { parameters, shown = '', text = '' } = this.sent;
    const values: string[] = [];
    this.collect(parameters, 0, values);
    const all = values.join('\n');
    if (all.length + text.length > MAX_CHARACTERS) this.left = -1;
    return { statement: text.toLowerCase(), shown: shown.slice(0, MAX_CHARACTERS).toLowerCase(), values: `\n${all}\n`.toLowerCase() };
  }

  private collect(value: unknown, depth: number, values: string[]): void {
    if (this.left < 0 || value === undefined || value === null || typeof value === 'boolean') return;
    this.left -= 1;
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint') values.push(String(value));
    else if (value instanceof Uint8Array) values.push(Buffer.from(value.subarray(0, MAX_CHARACTERS)).toString('latin1'));
    else if (typeof value === 'object' && !ArrayBuffer.isView(value)) this.collectMembers(value, depth, values);
  }

  private collectMembers(value: object, depth: number, values: string[]): void {
    if (depth >= MAX_DEPTH) this.left = -1;
    // Getters are not called.
    else for (const member of Object.values(Object.getOwnPropertyDescriptors(value))) this.collect(member.value, depth + 1, values);
  }
}

/** True if `word` stands in `text`, and not as a part of another word. */
function containsWord(text: string, word: string): boolean {
  if (word === '') return false;
  for (let place = text.indexOf(word); place >= 0; place = text.indexOf(word, place + word.length)) {
    if (!PART_OF_WORD.test(text.charAt(place - 1)) && !PART_OF_WORD.test(text.charAt(place + word.length))) return true;
  }
  return false;
}

const PART_OF_WORD = /[\p{L}\p{N}_$]/u;

/** A text that errors of users may repeat: the message of a database, its details, or the statement. */
interface FailedText {
  /** As it is, and as JSON has it. */
  readonly forms: readonly string[];
  /** Its beginning, where a part of it may be a value. Then a text that was changed or cut is recognized, too. */
  readonly head: string | undefined;
  readonly safe: string;
  readonly error: WeakRef<object>;
}

/** Shared by all copies of this package. */
interface Failures {
  readonly values: WeakMap<object, SentValues>;
  /** By the text, the last failure last: the same statement often fails in the same way. */
  readonly texts: Map<string, FailedText>;
}

const FAILURES = Symbol.for('nestjs-tracing/failures');
const shared = globalThis as { [FAILURES]?: Failures };
const { values, texts }: Failures = (shared[FAILURES] ??= { values: new WeakMap(), texts: new Map() });

/** Many requests may fail at the same time. */
const MAX_TEXTS = 512;
const MAX_LENGTH = 4096;
/** Shorter texts may stand in any text. They count only where nothing else stands beside them. */
const MIN_LENGTH = 12;
const HEAD_LENGTH = 24;

/** Remembers what was sent when `error` was thrown. */
export function noteSent(error: object, sent: Sent): SentValues {
  const known = new SentValues(sent);
  values.set(error, known);
  return known;
}

/** Returns what was sent when `error` was thrown. Returns undefined if it is not the error of a traced statement. */
export function sentWith(error: object): SentValues | undefined {
  return values.get(error);
}

/** Remembers `text`, which errors of users may repeat, and what may be shown instead of it. */
export function noteText(error: object, text: unknown, safe: string): void {
  if (typeof text !== 'string' || (text.length < MIN_LENGTH && text.trim() === '')) return;
  const known = texts.get(text);
  texts.delete(text);
  texts.set(text, { ...(known ?? formsOf(text, safe)), safe, error: new WeakRef(error) });
  if (texts.size <= MAX_TEXTS) return;
  const [oldest] = texts.keys();
  if (oldest !== undefined) texts.delete(oldest);
}

function formsOf(text: string, safe: string): Pick<FailedText, 'forms' | 'head'> {
  const inJson = text.length > MAX_LENGTH ? text : JSON.stringify(text).slice(1, -1);
  const forms = text.length > MAX_LENGTH ? [] : inJson === text ? [text] : [text, inJson];
  return { forms, head: text === safe || text.length < HEAD_LENGTH ? undefined : headOf(text) };
}

/** Returns the beginning of a text, without the value that may follow. */
function headOf(text: string): string {
  const end = text.slice(0, HEAD_LENGTH).search(/["'`\\\n]/);
  return text.slice(0, end >= MIN_LENGTH ? end : HEAD_LENGTH);
}

/** What `text` repeats of a statement that has failed: `form` as a whole, or something that begins at `form`. */
export interface Repeated {
  readonly form: string;
  readonly isWhole: boolean;
  readonly safe: string;
  readonly sent: SentValues;
}

/** Returns what `text` repeats of one of the last statements that have failed. Returns undefined if it repeats nothing. */
export function repeatedIn(text: string): Repeated | undefined {
  let whole: Repeated | undefined;
  let begun: Repeated | undefined;
  for (const failed of texts.values()) {
    const { forms, head, safe } = failed;
    const form = forms.find(one => repeats(text, one));
    if (form !== undefined) whole = { form, isWhole: true, safe, sent: sentOf(failed) };
    else if (head !== undefined && text.includes(head) && !text.startsWith(safe, text.indexOf(head)))
      begun = { form: head, isWhole: false, safe, sent: sentOf(failed) };
  }
  return whole ?? begun;
}

function repeats(text: string, form: string): boolean {
  if (form.length >= MIN_LENGTH) return text.includes(form);
  return text === form || text.includes(`"${form}"`) || text.endsWith(`: ${form}`) || text.includes(`: ${form}\n`);
}

/** The error may be gone. Then any word may be a value. */
function sentOf({ error }: FailedText): SentValues {
  const known = error.deref();
  return (known === undefined ? undefined : values.get(known)) ?? new SentValues({});
}
