/** Matchers for jest and vitest that check the spans of a recorder. If they fail, they print its tree. */
import { messages } from '../options/messages.js';
import { type FinishedSpan, kindName, type SpanKindName, statusName, type SpanStatusName } from '../viewer/model/trace-span.js';
import { TraceRecorder, type TreeOptions } from './trace-recorder.js';

/** The expected values of a span. Values that are not set are not checked. @publicApi */
export interface ExpectedSpan {
  readonly kind?: SpanKindName;
  readonly status?: SpanStatusName;
  /** Attributes that the span must have. Values may be asymmetric matchers such as `expect.any(Number)`. */
  readonly attributes?: Readonly<Record<string, unknown>>;
  /** Names of events that the span must have. */
  readonly events?: readonly string[];
  /** The name of the parent span. `null` means that no parent is recorded. */
  readonly parent?: string | null;
}

/**
 * The types of the matchers for a test runner. `R` is the return type of a matcher. Merge this interface once into the runner's own:
 *
 * @example
 * // jest with @types/jest
 * declare global { namespace jest { interface Matchers<R> extends TraceMatchers<R> {} } }
 * @example
 * // jest with @jest/globals
 * declare module 'expect' { interface Matchers<R> extends TraceMatchers<R> {} }
 * @example
 * // vitest 5
 * declare module 'vitest' { interface Matchers<R> extends TraceMatchers<R> {} }
 * @example
 * // vitest 3 or 4
 * declare module 'vitest' { interface Assertion<T> extends TraceMatchers<void> {} }
 * @publicApi
 */
export interface TraceMatchers<R> {
  /** Passes if a span with this name has the expected values. */
  toHaveSpan(name: string, expected?: ExpectedSpan): R;
  /** Passes if `recorder.tree(options)` equals `tree`. Common indentation and empty lines do not count. */
  toHaveTree(tree: string, options?: TreeOptions): R;
}

/** The `this` of a matcher, in jest and in vitest. @publicApi */
export interface TraceMatcherContext {
  equals(a: unknown, b: unknown): boolean;
}

/** The result of a matcher, in jest and in vitest. @publicApi */
export interface TraceMatcherResult {
  pass: boolean;
  message(): string;
}

/**
 * Register the matchers once with `expect.extend(traceMatchers)`. They accept a {@link TraceRecorder} or an array of finished spans, and throw
 * a `TypeError` for anything else.
 *
 * @example expect(recorder).toHaveSpan('GET /orders/:id', { kind: 'server', attributes: { 'http.response.status_code': 200 } });
 * @publicApi
 */
export const traceMatchers = {
  toHaveSpan(this: TraceMatcherContext, received: unknown, name: string, expected: ExpectedSpan = {}): TraceMatcherResult {
    const recorder = recorderIn(received);
    const differences = recorder.spans
      .filter(span => span.name === name)
      .map(span => differencesOf(span, expected, recorder, (a, b) => this.equals(a, b)));
    return {
      pass: differences.some(list => list.length === 0),
      message: () => messages.spanExpectation(name, differences, recorder.tree()),
    };
  },

  toHaveTree(received: unknown, tree: string, options?: TreeOptions): TraceMatcherResult {
    const expected = withoutIndentation(tree);
    const actual = recorderIn(received).tree(options);
    return { pass: actual === expected, message: () => messages.treeExpectation(expected, actual) };
  },
};

function differencesOf(
  span: FinishedSpan,
  { kind, status, attributes = {}, events = [], parent }: ExpectedSpan,
  recorder: TraceRecorder,
  equals: (a: unknown, b: unknown) => boolean,
): string[] {
  const differences: string[] = [];
  const compare = (what: string, actual: unknown, wanted: unknown) => {
    if (!equals(actual, wanted)) differences.push(`${what} is ${show(actual)}, expected ${show(wanted)}`);
  };
  if (kind !== undefined) compare('kind', kindName(span.kind), kind);
  if (status !== undefined) compare('status', statusName(span.status.code), status);
  if (parent !== undefined) compare('parent', recorder.parentOf(span)?.name ?? null, parent);
  for (const [key, wanted] of Object.entries(attributes)) compare(key, span.attributes[key], wanted);
  for (const event of events) {
    if (!span.events.some(({ name }) => name === event)) differences.push(`there is no event ${show(event)}`);
  }
  return differences;
}

function recorderIn(received: unknown): TraceRecorder {
  if (isRecorder(received)) return received;
  if (!Array.isArray(received)) throw new TypeError(messages.notARecorder(received));
  const recorder = new TraceRecorder();
  recorder.export(received as readonly FinishedSpan[]);
  return recorder;
}

/** Not by `instanceof`: the recorder may come from the other build of this package. */
function isRecorder(received: unknown): received is TraceRecorder {
  return typeof received === 'object' && received !== null && 'tree' in received && 'parentOf' in received;
}

function withoutIndentation(text: string): string {
  const lines = text.split(/\r?\n/).map(line => line.trimEnd());
  const filled = lines.filter(line => line !== '');
  const common = Math.min(...filled.map(line => line.length - line.trimStart().length));
  return filled.map(line => line.slice(common)).join('\n');
}

function show(value: unknown): string {
  try {
    if (isAsymmetric(value)) return value.toAsymmetricMatcher();
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

function isAsymmetric(value: unknown): value is { toAsymmetricMatcher(): string } {
  return typeof value === 'object' && value !== null && 'toAsymmetricMatcher' in value;
}
