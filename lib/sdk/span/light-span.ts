/**
 * A span that records. It behaves like the span of the SDK and has the same fields, but it costs less: it is one object of one shape, and
 * what few spans have or nobody may read is made when it is read.
 */
import {
  type Attributes,
  type AttributeValue,
  diag,
  type Exception,
  type HrTime,
  type Link,
  type Span,
  type SpanContext,
  type SpanKind,
  type SpanStatus,
  SpanStatusCode,
  type TimeInput,
} from '@opentelemetry/api';
import { addHrTimes, hrTimeDuration, type InstrumentationScope, isTimeInput, millisToHrTime } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan, TimedEvent } from '@opentelemetry/sdk-trace-node';
import { attributesOfException, statusMessage } from '../../conventions/exception.js';
import { CALL_COUNTS, type CallCounts } from '../../spans/call-counts.js';
import { startTimeAt, wallTime } from '../../spans/clock.js';
import { FACTS, type SpanFacts } from '../../spans/facts.js';
import { LOCAL_ROOT, type LocalRoot } from '../retention/local-root.js';
import { countKept, isRecordable, shortened } from './attribute-values.js';
import { EventsAndLinks } from './events-and-links.js';
import { INSPECT, type InspectArguments, inspectSpan } from './inspect.js';
import type { SpanSource } from './span-source.js';
import { givenTime } from './times.js';

export class LightSpan implements Span, ReadableSpan {
  ended = false;
  /** The request, message or job that the span belongs to. */
  [LOCAL_ROOT]: LocalRoot | undefined = undefined;
  /** Stand for the first attributes until somebody reads or sets one. */
  [FACTS]: SpanFacts | undefined = undefined;
  /** Calls inside of the span that have no span of their own. */
  [CALL_COUNTS]: CallCounts | undefined = undefined;
  /** The attributes of its own. Undefined while it has none but {@link shared}. */
  private own: Attributes | undefined = undefined;
  private droppedAttributes = 0;
  /** How often an attribute was set. There are at most as many attributes. */
  private writes = 0;
  /** When the span was made, by the clock that never jumps, and in milliseconds since 1970. */
  private readonly steadyMs = performance.now();
  private readonly wallMs = wallTime(this.steadyMs);
  /** When the span ended, by the clock that never jumps. */
  private endedMs = Number.NaN;
  private isStartGiven = false;
  private start: HrTime | undefined = undefined;
  private finish: HrTime | undefined = undefined;
  /** The status, if it was read or set. */
  outcome: SpanStatus | undefined = undefined;
  /** The events and links, if they were read or there are some. */
  lists: EventsAndLinks | undefined = undefined;

  constructor(
    private readonly source: SpanSource,
    public name: string,
    readonly kind: SpanKind,
    private readonly ids: SpanContext,
    readonly parentSpanContext: SpanContext | undefined,
    /** Attributes that nobody changes any more. Other spans may have the same object. */
    private shared: Attributes | undefined,
  ) {}

  get resource(): Resource {
    return this.source.resource;
  }

  // As in the SDK, processors may replace this and other fields.
  set resource(value: Resource) {
    Object.defineProperty(this, 'resource', { value, writable: true });
  }

  get instrumentationScope(): InstrumentationScope {
    return this.source.instrumentationScope;
  }

  get startTime(): HrTime {
    return (this.start ??= startTimeAt(this.wallMs));
  }

  get endTime(): HrTime {
    return Number.isNaN(this.endedMs) ? [0, 0] : (this.finish ??= this.timeOf(this.endedMs));
  }

  get duration(): HrTime {
    return Number.isNaN(this.endedMs) ? [-1, -1] : hrTimeDuration(this.startTime, this.endTime);
  }

  get status(): SpanStatus {
    return (this.outcome ??= { code: SpanStatusCode.UNSET });
  }

  set status(status: SpanStatus) {
    this.outcome = status;
  }

  get events(): TimedEvent[] {
    return this.makeLists().events;
  }

  set events(events: TimedEvent[]) {
    this.makeLists().events = events;
  }

  get droppedEventsCount(): number {
    return this.lists?.droppedEvents ?? 0;
  }

  get links(): Link[] {
    return this.makeLists().links;
  }

  set links(links: Link[]) {
    this.makeLists().links = links;
  }

  get droppedLinksCount(): number {
    return this.lists?.droppedLinks ?? 0;
  }

  get attributes(): Attributes {
    return this.own ?? this.makeOwn();
  }

  set attributes(attributes: Attributes) {
    this.makeOwn();
    this.own = attributes;
  }

  get droppedAttributesCount(): number {
    if (this[FACTS] !== undefined) this.makeOwn();
    return this.sharedAttributes === undefined ? this.droppedAttributes : 0;
  }

  /** The attributes that the span has in common with others, if they are all that it has. Nobody may change them. */
  get sharedAttributes(): Attributes | undefined {
    if (this.shared !== undefined && countKept(this.shared, this.source.limits) < 0) this.makeOwn();
    return this.shared;
  }

  spanContext(): SpanContext {
    return this.ids;
  }

  isRecording(): boolean {
    return !this.ended;
  }

  /** Sets the time of the start, which the span takes from the clock otherwise. */
  startAt(time: TimeInput): void {
    this.isStartGiven = true;
    this.start = this.timeFrom(time);
  }

  setAttribute(key: string, value: AttributeValue): this {
    // The SDK says nothing about an ended span if there is nothing to set.
    if (value === undefined || value === null || this.isOver() || !isRecordable(key, value)) return this;
    this.put(key, value);
    return this;
  }

  setAttributes(attributes: Attributes): this {
    for (const key in attributes) {
      if (Object.hasOwn(attributes, key)) this.setAttribute(key, attributes[key] as AttributeValue);
    }
    return this;
  }

  addEvent(name: string, attributesOrStartTime?: Attributes | TimeInput, timeStamp?: TimeInput): this {
    if (this.isOver()) return this;
    const isTime = isTimeInput(attributesOrStartTime);
    const time = isTime && !isTimeInput(timeStamp) ? attributesOrStartTime : timeStamp;
    this.makeLists().addEvent(name, isTime ? undefined : attributesOrStartTime, this.timeFrom(time));
    return this;
  }

  addLink(link: Link): this {
    if (!this.isOver()) this.makeLists().addLink(link);
    return this;
  }

  addLinks(links: Link[]): this {
    for (const link of links) this.addLink(link);
    return this;
  }

  setStatus({ code, message }: SpanStatus): this {
    if (this.isOver() || code === SpanStatusCode.UNSET || this.outcome?.code === SpanStatusCode.OK) return this;
    this.outcome = { code };
    if (code !== SpanStatusCode.ERROR) return this;
    const given: unknown = message;
    if (typeof given === 'string') this.outcome.message = statusMessage(given);
    else if (given !== undefined && given !== null)
      diag.warn(`Dropping invalid status.message of type '${typeof given}', expected 'string'`);
    return this;
  }

  updateName(name: string): this {
    if (!this.isOver()) this.name = name;
    return this;
  }

  recordException(exception: Exception, time?: TimeInput): void {
    const attributes = attributesOfException(exception);
    const given: unknown = exception;
    if (attributes === undefined) diag.warn(`Failed to record an exception ${String(given)}`);
    else this.addEvent('exception', attributes, time);
  }

  end(endTime?: TimeInput): void {
    if (this.isOver()) {
      diag.error(`${this.name} ${this.ids.traceId}-${this.ids.spanId} - You can only call end() on a span once.`);
      return;
    }
    this[CALL_COUNTS]?.writeTo(this);
    this.endedMs = performance.now();
    if (endTime !== undefined || this.isStartGiven || this.endedMs < this.steadyMs) this.endAt(endTime);
    if (this.droppedEventsCount > 0) diag.warn(`Dropped ${this.droppedEventsCount} events because eventCountLimit reached`);
    if (this.droppedLinksCount > 0) diag.warn(`Dropped ${this.droppedLinksCount} links because linkCountLimit reached`);
    const { processors, metrics } = this.source;
    for (const processor of processors) processor.onEnding?.(this);
    metrics?.ended(this.ids);
    this.ended = true;
    for (const processor of processors) processor.onEnd(this);
  }

  [INSPECT](...how: InspectArguments): unknown {
    return inspectSpan(this, how);
  }

  private makeLists(): EventsAndLinks {
    return (this.lists ??= new EventsAndLinks(this.source.limits));
  }

  private makeOwn(): Attributes {
    const known = this[FACTS]?.toAttributes();
    const first = known ?? this.shared;
    this.shared = this[FACTS] = undefined;
    const count = first === undefined ? 0 : countKept(first, this.source.limits);
    if (count >= 0) {
      this.writes = count;
      return (this.own = known ?? { ...first });
    }
    this.own = {};
    for (const key in first) {
      const value = first[key];
      if (Object.hasOwn(first, key) && isRecordable(key, value)) this.put(key, value);
    }
    return this.own;
  }

  private put(key: string, value: AttributeValue): void {
    const attributes = this.own ?? this.makeOwn();
    const { attributeCountLimit, attributeValueLengthLimit } = this.source.limits;
    if (this.writes >= attributeCountLimit) {
      this.writes = Object.keys(attributes).length;
      if (this.writes >= attributeCountLimit && !Object.hasOwn(attributes, key)) {
        this.droppedAttributes++;
        return;
      }
    }
    this.writes++;
    attributes[key] = shortened(value, attributeValueLengthLimit);
  }

  /** Sets an end that is given, or that may lie before the start. */
  private endAt(endTime: TimeInput | undefined): void {
    this.finish = this.timeFrom(endTime);
    const [seconds, nanoseconds] = hrTimeDuration(this.startTime, this.finish);
    if (seconds >= 0) return;
    // `Date.now()` has no fractions: it may lie before a start in the same millisecond.
    if (this.isStartGiven || seconds < -1 || nanoseconds <= 1e9 - 1e6)
      diag.warn('Inconsistent start and end time, startTime > endTime. Setting span duration to 0ms.', this.startTime, this.finish);
    this.finish = [...this.startTime];
  }

  /** Returns the time that is given, or now. */
  private timeFrom(input: TimeInput | undefined): HrTime {
    const given = givenTime(input, this.wallMs, this.steadyMs);
    if (given !== undefined) return given;
    // A start that is given may come from another clock.
    return this.isStartGiven ? millisToHrTime(wallTime()) : this.timeOf(performance.now());
  }

  private timeOf(steadyMs: number): HrTime {
    return addHrTimes(this.startTime, millisToHrTime(steadyMs - this.steadyMs));
  }

  private isOver(): boolean {
    if (!this.ended) return false;
    const message = `Cannot execute the operation on ended Span {traceId: ${this.ids.traceId}, spanId: ${this.ids.spanId}}`;
    diag.warn(message, new Error(message));
    return true;
  }
}
