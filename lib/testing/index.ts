/** What the entry point `nestjs-tracing/testing` offers to users' own tests. */
export { TraceRecorder } from './trace-recorder.js';
export type { SpanQuery, StartedSpan, WaitOptions } from './trace-recorder.js';
export { traceMatchers } from './trace-matchers.js';
export type { ExpectedSpan, TraceMatcherContext, TraceMatcherResult, TraceMatchers } from './trace-matchers.js';
export type { TreeOptions } from './print-tree.js';
export type { FinishedSpan, FinishedSpanEvent, SpanKindName, SpanStatusName } from '../viewer/model/trace-span.js';
