/** Reads a `traceparent` header as W3C Trace Context level 2 wants it read: https://www.w3.org/TR/trace-context-2/#traceparent-header */
import type { SpanContext } from '@opentelemetry/api';
import { withoutSurroundingSpace } from './header-getter.js';

/** Room for what future versions may append; longer headers are refused unread. */
const MAX_LENGTH = 512;
const VERSION_00_LENGTH = 55;
const DASH = 0x2d;
const NO_TRACE = '0'.repeat(32);
const NO_SPAN = '0'.repeat(16);

// One table look-up per character is what keeps a header on every request cheap; 255 marks what is not lower-case hex.
const DIGIT = new Uint8Array(128).fill(255);
for (let digit = 0; digit < 16; digit++) DIGIT[digit.toString(16).charCodeAt(0)] = digit;

/** The caller's span, `undefined` where the header breaks a rule. Only the sampled and the random flag are kept. @internal */
export function parseTraceParent(header: string): SpanContext | undefined {
  const value = header.length === VERSION_00_LENGTH ? header : trimmed(header);
  if (value === undefined || value.charCodeAt(2) !== DASH || value.charCodeAt(35) !== DASH || value.charCodeAt(52) !== DASH)
    return undefined;
  if (!isHex(value, 0, 2) || !isHex(value, 3, 35) || !isHex(value, 36, 52) || !isHex(value, 53, 55)) return undefined;
  if (value.startsWith('ff') || !isComplete(value)) return undefined;
  const traceId = value.slice(3, 35);
  const spanId = value.slice(36, 52);
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  return { traceId, spanId, traceFlags: (DIGIT[value.charCodeAt(54)] ?? 0) & 3, isRemote: true };
}

function isHex(value: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    if (!((DIGIT[value.charCodeAt(at)] ?? 255) < 16)) return false;
  }
  return true;
}

function trimmed(header: string): string | undefined {
  if (header.length < VERSION_00_LENGTH || header.length > MAX_LENGTH) return undefined;
  return withoutSurroundingSpace(header);
}

/** Version 00 ends here; a later one may go on after a dash. A comma is where Node joined a second header to the first. */
function isComplete(value: string): boolean {
  if (value.length === VERSION_00_LENGTH) return true;
  return !value.startsWith('00') && value.charCodeAt(VERSION_00_LENGTH) === DASH && !value.includes(',');
}
