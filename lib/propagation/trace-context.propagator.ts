/**
 * Propagates the trace context in `traceparent` and `tracestate`, strictly by W3C Trace Context level 2:
 * https://www.w3.org/TR/trace-context-2/
 */
import {
  type Context,
  INVALID_SPANID,
  INVALID_TRACEID,
  isSpanContextValid,
  type TextMapGetter,
  type TextMapPropagator,
  type TextMapSetter,
  trace,
  TraceFlags,
  type TraceState,
} from '@opentelemetry/api';
import { isDeferred, isRandomTrace, RANDOM, ReceivedSpanContext, withRandomFlag } from './context-values.js';

const TRACE_PARENT = 'traceparent';
const TRACE_STATE = 'tracestate';

/** Unlike OpenTelemetry's propagator, it follows level 2 exactly and passes the random flag on. @internal */
export class StrictTraceContextPropagator implements TextMapPropagator {
  /** @param ownTracesAreRandom true if traces that begin in this process have random ids */
  constructor(private readonly ownTracesAreRandom: boolean) {}

  inject(ctx: Context, carrier: unknown, setter: TextMapSetter): void {
    const span = trace.getSpanContext(ctx);
    // In W3C a caller cannot leave the decision to the receiver. "Not sampled" would be a decision.
    if (span === undefined || !isSpanContextValid(span) || isDeferred(span)) return;
    const random = isRandomTrace(ctx, span, this.ownTracesAreRandom) ? RANDOM : 0;
    setter.set(carrier, TRACE_PARENT, `00-${span.traceId}-${span.spanId}-0${(span.traceFlags & TraceFlags.SAMPLED) | random}`);
    const state = span.traceState?.serialize();
    if (state !== undefined && state !== '') setter.set(carrier, TRACE_STATE, state);
  }

  extract(ctx: Context, carrier: unknown, getter: TextMapGetter): Context {
    const parent = single(getter.get(carrier, TRACE_PARENT));
    const span = parent === undefined ? undefined : parseTraceParent(parent);
    if (span === undefined) return ctx;
    const state = joined(getter.get(carrier, TRACE_STATE));
    if (state !== undefined) span.traceState = parseTraceState(state);
    const extracted = trace.setSpanContext(ctx, span);
    const isRandom = (span.traceFlags & RANDOM) !== 0;
    // The default need not be stored.
    return isRandom === this.ownTracesAreRandom ? extracted : withRandomFlag(extracted, span.traceId, isRandom);
  }

  fields(): string[] {
    return [TRACE_PARENT, TRACE_STATE];
  }
}

/** If there are several `traceparent` headers, all are ignored. */
function single(header: unknown): string | undefined {
  const value: unknown = Array.isArray(header) && header.length === 1 ? header[0] : header;
  return typeof value === 'string' ? value : undefined;
}

/** Several `tracestate` headers form one list: https://www.rfc-editor.org/rfc/rfc9110#name-field-lines-and-combined-fi */
function joined(header: unknown): string | undefined {
  const value: unknown = Array.isArray(header) && header.every(line => typeof line === 'string') ? header.join(',') : header;
  return typeof value === 'string' ? value : undefined;
}

/** Future versions may append fields. Longer headers are rejected without parsing. */
const MAX_PARENT_LENGTH = 512;
const VERSION_00_LENGTH = 55;
const DASH = 0x2d;

// One table look-up per character keeps parsing cheap. 255 marks characters that are not lower-case hex.
const DIGIT = new Uint8Array(128).fill(255);
for (let digit = 0; digit < 16; digit++) DIGIT[digit.toString(16).charCodeAt(0)] = digit;

/** Parses the caller's span context. Returns undefined if the header is invalid. Only the sampled and the random flag are kept. */
function parseTraceParent(header: string): ReceivedSpanContext | undefined {
  const value = header.length === VERSION_00_LENGTH ? header : trimmed(header);
  if (value === undefined || value.charCodeAt(2) !== DASH || value.charCodeAt(35) !== DASH || value.charCodeAt(52) !== DASH)
    return undefined;
  if (!isHex(value, 0, 2) || !isHex(value, 3, 35) || !isHex(value, 36, 52) || !isHex(value, 53, 55)) return undefined;
  if (value.startsWith('ff') || !isComplete(value)) return undefined;
  const traceId = value.slice(3, 35);
  const spanId = value.slice(36, 52);
  if (traceId === INVALID_TRACEID || spanId === INVALID_SPANID) return undefined;
  return new ReceivedSpanContext(traceId, spanId, (DIGIT[value.charCodeAt(54)] ?? 0) & 3);
}

/** Returns true if all characters from `from` to `to` are lower-case hex. A loop without branches is twice as fast. */
function isHex(value: string, from: number, to: number): boolean {
  let found = 0;
  for (let at = from; at < to; at++) {
    const code = value.charCodeAt(at);
    found |= (DIGIT[code & 127] ?? 255) | (code & ~127);
  }
  return found < 16;
}

function trimmed(header: string): string | undefined {
  if (header.length < VERSION_00_LENGTH || header.length > MAX_PARENT_LENGTH) return undefined;
  return withoutSurroundingSpace(header);
}

/** Version 00 ends here. A later version may continue after a dash. A comma means that Node joined two headers. */
function isComplete(value: string): boolean {
  if (value.length === VERSION_00_LENGTH) return true;
  return !value.startsWith('00') && value.charCodeAt(VERSION_00_LENGTH) === DASH && !value.includes(',');
}

const MAX_MEMBERS = 32;
/** More than 32 members of maximum length need. Longer headers are rejected without parsing. */
const MAX_STATE_LENGTH = 20_000;
const KEY = /^[a-z0-9][a-z0-9_\-*/@]{0,255}$/;
/** Printable ASCII without `,` and `=`, not ending in a space. */
const VALUE = /^[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

/** An immutable list of members, most recently changed first. */
class StrictTraceState implements TraceState {
  constructor(private readonly members: ReadonlyMap<string, string>) {}

  get(key: string): string | undefined {
    return this.members.get(key);
  }

  /** Puts the member first and drops the last one if there are more than 32. An invalid key or value changes nothing. */
  set(key: string, value: string): TraceState {
    if (!KEY.test(key) || !VALUE.test(value)) return this;
    const others = [...this.members].filter(([other]) => other !== key).slice(0, MAX_MEMBERS - 1);
    return new StrictTraceState(new Map([[key, value], ...others]));
  }

  unset(key: string): TraceState {
    return new StrictTraceState(new Map([...this.members].filter(([other]) => other !== key)));
  }

  serialize(): string {
    let header = '';
    for (const [key, value] of this.members) header += header === '' ? `${key}=${value}` : `,${key}=${value}`;
    return header;
  }
}

/** Parses the members of the header. Returns undefined if there are none, more than 32, or an invalid one. */
function parseTraceState(header: string): TraceState | undefined {
  if (header.length > MAX_STATE_LENGTH) return undefined;
  const members = new Map<string, string>();
  let count = 0;
  for (const part of header.split(',')) {
    const member = withoutSurroundingSpace(part);
    if (member === '') continue;
    const equals = member.indexOf('=');
    const key = member.slice(0, equals);
    const value = member.slice(equals + 1);
    if (equals < 0 || ++count > MAX_MEMBERS || !KEY.test(key) || !VALUE.test(value)) return undefined;
    if (!members.has(key)) members.set(key, value);
  }
  return count === 0 ? undefined : new StrictTraceState(members);
}

/** Removes the white space that HTTP allows around a value. A regular expression would need quadratic time. */
function withoutSurroundingSpace(value: string): string {
  let from = 0;
  let to = value.length;
  while (from < to && isSpace(value.charCodeAt(from))) from++;
  while (to > from && isSpace(value.charCodeAt(to - 1))) to--;
  return value.slice(from, to);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
