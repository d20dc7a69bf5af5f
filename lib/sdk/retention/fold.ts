/** Replaces many similar spans below one parent by the slowest of them and one span that stands for the others. */
import { type Attributes, type HrTime, type SpanContext, SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { hrTimeToMilliseconds } from '@opentelemetry/core';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-node';
import { isDatabaseCall } from '../../conventions/reading.js';
import { foldedAttributes, summedAttributes } from '../../conventions/retention.js';
import type { ResolvedFoldOptions } from '../../options/resolved-retention.js';
import { hasFailed } from './keep-rule.js';

/** @internal */
export interface FoldedSpans {
  readonly spans: readonly ReadableSpan[];
  /** The spans that are left out. */
  readonly gone: readonly ReadableSpan[];
  /** By the id of each span in `gone`: the span that stands for it. */
  readonly standIns: ReadonlyMap<string, ReadableSpan>;
}

/** Folds finished spans of one local root. Returns undefined if there is nothing to fold. @internal */
export function fold(spans: readonly ReadableSpan[], options: ResolvedFoldOptions): FoldedSpans | undefined {
  if (spans.length <= options.over) return undefined;
  const siblings = new Siblings(spans);
  const standIns = new Map<string, ReadableSpan>();
  const made: ReadableSpan[] = [];
  const gone: ReadableSpan[] = [];
  for (const group of siblings.groups(options.over)) {
    // An outer group was folded before, with all that is below it.
    if (group.some(span => standIns.has(span.spanContext().spanId))) continue;
    const members = group
      .filter(span => siblings.isFoldable(span))
      .sort((a, b) => compare(b.duration, a.duration))
      .slice(options.keepSlowest);
    const [slowest] = members;
    if (slowest === undefined || members.length < 2) continue;
    const below = members.flatMap(span => siblings.below(span));
    const standIn = standInFor(slowest, members, below.length);
    made.push(standIn);
    gone.push(...members, ...below);
    for (const span of [...members, ...below]) standIns.set(span.spanContext().spanId, standIn);
  }
  if (gone.length === 0) return undefined;
  const left = new Set(gone);
  return { gone, standIns, spans: [...spans.filter(span => !left.has(span)), ...made] };
}

class Siblings {
  private readonly byParent = new Map<string, ReadableSpan[]>();
  private readonly byId: ReadonlyMap<string, ReadableSpan>;
  /** Spans that stay, and those above them. */
  private readonly staying = new Set<ReadableSpan>();

  constructor(private readonly spans: readonly ReadableSpan[]) {
    this.byId = new Map(spans.map(span => [span.spanContext().spanId, span]));
    for (const span of spans) {
      if (mustStay(span)) this.stay(span);
      const parent = span.parentSpanContext?.spanId;
      if (parent === undefined) continue;
      const siblings = this.byParent.get(parent);
      if (siblings === undefined) this.byParent.set(parent, [span]);
      else siblings.push(span);
    }
  }

  /** Returns the groups of more than `over` similar siblings. Those of a span come after those that the span itself is in. */
  *groups(over: number): Iterable<readonly ReadableSpan[]> {
    // Parents that are not among the spans are open still, or in another process.
    const outermost = [...this.byParent.keys()].filter(parent => !this.byId.has(parent));
    const waiting = [...outermost, ...this.rootIds()];
    for (let parent = waiting.pop(); parent !== undefined; parent = waiting.pop()) {
      const children = this.byParent.get(parent) ?? [];
      if (children.length > over) for (const group of similar(children)) if (group.length > over) yield group;
      for (const child of children) if (this.byParent.has(child.spanContext().spanId)) waiting.push(child.spanContext().spanId);
    }
  }

  /** Returns true if neither the span nor one below it must stay. */
  isFoldable(span: ReadableSpan): boolean {
    return !this.staying.has(span);
  }

  /** Returns all spans below a span. */
  below(span: ReadableSpan): ReadableSpan[] {
    const found: ReadableSpan[] = [];
    for (let next: ReadableSpan | undefined = span, index = 0; next !== undefined; next = found[index++]) {
      const children = this.byParent.get(next.spanContext().spanId);
      if (children !== undefined) found.push(...children);
    }
    return found;
  }

  private stay(span: ReadableSpan): void {
    let next: ReadableSpan | undefined = span;
    while (next !== undefined && !this.staying.has(next)) {
      this.staying.add(next);
      next = next.parentSpanContext && this.byId.get(next.parentSpanContext.spanId);
    }
  }

  private rootIds(): string[] {
    return this.spans.filter(span => span.parentSpanContext === undefined).map(span => span.spanContext().spanId);
  }
}

function similar(siblings: readonly ReadableSpan[]): Iterable<readonly ReadableSpan[]> {
  const groups = new Map<string, ReadableSpan[]>();
  for (const span of siblings) {
    const key = `${span.kind} ${span.instrumentationScope.name} ${span.name}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [span]);
    else group.push(span);
  }
  return groups.values();
}

/** Returns true for what failed, for what links to other traces, and for calls that may have spans below them in another service. */
function mustStay(span: ReadableSpan): boolean {
  if (hasFailed(span) || span.links.length > 0 || span.events.some(({ name }) => name === 'exception')) return true;
  const isCall = span.kind === SpanKind.CLIENT || span.kind === SpanKind.PRODUCER;
  return isCall && !isDatabaseCall(span.attributes);
}

function standInFor(slowest: ReadableSpan, members: readonly ReadableSpan[], descendants: number): ReadableSpan {
  let { startTime, endTime } = slowest;
  let sum = 0;
  for (const span of members) {
    if (compare(span.startTime, startTime) < 0) startTime = span.startTime;
    if (compare(span.endTime, endTime) > 0) endTime = span.endTime;
    sum += hrTimeToMilliseconds(span.duration);
  }
  const folded = { count: members.length, sum, slowest: hrTimeToMilliseconds(slowest.duration), descendants };
  return copyOf(slowest, {
    startTime,
    endTime,
    duration: difference(startTime, endTime),
    status: { code: SpanStatusCode.UNSET },
    attributes: { ...commonAttributes(members), ...summedAttributes(members.map(span => span.attributes)), ...foldedAttributes(folded) },
    links: [],
    events: [],
  });
}

/** Returns a span that ended late with another parent: the one that stands for its own. @internal */
export function withParent(span: ReadableSpan, parent: SpanContext): ReadableSpan {
  return copyOf(span, { parentSpanContext: parent });
}

/** Copies each member by name: they may be getters of a class. */
function copyOf(span: ReadableSpan, changes: Partial<ReadableSpan>): ReadableSpan {
  const context = span.spanContext();
  return {
    name: span.name,
    kind: span.kind,
    spanContext: () => context,
    parentSpanContext: span.parentSpanContext,
    startTime: span.startTime,
    endTime: span.endTime,
    status: span.status,
    attributes: span.attributes,
    links: span.links,
    events: span.events,
    duration: span.duration,
    ended: true,
    resource: span.resource,
    instrumentationScope: span.instrumentationScope,
    droppedAttributesCount: span.droppedAttributesCount,
    droppedEventsCount: span.droppedEventsCount,
    droppedLinksCount: span.droppedLinksCount,
    ...changes,
  };
}

/** Returns the attributes that are the same on all spans. */
function commonAttributes(spans: readonly ReadableSpan[]): Attributes {
  const common: Attributes = { ...spans[0]?.attributes };
  for (const { attributes } of spans) {
    for (const key of Object.keys(common)) if (attributes[key] !== common[key]) Reflect.deleteProperty(common, key);
  }
  return common;
}

function compare(a: HrTime, b: HrTime): number {
  return a[0] - b[0] || a[1] - b[1];
}

function difference(start: HrTime, end: HrTime): HrTime {
  const nanoseconds = end[1] - start[1];
  return nanoseconds < 0 ? [end[0] - start[0] - 1, nanoseconds + 1e9] : [end[0] - start[0], nanoseconds];
}
