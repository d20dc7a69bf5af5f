/** What all spans of a tracer share. */
import type { InstrumentationScope } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import type { SpanLimits, SpanProcessor } from '@opentelemetry/sdk-trace-node';
import type { SpanMetrics } from './span-metrics.js';

export interface SpanSource {
  readonly resource: Resource;
  readonly instrumentationScope: InstrumentationScope;
  readonly limits: Readonly<Required<SpanLimits>>;
  readonly processors: readonly SpanProcessor[];
  /** Undefined if nobody wants to know how many spans there are. */
  readonly metrics: SpanMetrics | undefined;
}
