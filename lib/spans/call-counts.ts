/** Sums of short calls that have no span of their own. They become attributes of the span around them when it ends. */
import type { Span } from '@opentelemetry/api';
import { callCountKeys } from '../conventions/nestjs.js';

interface Sum {
  count: number;
  ms: number;
}

/** A span has at most 128 attributes by default. The calls of all further methods are counted under one name. */
const MAX_NAMES = 30;
const OTHERS = 'others';

/** @internal */
export class CallCounts {
  private readonly sums = new Map<string, Sum>();

  add(name: string, ms: number, count = 1): void {
    const sum = this.sums.get(name);
    if (sum !== undefined) {
      sum.count += count;
      sum.ms += ms;
    } else if (this.sums.size < MAX_NAMES || name === OTHERS) {
      this.sums.set(name, { count, ms });
    } else {
      this.add(OTHERS, ms, count);
    }
  }

  addAll(others: CallCounts): void {
    for (const [name, { count, ms }] of others.sums) this.add(name, ms, count);
  }

  writeTo(span: Span): void {
    for (const [name, { count, ms }] of this.sums) {
      const keys = keysOf(name);
      span.setAttribute(keys.count, count).setAttribute(keys.duration, Math.round(ms * 1000) / 1000);
    }
    this.sums.clear();
  }
}

/** Names come from the methods of the application. Only a name that a user's code makes up could be one of very many. */
const MAX_KEYS = 10_000;
const keys = new Map<string, ReturnType<typeof callCountKeys>>();

function keysOf(name: string): ReturnType<typeof callCountKeys> {
  const known = keys.get(name);
  if (known !== undefined) return known;
  const made = callCountKeys(name);
  if (keys.size < MAX_KEYS) keys.set(name, made);
  return made;
}

/** Where a span of the built-in provider has its counts. It writes them when it ends. @internal */
export const CALL_COUNTS = Symbol('nestjs-tracing/call-counts');

interface CountingSpan extends Span {
  [CALL_COUNTS]: CallCounts | undefined;
}

const counted = new WeakMap<Span, CallCounts>();

/** Returns the counts of a span that other code ends. They are written when it does so. @internal */
export function countsOf(span: Span | CountingSpan): CallCounts {
  if (CALL_COUNTS in span) return (span[CALL_COUNTS] ??= new CallCounts());
  const known = counted.get(span);
  if (known !== undefined) return known;
  const counts = new CallCounts();
  counted.set(span, counts);
  const { end } = span;
  // Spans of other providers have no hook before their end.
  span.end = function (this: Span, time) {
    counts.writeTo(this);
    end.call(this, time);
  };
  return counts;
}
