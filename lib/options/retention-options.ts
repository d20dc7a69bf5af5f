/** What users can set: which finished traces leave the process, and in which form. */

/** Which traces are exported, decided at the end of each request, message or job (tail sampling). @publicApi */
export interface KeepOptions {
  /** Whether a request is kept if one of its spans failed. @default true */
  readonly errors?: boolean;
  /**
   * From which duration on a request is kept: in milliseconds, or `'p99'` for the slowest hundredth of its route. A function gets the name of
   * the request's span, such as `GET /orders/:id`, and returns one of these, or `undefined` for a route that is never slow. @default 1000
   */
  readonly slowerThanMs?: number | 'p99' | ((route: string) => number | 'p99' | undefined);
  /** The share of all other requests that is kept, from 0 to 1. It follows from the trace id, so services with the same ratio agree. @default 0.05 */
  readonly ratio?: number;
  /** How many finished spans wait for a decision at most. Beyond it, the oldest request is decided before its end. @default 20000 */
  readonly maxSpans?: number;
  /** How many megabytes these spans may take, as an estimate. Beyond it, the oldest request is decided before its end. @default 32 */
  readonly maxMemoryMb?: number;
  /** How long a finished span waits at most for the end of its request, in milliseconds. @default 60000 */
  readonly maxWaitMs?: number;
}

/** How many similar spans below one parent become one. @publicApi */
export interface FoldOptions {
  /** How many similar spans below one parent stay as they are: those of the same name, kind and library that did not fail. @default 20 */
  readonly over?: number;
  /** How many of the slowest are kept beside the one that stands for the others. @default 3 */
  readonly keepSlowest?: number;
}

/** A request header whose right value keeps the trace. @publicApi */
export interface KeepHeader {
  readonly name: string;
  /** The value of the header: 16 printable ASCII characters or more. It is never recorded. */
  readonly secret: string;
}
