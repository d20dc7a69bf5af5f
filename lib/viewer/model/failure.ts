/** Says in one line why a span failed: what was thrown, its message, the first place in the user's own code. */
import { errorTypeOf, exceptionIn } from '../../conventions/reading.js';
import type { TraceSpan } from './trace-span.js';

/** Why a span failed, as far as it tells. @internal */
export interface Failure {
  readonly type: string | undefined;
  readonly message: string | undefined;
  /** `Class.method (path:line:column)`, without what belongs to Node or to node_modules. */
  readonly frame: string | undefined;
}

/** The failure of `span`, of its last exception event where it has one; `undefined` where it did not fail. @internal */
export function failureOf(span: TraceSpan, workingDirectory = ''): Failure | undefined {
  if (span.status !== 'error') return undefined;
  for (let index = span.events.length - 1; index >= 0; index -= 1) {
    const event = span.events[index];
    const exception = event && exceptionIn(event);
    if (exception) {
      const { type, message, stack } = exception;
      return { type, message: message ?? span.statusMessage, frame: stack === undefined ? undefined : userFrame(stack, workingDirectory) };
    }
  }
  return { type: errorTypeOf(span.attributes), message: span.statusMessage, frame: undefined };
}

const FRAME = /^\s+at (?:async )?(.+)$/;
const FOREIGN = /node_modules|\(?(?:node:|internal\/)|<anonymous>\)?$|^new Promise /;

function userFrame(stack: string, workingDirectory: string): string | undefined {
  for (const line of stack.split('\n')) {
    const frame = FRAME.exec(line)?.[1];
    if (frame === undefined || FOREIGN.test(frame)) continue;
    const local = frame.replace('file://', '');
    return workingDirectory ? local.replace(`${workingDirectory}/`, '') : local;
  }
  return undefined;
}
