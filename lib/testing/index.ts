/** The entry point `nestjs-tracing/testing`: tools for users' own tests. */
export { TraceRecorder } from './trace-recorder.js';
export type { SpanQuery, StartedSpan, TreeOptions, WaitOptions } from './trace-recorder.js';
export { traceMatchers } from './trace-matchers.js';
export type { ExpectedSpan, TraceMatcherContext, TraceMatcherResult, TraceMatchers } from './trace-matchers.js';
export type { FinishedSpan, FinishedSpanEvent, SpanKindName, SpanStatusName } from '../viewer/model/trace-span.js';
