/** Reads what a failed or slow request contained: listed headers, parts of the query, parameters and fields of the body, without secrets. */
import { types } from 'node:util';
import type { Attributes } from '@opentelemetry/api';
import { isSecretKey } from '../../conventions/exception.js';
import { addInput } from '../../conventions/http.js';
import type { ResolvedCaptureOptions } from '../../options/resolved-capture.js';
import { guarded } from '../../options/trouble.js';
import type { IncomingMessage } from './http-messages.js';

/** The members that Express and Fastify add to their requests. */
export interface ParsedRequest {
  readonly params?: unknown;
  readonly body?: unknown;
}

const REDACTED = 'REDACTED';
/** Secrets that are recognized by their form: JSON web tokens, credentials of HTTP, private keys, numbers of payment cards. */
const SECRETS: readonly RegExp[] = [
  /\beyJ[\w-]{5,}\.[\w-]+\.?[\w-]*/g,
  /\b(?:Bearer|Basic)\s+[\w.~+/=-]+/gi,
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*/g,
  /\b\d(?:[ -]?\d){12,18}\b/g,
];

const MAX_DEPTH = 4;
const MAX_ENTRIES = 20;
/** A pattern may need the text behind the part that is shown, so this many times of that is read. */
const READ_AHEAD = 4;

export function capturedInput(request: IncomingMessage, parsed: ParsedRequest, options: ResolvedCaptureOptions): Attributes {
  const input = new CapturedInput(options);
  for (const name of options.headers) input.add('header', name, () => request.headers[name]);
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
    const text = whole.slice(0, Math.min(this.options.maxLength, this.left));
    this.left -= text.length;
    addInput(this.attributes, part, name, text.length < whole.length ? `${text}…` : text);
  }

  private textOf(value: unknown, keys: readonly string[]): string | undefined {
    if (value === undefined) return undefined;
    if (keys.some(key => this.isSecret(key))) return REDACTED;
    this.unread = this.options.maxLength * READ_AHEAD;
    const shown = this.pruned(value, 0);
    if (shown === undefined || typeof shown === 'string') return shown;
    return this.redacted(JSON.stringify(shown));
  }

  private isSecret(key: string): boolean {
    return (
      isSecretKey(key) || this.options.redact.some(rule => (typeof rule === 'string' ? rule === key.toLowerCase() : isMatch(rule, key)))
    );
  }

  private redacted(text: string): string {
    let result = text;
    for (const rule of [...SECRETS, ...this.options.redact]) if (typeof rule !== 'string') result = result.replace(rule, REDACTED);
    return result;
  }

  /** Returns a copy of parsed data without secrets. `…` marks omitted parts. */
  private pruned(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return this.redacted(this.read(value));
    if (typeof value === 'number' || typeof value === 'bigint') {
      const text = this.read(String(value));
      return this.redacted(text) === text ? (typeof value === 'bigint' ? text : value) : REDACTED;
    }
    if (typeof value === 'boolean' || value === null) return value;
    if (typeof value !== 'object') return undefined;
    if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return `${value.byteLength} bytes`;
    if (depth >= MAX_DEPTH || types.isProxy(value)) return '…';
    return Array.isArray(value) ? this.prunedList(value, depth + 1) : this.prunedObject(value, depth + 1);
  }

  private prunedList(list: readonly unknown[], depth: number): unknown[] {
    const copy: unknown[] = [];
    for (const item of list) {
      if (copy.length >= MAX_ENTRIES || this.unread <= 0) return [...copy, '…'];
      copy.push(this.pruned(item, depth));
    }
    return copy;
  }

  private prunedObject(value: object, depth: number): object {
    const entries: [string, unknown][] = [];
    for (const key of Object.keys(value)) {
      if (entries.length >= MAX_ENTRIES || this.unread <= 0) {
        entries.push(['…', '…']);
        break;
      }
      entries.push([this.read(key), this.isSecret(key) ? REDACTED : this.pruned(ownMember(value, key), depth)]);
    }
    // Unlike an assignment, this makes a member of the key `__proto__`.
    return Object.fromEntries(entries);
  }

  private read(text: string): string {
    const part = text.slice(0, Math.max(0, this.unread));
    this.unread -= part.length + 1;
    return part;
  }
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
