/** What users can set: what is recorded of requests that fail or take long. */

/** Parts of a request that are recorded if it fails. Only what is listed is recorded. @publicApi */
export interface CaptureOptions {
  /** Names of headers, recorded as `http.request.header.<name>`. @default [] */
  readonly headers?: readonly string[];
  /** Keys of the query, recorded as `nestjs.request.query.<key>`. @default [] */
  readonly query?: readonly string[];
  /** Parameters of the route, recorded as `nestjs.request.param.<name>`. @default [] */
  readonly params?: readonly string[];
  /** Fields of the parsed body, such as `customer.country`, recorded as `nestjs.request.body.<field>`. @default [] */
  readonly body?: readonly string[];
  /** The lowest status that is a failure. A connection that breaks is one, too. @default 500 */
  readonly fromStatus?: number;
  /** From which duration on a request is recorded although it did not fail, in milliseconds. @default none */
  readonly slowerThanMs?: number;
  /** How many characters of one value are recorded. @default 256 */
  readonly maxLength?: number;
  /** How many characters of all values of a request are recorded. @default 4096 */
  readonly maxTotalLength?: number;
  /**
   * What is recorded as `REDACTED`, besides keys like `password` or `token`, payment cards, JSON web tokens and credentials: a key, or a RegExp
   * that matches keys or parts of values. @default []
   */
  readonly redact?: readonly (string | RegExp)[];
}
