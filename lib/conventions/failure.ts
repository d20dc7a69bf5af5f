/** How a failure looks on a span: `error.type`, the exception event and the status (semantic conventions, "recording errors"). */
import { type Attributes, type Span, SpanStatusCode } from '@opentelemetry/api';

const MAX_MESSAGE = 4096;
const MAX_STACK = 16384;

/** `error.type` of something thrown: a stable code like `ECONNREFUSED`, else the class of the error, else `_OTHER`. */
export function errorType(thrown: unknown): string {
  try {
    if (typeof thrown === 'object' && thrown !== null) {
      const { code, name, constructor } = thrown as { code?: unknown; name?: unknown; constructor?: { name?: unknown } };
      if (typeof code === 'string' && /^[A-Z][A-Z0-9_]{2,63}$/.test(code)) return code;
      const className = constructor?.name;
      if (typeof name === 'string' && name && name !== 'Error') return name;
      if (typeof className === 'string' && className && className !== 'Object') return className;
    }
  } catch {
    // A getter or proxy that throws: the type stays unknown.
  }
  return '_OTHER';
}

/** Attributes of the `exception` event for anything that can be thrown. Never throws. */
function exceptionAttributes(thrown: unknown): Attributes {
  const attributes: Attributes = { 'exception.type': exceptionType(thrown), 'exception.message': exceptionMessage(thrown) };
  const stack = exceptionStack(thrown);
  if (stack !== undefined) attributes['exception.stacktrace'] = stack;
  return attributes;
}

/** Adds the `exception` event; SDK lines differ in what `recordException` makes of odd values, so the event is built here. */
export function recordException(span: Span, thrown: unknown): void {
  if (span.isRecording()) span.addEvent('exception', exceptionAttributes(thrown));
}

/** Adds the `exception` event with the moment of the throw, in milliseconds since the epoch. */
export function recordExceptionAt(span: Span, thrown: unknown, epochMs: number): void {
  if (span.isRecording()) span.addEvent('exception', exceptionAttributes(thrown), epochMs);
}

/** Marks a span failed by what was thrown: `error.type`, status `ERROR` with its message, and the exception event. */
export function recordFailure(span: Span, thrown: unknown): void {
  if (!span.isRecording()) return;
  recordException(span, thrown);
  markFailure(span, thrown);
}

/** Marks a span failed by what another span has recorded. */
export function markFailure(span: Span, thrown: unknown): void {
  if (!span.isRecording()) return;
  span.setAttribute('error.type', errorType(thrown));
  span.setStatus({ code: SpanStatusCode.ERROR, message: exceptionMessage(thrown) });
}

/** The message of anything that can be thrown, shortened. Never throws. */
export function exceptionMessage(thrown: unknown): string {
  try {
    const message = typeof thrown === 'object' && thrown !== null && 'message' in thrown ? thrown.message : thrown;
    const text = typeof message === 'string' ? message : String(message);
    // What microservices answer with is often a plain object: { code: 5, details: 'not found' }.
    return shorten(text === '[object Object]' ? JSON.stringify(message) : text, MAX_MESSAGE);
  } catch {
    return 'unprintable';
  }
}

function exceptionType(thrown: unknown): string {
  try {
    if (typeof thrown === 'object' && thrown !== null) {
      const { name, constructor } = thrown as { name?: unknown; constructor?: { name?: unknown } };
      const className = constructor?.name;
      if (typeof className === 'string' && className && className !== 'Error' && className !== 'Object') return className;
      if (typeof name === 'string' && name) return name;
      if (typeof className === 'string' && className) return className;
      return 'Object';
    }
  } catch {
    return '_OTHER';
  }
  return thrown === null ? 'null' : typeof thrown;
}

function exceptionStack(thrown: unknown): string | undefined {
  try {
    const stack = typeof thrown === 'object' && thrown !== null && 'stack' in thrown ? thrown.stack : undefined;
    return typeof stack === 'string' && stack ? shorten(stack, MAX_STACK) : undefined;
  } catch {
    return undefined;
  }
}

function shorten(text: string, limit: number): string {
  return text.length > limit ? `${text.slice(0, limit)}…` : text;
}
