/** The public names of `nestjs-tracing`, one by one. */
export { TracingModule, type TracingAsyncOptions, type TracingOptionsFactory } from './tracing.module.js';
export type {
  ExporterName,
  GraphqlOptions,
  IgnoreRule,
  InboundMessage,
  InboundOptions,
  InboundRequest,
  InboundResponse,
  OutboundMessage,
  OutboundOptions,
  OutboundRequest,
  OutboundResponse,
  PropagatorName,
  TracingOptions,
} from './tracing.options.js';
export type { ViewerOptions } from './viewer/viewer-options.js';
export { CurrentSpan } from './local/current-span.decorator.js';
export { NoSpan } from './local/no-span.decorator.js';
export { type FixedSpanOptions, Span, type SpanDecorator, type SpanOptions } from './local/span.decorator.js';
export { SpanAttribute } from './local/span-attribute.decorator.js';
export { Traceable, type TraceableOptions } from './local/traceable.decorator.js';
export { Tracer } from './local/tracer.js';
export { traceAxios } from './outbound/axios.js';
export { traceQueue } from './outbound/bullmq.js';
export { traceClientProxy } from './outbound/client-proxy.js';
