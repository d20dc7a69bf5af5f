/** Work that a handler of a Nest controller or gateway serves: what handlers and filters tell it while it is under way. */
import type { Attributes, Context, Span } from '@opentelemetry/api';
import { type TracingApplication, type Work, workIn } from '../local/work.js';

export abstract class ServedWork implements Work {
  /** Set as soon as the work turns out not to be traced. */
  relay: Context | undefined = undefined;
  abstract readonly application: TracingApplication;
  abstract readonly span: Span;

  /** A handler of a controller or gateway serves it: what else is executed meanwhile is that handler's affair. */
  abstract readonly isTaken: boolean;
  /** True for the first handler that is entered: what it calls itself is its own affair. */
  abstract enter(): boolean;
  /** It is known which method of which class serves. */
  abstract handledBy(className: string, method: string): void;
  /** Something was thrown; whether the work failed shows at its end. The last one counts. */
  abstract threw(thrown: unknown): void;
  /** The handler that was entered has returned; `settled` tells when it is done, even where nobody waits for it any more. */
  returned(_settled?: PromiseLike<unknown>): void {
    // Most work ends with what is made of the result.
  }
  /** The path of what serves it is known, as it is declared. */
  routed(_route: string): void {
    // Most work has none.
  }
  /** What is served has a name of its own, which says more than the route. */
  named(_name: string, _attributes: () => Attributes): void {
    // Most work has the name that it came with.
  }
  /** The answer tells of an error, and yet is one; whether the exception stands on another span already. */
  answeredWith(_thrown: unknown, _isRecorded: boolean): void {
    // Most work fails by what is thrown.
  }
  /** Something thrown has reached the exception filters. */
  escaped(thrown: unknown): void {
    this.threw(thrown);
  }
  /** Where a handler runs that wants no tracing while others, which serve the same, do. `undefined` where it speaks for all. */
  untracedPart(): Context | undefined {
    return undefined;
  }
  /** The handler wants no tracing: the span, never ended, reaches no exporter, and the caller's context takes its place. */
  abstract abandon(): void;
}

/** The served work in the active context. */
export function servedWork(): ServedWork | undefined {
  const work = workIn();
  return work instanceof ServedWork ? work : undefined;
}
