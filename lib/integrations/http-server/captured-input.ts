/** Reads what a failed or slow request contained: listed headers, parts of the query, parameters and fields of the body, without secrets. */
import { EventEmitter } from 'node:events';
import { types } from 'node:util';
import type { Attributes } from '@opentelemetry/api';
import { isSecretKey } from '../../conventions/exception.js';
import { addInput } from '../../conventions/http.js';
import type { ResolvedCaptureOptions } from '../../options/resolved-capture.js';
import { guarded } from '../../options/trouble.js';
import type { IncomingMessage } from './http-messages.js';
import { REDACTED, withoutSecretForms, withoutSecrets } from './secret-texts.js';

/** The members that Express and Fastify add to their requests. */
export interface ParsedRequest {
  readonly params?: unknown;
  readonly body?: unknown;
}

const MAX_DEPTH = 4;
const MAX_ENTRIES = 20;
/** Secrets may only be recognized by what follows them, so this many characters more are read than shown. */
const READ_AHEAD = 1024;
/** How many characters at the end of a text that was not read completely may be a part of a secret. */
const UNCERTAIN = 512;
/** Members that name what the member `value` beside them is. */
const LABELS = ['name', 'key'];

export function capturedInput(request: IncomingMessage, parsed: ParsedRequest, options: ResolvedCaptureOptions): Attributes {
  const input = new CapturedInput(options);
  for (const name of options.headers) input.add('header', name, () => ownMember(request.headers, name));
  if (options.query.length > 0) {
    const [, query = ''] = /\?([^#]*)/.exec(request.originalUrl ?? request.url ?? '') ?? [];
    const pairs = new URLSearchParams(query);
    for (const key of options.query) if (pairs.has(key)) input.add('query', key, () => pairs.getAll(key).join(', '));
  }
  for (const name of options.params) input.add('param', name, () => ownMember(parsed.params, name));
  for (const path of options.body) {
    const keys = path.split('.');
    input.add('body', path, () => keys.reduce<unknown>(ownMember, parsed.body), keys);
  }
  return input.attributes;
}

class CapturedInput {
  readonly attributes: Attributes = {};
  private left: number;
  /** How many characters of a value are still read. */
  private unread = 0;

  constructor(private readonly options: ResolvedCaptureOptions) {
    this.left = options.maxTotalLength;
  }

  /** Adds a value, if there is one and if there is space for it. `keys`: the keys that lead to it. */
  add(part: 'header' | 'query' | 'param' | 'body', name: string, read: () => unknown, keys: readonly string[] = [name]): void {
    if (this.left <= 0) return;
    const whole = guarded('inbound.captureOnFailure', () => this.textOf(read(), keys), undefined);
    if (whole === undefined) return;
    const text = cut(whole, Math.min(this.options.maxLength, this.left));
    this.left -= text.length;
    addInput(this.attributes, part, name, text.length < whole.length ? `${text}…` : text);
  }

  private textOf(value: unknown, keys: readonly string[]): string | undefined {
    if (value === undefined) return undefined;
    if (keys.some(key => this.isSecret(key))) return REDACTED;
    this.unread = this.options.maxLength + READ_AHEAD;
    const shown = this.pruned(value, 0);
    if (shown === undefined || typeof shown === 'string') return shown;
    return withoutSecretForms(JSON.stringify(shown), this.options.redact);
  }

  private isSecret(key: string): boolean {
    return (
      isSecretKey(key) || this.options.redact.some(rule => (typeof rule === 'string' ? rule === key.toLowerCase() : isMatch(rule, key)))
    );
  }

  private redacted(text: string): string {
    return withoutSecrets(text, this.options.redact, key => this.isSecret(key));
  }

  /** Returns a copy of parsed data without secrets. `…` marks omitted parts. */
  private pruned(value: unknown, depth: number): unknown {
    this.unread -= 1;
    if (typeof value === 'string') return this.read(value);
    if (typeof value === 'bigint') return this.read(String(value));
    if (typeof value === 'number') return this.redacted(String(value)) === String(value) ? value : REDACTED;
    if (typeof value === 'boolean' || value === null) return value;
    if (typeof value !== 'object') return undefined;
    if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return `${value.byteLength} bytes`;
    if (types.isDate(value)) return new Date(Date.prototype.getTime.call(value)).toJSON();
    // Streams, sockets and requests hold much that is not data of this request.
    const isOpaque = types.isProxy(value) || types.isMap(value) || types.isSet(value) || value instanceof EventEmitter;
    if (depth >= MAX_DEPTH || isOpaque) return '…';
    return Array.isArray(value) ? this.prunedList(value, depth + 1) : this.prunedObject(value, depth + 1);
  }

  private prunedList(list: readonly unknown[], depth: number): unknown[] {
    const copy: unknown[] = [];
    for (let index = 0; index < list.length; index++) {
      if (index >= MAX_ENTRIES || this.unread <= 0) return [...copy, '…'];
      copy.push(this.pruned(ownMember(list, String(index)), depth));
    }
    return copy;
  }

  private prunedObject(value: object, depth: number): object {
    const entries: [string, unknown][] = [];
    const isSecretValue = LABELS.some(label => this.isSecretText(ownMember(value, label)));
    for (const key of Object.keys(value)) {
      if (entries.length >= MAX_ENTRIES || this.unread <= 0) {
        entries.push(['…', '…']);
        break;
      }
      const isSecret = this.isSecret(key) || (isSecretValue && key === 'value');
      entries.push([this.read(key), isSecret ? REDACTED : this.pruned(ownMember(value, key), depth)]);
    }
    // Unlike an assignment, this makes a member of the key `__proto__`.
    return Object.fromEntries(entries);
  }

  private isSecretText(label: unknown): boolean {
    return typeof label === 'string' && this.isSecret(label);
  }

  /** Returns the beginning of a text, without secrets. */
  private read(text: string): string {
    const part = text.slice(0, Math.max(0, this.unread));
    this.unread -= part.length;
    const shown = this.redacted(part);
    if (part.length === text.length) return shown;
    return `${cut(shown, Math.max(shown.lastIndexOf(REDACTED) + REDACTED.length, shown.length - UNCERTAIN))}…`;
  }
}

/** Returns the first characters of a text, and no half of one that has two units in UTF-16. */
function cut(text: string, length: number): string {
  if (text.length <= length) return text;
  const part = text.slice(0, length);
  return /[\uD800-\uDBFF]$/.test(part) ? part.slice(0, -1) : part;
}

/** Returns the value of an own member that is no getter. */
function ownMember(object: unknown, name: string): unknown {
  if (typeof object !== 'object' || object === null) return undefined;
  return Object.getOwnPropertyDescriptor(object, name)?.value;
}

function isMatch(rule: RegExp, text: string): boolean {
  rule.lastIndex = 0;
  return rule.test(text);
}
