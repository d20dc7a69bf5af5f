/** Finds out why a span failed: the type of the error, its message, and the first stack frame in the user's own code. */
import { errorTypeOf, exceptionIn } from '../../conventions/reading.js';
import { firstUserFrame, type StackFrame } from '../../conventions/stack-frames.js';
import type { TraceSpan } from './trace-span.js';

/** Why a span failed. @internal */
export interface Failure {
  readonly type: string | undefined;
  readonly message: string | undefined;
  /** The first stack frame outside Node and node_modules. */
  readonly frame: StackFrame | undefined;
  /** Whether the span itself recorded an exception. A parent often has only the status. */
  readonly hasException: boolean;
}

/** Returns the failure of `span`, from its last exception event if it has one; `undefined` if it did not fail. @internal */
export function failureOf(span: TraceSpan, workingDirectory = ''): Failure | undefined {
  if (span.status !== 'error') return undefined;
  for (let index = span.events.length - 1; index >= 0; index -= 1) {
    const event = span.events[index];
    const exception = event && exceptionIn(event);
    if (exception) {
      const { type, message, stack } = exception;
      const frame = stack === undefined ? undefined : frameIn(stack, workingDirectory);
      return { type, message: message ?? span.statusMessage, frame, hasException: true };
    }
  }
  return { type: errorTypeOf(span.attributes), message: span.statusMessage, frame: undefined, hasException: false };
}

function frameIn(stack: string, workingDirectory: string): StackFrame | undefined {
  const frame = firstUserFrame(stack);
  if (frame === undefined || workingDirectory === '' || !frame.location.startsWith(`${workingDirectory}/`)) return frame;
  return { ...frame, location: frame.location.slice(workingDirectory.length + 1) };
}
