/** Says in one line why a span failed: what was thrown, its message, the first place in the user's own code. */
import { errorTypeOf, exceptionIn } from '../../conventions/reading.js';
import type { TraceSpan } from './trace-span.js';

/** Why a span failed, as far as it tells. @internal */
export interface Failure {
  readonly type: string | undefined;
  readonly message: string | undefined;
  /** The first place that belongs neither to Node nor to node_modules. */
  readonly place: Place | undefined;
}

/** A line of source code. @internal */
export interface Place {
  /** Empty at the top level of a file. */
  readonly functionName: string;
  /** `path:line:column`. */
  readonly location: string;
}

/** The failure of `span`, of its last exception event where it has one; `undefined` where it did not fail. @internal */
export function failureOf(span: TraceSpan, workingDirectory = ''): Failure | undefined {
  if (span.status !== 'error') return undefined;
  for (let index = span.events.length - 1; index >= 0; index -= 1) {
    const event = span.events[index];
    const exception = event && exceptionIn(event);
    if (exception) {
      const { type, message, stack } = exception;
      return { type, message: message ?? span.statusMessage, place: stack === undefined ? undefined : userPlace(stack, workingDirectory) };
    }
  }
  return { type: errorTypeOf(span.attributes), message: span.statusMessage, place: undefined };
}

const FRAME = /^\s+at (?:async )?(?:(.+) \((.+)\)|(.+))$/;
const FOREIGN = /node_modules|^node:|^internal\/|^<anonymous>$|^native$/;

/** Whether a line of a stack is a place in the user's own code. @internal */
export function isUserFrame(line: string): boolean {
  const { location } = frameOf(line);
  return location !== '' && !FOREIGN.test(location);
}

function frameOf(line: string): Place {
  const [, functionName = '', inside, alone = ''] = FRAME.exec(line) ?? [];
  return { functionName, location: (inside ?? alone).replace('file://', '') };
}

function userPlace(stack: string, workingDirectory: string): Place | undefined {
  for (const line of stack.split('\n')) {
    const { functionName, location } = frameOf(line);
    if (location === '' || FOREIGN.test(location)) continue;
    const isBelow = workingDirectory !== '' && location.startsWith(`${workingDirectory}/`);
    return { functionName, location: isBelow ? location.slice(workingDirectory.length + 1) : location };
  }
  return undefined;
}
