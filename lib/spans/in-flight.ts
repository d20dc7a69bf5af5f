/** Lists of what is in flight: requests, messages, calls, exports. They are fast to enter and to leave. */
import type { Span } from '@opentelemetry/api';
import { recordUnsettled } from '../conventions/failure.js';
import { wallTime } from './clock.js';

/** A member of at most one list. It stores its index, so that it is removed without a search. @internal */
export interface InFlightMember {
  /** The index in the list, set by the list. {@link NOWHERE} outside of a list. */
  place: number;
}

/** @internal */
export const NOWHERE = -1;

/**
 * An unordered list. Not a Set: when the table of a Set is full of removed members, V8 allocates a new one, to which the old one keeps a
 * reference. An old table in the old generation then keeps all later tables and members alive until the next major collection.
 * @internal
 */
export class InFlight<Member extends InFlightMember> {
  private readonly members: Member[] = [];

  add(member: Member): void {
    member.place = this.members.push(member) - 1;
  }

  /** Does nothing if the member has been removed already. */
  remove(member: Member): void {
    const { place } = member;
    if (place === NOWHERE) return;
    member.place = NOWHERE;
    const last = this.members.pop();
    if (last === undefined || last === member) return;
    this.members[place] = last;
    last.place = place;
  }

  /** Returns a copy, because members may be removed during a loop over it. */
  all(): Member[] {
    return [...this.members];
  }
}

/** What may be garbage-collected before it is done. @internal */
export interface InFlightOperation extends InFlightMember {
  /** True if no event may tell its end. {@link look} is then called once a second. */
  readonly isWatched: boolean;
  /** The span that must end with it. Undefined if another instrumentation ends the span. */
  readonly ownSpan: Span | undefined;
  /** How often {@link look} has been called. */
  looks: number;
  /** Ends its span if the operation is over. `now`: milliseconds since 1970. */
  look(now: number): void;
}

const LOOK_MS = 1000;

/** After this many looks an operation is held by a weak reference. Few handlers take this long, so most need none. */
const MAX_LOOKS = 10;

/**
 * Operations of an application. One timer checks all watched operations: streams of answers may never end, the promise of a handler may
 * never settle, and a connection may be thrown away with a query. Such operations are not kept in memory.
 * @internal
 */
export class InFlightOperations<Member extends InFlightOperation> {
  private readonly recent = new InFlight<Member>();
  private readonly lasting = new Map<WeakRef<Member>, Span | undefined>();
  private readonly references = new WeakMap<Member, WeakRef<Member>>();
  private readonly collected = new FinalizationRegistry<WeakRef<Member>>(reference => this.letGo(reference));
  private timer: NodeJS.Timeout | undefined;

  /** `kind` says what the operations are, for the event of those that are never done. */
  constructor(private readonly kind: 'handler' | 'query') {}

  add(member: Member): void {
    this.recent.add(member);
    if (member.isWatched) this.keepLooking();
  }

  remove(member: Member): void {
    const reference = member.looks < MAX_LOOKS ? undefined : this.references.get(member);
    if (reference === undefined) this.recent.remove(member);
    else this.lasting.delete(reference);
  }

  all(): Member[] {
    const lasting = [...this.lasting.keys()].map(reference => reference.deref());
    return [...this.recent.all(), ...lasting.filter(member => member !== undefined)];
  }

  private keepLooking(): void {
    this.timer ??= setTimeout(() => this.look(), LOOK_MS).unref();
  }

  private look(): void {
    const now = wallTime();
    for (const member of this.all()) {
      if (!member.isWatched) continue;
      member.look(now);
      member.looks += 1;
      if (member.looks === MAX_LOOKS && member.place !== NOWHERE) this.holdWeakly(member);
    }
    this.timer = undefined;
    if (this.lasting.size > 0 || this.recent.all().some(({ isWatched }) => isWatched)) this.keepLooking();
  }

  private holdWeakly(member: Member): void {
    this.recent.remove(member);
    const reference = new WeakRef(member);
    this.lasting.set(reference, member.ownSpan);
    this.references.set(member, reference);
    this.collected.register(member, reference);
  }

  /** Ends the span of an operation that was garbage-collected: its promise can no longer settle. */
  private letGo(reference: WeakRef<Member>): void {
    const span = this.lasting.get(reference);
    this.lasting.delete(reference);
    if (span === undefined) return;
    recordUnsettled(span, this.kind);
    span.end();
  }
}
