/**
 * Records failed or unfinished work on a span: `error.type`, status and events (semantic conventions, "recording errors"). Each exception
 * has one event per trace in this process, on the innermost span that saw it. The outer spans have the status only.
 */
import { type Span, SpanStatusCode } from '@opentelemetry/api';
import { errorType, exceptionAttributes, exceptionMessage } from './exception.js';
import { thrownAt } from './stack-frames.js';

/**
 * Adds the `exception` event and the place where it was thrown, even if another span already has them. The event is built here, because SDK
 * versions treat odd values differently.
 */
export function recordException(span: Span, thrown: unknown, epochMs?: number): void {
  if (!span.isRecording()) return;
  const attributes = exceptionAttributes(thrown);
  span.addEvent('exception', attributes, epochMs);
  const { 'exception.stacktrace': stack, 'exception.message': message } = attributes;
  const place = typeof stack === 'string' && typeof message === 'string' ? thrownAt(stack, message) : undefined;
  if (place !== undefined) span.setAttribute('code.file.path', place.path).setAttribute('code.line.number', place.line);
  noteRecorded(span, thrown);
}

/** Adds the `exception` event unless a span of the trace has it. `epochMs` is the time of the throw in milliseconds since 1970. */
export function recordExceptionOnce(span: Span, thrown: unknown, epochMs?: number): void {
  if (span.isRecording() && !isRecorded(span, thrown)) recordException(span, thrown, epochMs);
}

/** Marks a span as failed: `error.type`, status `ERROR` with the message, and the exception event unless the trace has it. */
export function recordFailure(span: Span, thrown: unknown): void {
  recordExceptionOnce(span, thrown);
  markFailure(span, thrown);
}

/** Marks a span as failed, without an exception event. */
export function markFailure(span: Span, thrown: unknown): void {
  if (!span.isRecording()) return;
  span.setAttribute('error.type', errorType(thrown));
  span.setStatus({ code: SpanStatusCode.ERROR, message: exceptionMessage(thrown) });
}

const CLOSED = 'application.closed';
const CUT_OFF = 'The application was closed before this was done.';

/** Marks a subscription or stream that ended because the application closed. This is no failure. */
export function recordClosing(span: Span): void {
  span.addEvent(CLOSED);
}

/** Marks work as failed because the application closed before it was done. */
export function recordCutOff(span: Span): void {
  span.addEvent(CLOSED);
  span.setAttribute('error.type', 'application_closed').setStatus({ code: SpanStatusCode.ERROR, message: CUT_OFF });
}

/** Marks a span that ends at `answeredAt` (milliseconds since 1970) while its response stream continues. */
export function recordGoingOn(span: Span, answeredAt: number): void {
  span.addEvent('stream.going_on', undefined, answeredAt);
}

/** Marks the span of work that was garbage-collected before it was done: it can never end. `kind` is what it was. */
export function recordUnsettled(span: Span, kind: 'handler' | 'query'): void {
  span.addEvent(`${kind}.unsettled`);
}

/** The number of traces remembered for each error: the same error may be thrown many times. */
const MAX_TRACES = 16;
const MAX_VALUES = 16;

/** A thrown text or number. Equal values can only be told apart by the span that they were last seen on. */
interface RecordedValue {
  readonly thrown: unknown;
  readonly traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
}

/** The exceptions that already have an event, shared by all copies of this package. */
interface Recorded {
  readonly traces: WeakMap<object, string[]>;
  readonly values: RecordedValue[];
}

const RECORDED = Symbol.for('nestjs-tracing/recorded-exceptions');
const { traces, values } = ((globalThis as { [RECORDED]?: Recorded })[RECORDED] ??= { traces: new WeakMap(), values: [] });

/** Remembers that the trace of `span` has the event of `thrown`, on this span. */
function noteRecorded(span: Span, thrown: unknown): void {
  const { traceId, spanId } = span.spanContext();
  if (isReference(thrown)) {
    const known = traces.get(thrown) ?? [];
    if (known.length === 0) traces.set(thrown, known);
    if (known.push(traceId) > MAX_TRACES) known.shift();
    return;
  }
  if (values.push({ thrown, traceId, spanId, parentSpanId: parentOf(span) }) > MAX_VALUES) values.shift();
}

/** True if the trace of `span` has the event of `thrown`. */
function isRecorded(span: Span, thrown: unknown): boolean {
  const { traceId, spanId } = span.spanContext();
  if (isReference(thrown)) return traces.get(thrown)?.includes(traceId) === true;
  const recorded = values.findLast(
    value => value.traceId === traceId && Object.is(value.thrown, thrown) && (value.parentSpanId === spanId || value.spanId === spanId),
  );
  if (recorded === undefined) return false;
  // The value is now seen on the outer span.
  recorded.spanId = spanId;
  recorded.parentSpanId = parentOf(span);
  return true;
}

/** Returns the id of the parent, which only spans of the SDK have. */
function parentOf(span: Span & { readonly parentSpanContext?: { readonly spanId: string } }): string | undefined {
  return span.parentSpanContext?.spanId;
}

function isReference(thrown: unknown): thrown is object {
  return (typeof thrown === 'object' && thrown !== null) || typeof thrown === 'function';
}
