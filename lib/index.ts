/** The public exports of `nestjs-tracing`. */
export { TRACING_OPTIONS, TracingModule, type TracingAsyncOptions, type TracingOptionsFactory } from './tracing.module.js';
export type {
  DatabaseOptions,
  DatabaseQuery,
  ExporterName,
  IgnoreRule,
  InboundMessage,
  InboundOptions,
  InboundRequest,
  InboundResponse,
  Instrumentation,
  OutboundMessage,
  OutboundOptions,
  OutboundRequest,
  OutboundResponse,
  PropagatorName,
  TracingOptions,
  ViewerOptions,
} from './options/tracing-options.js';
export type { CaptureOptions } from './options/capture-options.js';
export type { GraphqlOptions } from './options/graphql-options.js';
export type { FoldOptions, KeepHeader, KeepOptions } from './options/retention-options.js';
export type { MethodRule, MethodsOptions, TracedMethod } from './options/methods-options.js';
export { NoSpan } from './api/no-span.decorator.js';
export {
  CurrentSpan,
  type FixedSpanOptions,
  Span,
  type SpanDecorator,
  type SpanOptions,
  Traceable,
  type TraceableOptions,
} from './api/span.decorator.js';
export type { CallSpanOptions } from './api/traced-method.js';
export { SpanAttribute } from './api/span-attribute.decorator.js';
export { Tracer } from './api/tracer.js';
export { traceWorker } from './integrations/bullmq/worker.js';
export { traceDatabase } from './integrations/databases/trace-database.js';
export { traceAxios } from './integrations/http-client/axios.js';
export { traceClientProxy } from './integrations/microservices/client-proxy.js';
export { traceQueue } from './integrations/trace-queue.js';
