/** How much a span may carry and how many may wait for delivery: the environment's limits, checked. */
import { readNumber } from '../tracing.environment.js';

/** @internal */
export interface BatchLimits {
  readonly maxQueueSize: number;
  readonly maxExportBatchSize: number;
  readonly scheduledDelayMillis: number;
  readonly exportTimeoutMillis: number;
}

const count = (env: NodeJS.ProcessEnv, name: string, fallback: number, min = 0) =>
  readNumber(env, name, fallback, `a whole number from ${min}`, value => Number.isSafeInteger(value) && value >= min);
const millis = (env: NodeJS.ProcessEnv, name: string, fallback: number) =>
  readNumber(env, name, fallback, 'milliseconds', value => value >= 0 && value < 2 ** 31);

/** `OTEL_BSP_*`. @internal */
export function batchLimits(env: NodeJS.ProcessEnv): BatchLimits {
  const maxQueueSize = count(env, 'OTEL_BSP_MAX_QUEUE_SIZE', 2048, 1);
  return {
    maxQueueSize,
    maxExportBatchSize: Math.min(maxQueueSize, count(env, 'OTEL_BSP_MAX_EXPORT_BATCH_SIZE', 512, 1)),
    scheduledDelayMillis: millis(env, 'OTEL_BSP_SCHEDULE_DELAY', 5000),
    exportTimeoutMillis: millis(env, 'OTEL_BSP_EXPORT_TIMEOUT', 30_000),
  };
}

/** `OTEL_SPAN_*_LIMIT` and the rest, by the names of the specification and by those that the SDK made up. @internal */
export function spanLimits(env: NodeJS.ProcessEnv) {
  const attributes = count(env, 'OTEL_ATTRIBUTE_COUNT_LIMIT', 128);
  const valueLength = count(env, 'OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT', Infinity, 1);
  return {
    attributeCountLimit: count(env, 'OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT', attributes),
    attributeValueLengthLimit: count(env, 'OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT', valueLength, 1),
    eventCountLimit: count(env, 'OTEL_SPAN_EVENT_COUNT_LIMIT', 128),
    linkCountLimit: count(env, 'OTEL_SPAN_LINK_COUNT_LIMIT', 128),
    attributePerEventCountLimit: count(
      env,
      'OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT',
      count(env, 'OTEL_SPAN_ATTRIBUTE_PER_EVENT_COUNT_LIMIT', 128),
    ),
    attributePerLinkCountLimit: count(env, 'OTEL_LINK_ATTRIBUTE_COUNT_LIMIT', count(env, 'OTEL_SPAN_ATTRIBUTE_PER_LINK_COUNT_LIMIT', 128)),
  };
}
