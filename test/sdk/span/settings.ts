/** Samplers and parents under which spans are made. */
import { createTraceState, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { suppressTracing } from '@opentelemetry/core';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-node';

export const remote = (traceFlags: number, more: object = {}) =>
  trace.setSpanContext(ROOT_CONTEXT, { traceId: 'd'.repeat(32), spanId: 'e'.repeat(16), traceFlags, isRemote: true, ...more });
export const PARENTS = {
  'no parent': ROOT_CONTEXT,
  'a sampled parent': remote(1),
  'a parent that is not sampled': remote(0),
  'a parent with other flags': remote(3),
  'a parent with a trace state': remote(1, { traceState: createTraceState('a=1,b=2') }),
  'a parent without a trace id': remote(1, { traceId: '0'.repeat(32) }),
  'a parent with a malformed span id': remote(1, { spanId: 'xyz' }),
  'a context that suppresses tracing': suppressTracing(remote(1)),
};

const recordOnly: Sampler = {
  shouldSample: (_ctx, _traceId, _name, _kind, attributes) => ({
    decision: SamplingDecision.RECORD,
    attributes: { ...attributes, sampler: 'record', 'not valid': {} as never },
    traceState: createTraceState('s=1'),
  }),
};
export const SAMPLERS: Record<string, Sampler> = {
  'always on under the parent': new ParentBasedSampler({ root: new AlwaysOnSampler() }),
  'always on': new AlwaysOnSampler(),
  'always off': new AlwaysOffSampler(),
  'a ratio': new TraceIdRatioBasedSampler(0.5),
  'record only, with attributes and trace state': recordOnly,
};
