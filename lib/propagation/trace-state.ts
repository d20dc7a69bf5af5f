/** The `tracestate` header: other vendors' data, passed on as it came or not at all (W3C Trace Context level 2). */
import type { TraceState } from '@opentelemetry/api';
import { withoutSurroundingSpace } from './header-getter.js';

const MAX_MEMBERS = 32;
/** Longer than 32 of the longest members; such a header is refused unread. */
const MAX_LENGTH = 20_000;
const KEY = /^[a-z0-9][a-z0-9_\-*/@]{0,255}$/;
/** Printable ASCII without `,` and `=`, not ending in a space. */
const VALUE = /^[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

/** An immutable list of members, the most recently changed first. */
class StrictTraceState implements TraceState {
  constructor(private readonly members: ReadonlyMap<string, string>) {}

  get(key: string): string | undefined {
    return this.members.get(key);
  }

  /** Puts the member in front; with 32 others the last one goes. An illegal key or value changes nothing. */
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

/** The members of the header; `undefined` where there are none, more than 32, or one that is illegal. @internal */
export function parseTraceState(header: string): TraceState | undefined {
  if (header.length > MAX_LENGTH) return undefined;
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
