import { describe, expect, it } from '@jest/globals';
import { type Context, defaultTextMapSetter, ROOT_CONTEXT, type Span, trace } from '@opentelemetry/api';
import { suppressTracing } from '@opentelemetry/core';
import { InMemorySpanExporter, type Sampler, SamplingDecision } from '@opentelemetry/sdk-trace-node';
import fc from 'fast-check';
import { headerGetter } from '../../lib/propagation/message-headers.js';
import type { Pipeline } from '../../lib/sdk/pipeline.js';
import type { TracingOptions } from '../../lib/options/tracing-options.js';
import { said, setEnvironment, startPipeline } from './pipelines.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';

/** How the instrumentation opens a span. */
const open = (pipeline: Pipeline, parent: Context): Span => pipeline.unsampledSpan(parent) ?? pipeline.tracer.startSpan('a', {}, parent);
const caller = (traceFlags: number, traceId = TRACE) =>
  trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId: SPAN, traceFlags, isRemote: true });

async function recorded(options: TracingOptions, parent = ROOT_CONTEXT, count = 1): Promise<number> {
  const exporter = new InMemorySpanExporter();
  const pipeline = await startPipeline({ ...options, exporter });
  for (let i = 0; i < count; i++) open(pipeline, parent).end();
  return exporter.getFinishedSpans().length;
}

describe('sampling', () => {
  it('records everything unless the caller does not', async () => {
    expect(await recorded({})).toBe(1);
    expect(await recorded({}, caller(1))).toBe(1);
    expect(await recorded({}, caller(0))).toBe(0);
  });

  it('by a ratio counts for traces that begin here', async () => {
    expect(await recorded({ sampler: 0 }, ROOT_CONTEXT, 50)).toBe(0);
    expect(await recorded({ sampler: 1 }, ROOT_CONTEXT, 50)).toBe(50);
    expect(await recorded({ sampler: 0 }, caller(1))).toBe(1);
    expect(await recorded({ sampler: 1 }, caller(0))).toBe(0);
    const half = await recorded({ sampler: 0.5 }, ROOT_CONTEXT, 2000);
    expect(half).toBeGreaterThan(850);
    expect(half).toBeLessThan(1150);
  });

  it.each([
    ['always_on', undefined, { root: 1, sampled: 1, unsampled: 1 }],
    ['always_off', undefined, { root: 0, sampled: 0, unsampled: 0 }],
    ['traceidratio', '1', { root: 1, sampled: 1, unsampled: 1 }],
    ['traceidratio', '0', { root: 0, sampled: 0, unsampled: 0 }],
    ['traceidratio', undefined, { root: 1, sampled: 1, unsampled: 1 }],
    ['parentbased_always_on', undefined, { root: 1, sampled: 1, unsampled: 0 }],
    ['ParentBased_Always_Off', undefined, { root: 0, sampled: 1, unsampled: 0 }],
    ['parentbased_traceidratio', '0', { root: 0, sampled: 1, unsampled: 0 }],
  ])('follows OTEL_TRACES_SAMPLER=%s with the argument %s', async (name, arg, expected) => {
    setEnvironment({ OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: arg });
    expect({ root: await recorded({}), sampled: await recorded({}, caller(1)), unsampled: await recorded({}, caller(0)) }).toEqual(
      expected,
    );
    expect(said).toEqual([]);
  });

  it('goes on with the default where the environment is wrong, says so once, and loses to code', async () => {
    setEnvironment({ OTEL_TRACES_SAMPLER: 'jaeger_remote' });
    expect(await recorded({})).toBe(1);
    expect(said).toEqual([expect.stringContaining('OTEL_TRACES_SAMPLER is "jaeger_remote"')]);
    setEnvironment({ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '7' });
    expect(await recorded({})).toBe(1);
    expect(said[1]).toContain('OTEL_TRACES_SAMPLER_ARG is "7"');
    expect(await recorded({ sampler: 0 })).toBe(0);
  });

  it('asks the Sampler of the user, with what it needs to know', async () => {
    const asked: unknown[] = [];
    const sampler: Sampler = {
      shouldSample: (...question) => {
        asked.push(question);
        return { decision: SamplingDecision.NOT_RECORD };
      },
      toString: () => 'mine',
    };
    const pipeline = await startPipeline({ sampler });
    expect(pipeline.unsampledSpan(ROOT_CONTEXT)).toBeUndefined();
    const span = pipeline.tracer.startSpan('GET /', { kind: 1, attributes: { a: 1 } }, caller(1));
    expect(span.isRecording()).toBe(false);
    expect(asked).toEqual([[expect.anything(), TRACE, 'GET /', 1, { a: 1 }, []]]);
  });

  it('falls back to the default where the Sampler of the user fails', async () => {
    const broken = {
      shouldSample: () => {
        throw new Error('broken');
      },
      toString: () => 'broken',
    };
    const silent = { shouldSample: () => undefined as never, toString: () => 'silent' };
    for (const sampler of [broken, silent]) {
      expect(await recorded({ sampler })).toBe(1);
      expect(await recorded({ sampler }, caller(0))).toBe(0);
    }
    expect(said).toEqual([expect.stringContaining('option "sampler"')]);
  });
});

describe('a span known beforehand not to be recorded', () => {
  it('continues its trace, says "not sampled", and keeps the tracestate and the random flag', async () => {
    const { unsampledSpan, propagator } = await startPipeline();
    const headers = { traceparent: `00-${TRACE}-${SPAN}-02`, tracestate: 'a=1' };
    const parent = propagator.extract(ROOT_CONTEXT, headers, headerGetter);
    const span = unsampledSpan(parent);
    expect(span?.isRecording()).toBe(false);
    expect(span?.spanContext()).toMatchObject({ traceId: TRACE, traceFlags: 2 });
    expect(span?.spanContext().isRemote).toBeUndefined();
    expect(span?.spanContext().spanId).toMatch(/^(?!b7ad6b7169203331)[0-9a-f]{16}$/);
    const carrier: Record<string, string> = {};
    propagator.inject(trace.setSpan(parent, span!), carrier, defaultTextMapSetter);
    expect(carrier).toEqual({
      traceparent: `00-${TRACE}-${span?.spanContext().spanId}-02`,
      tracestate: 'a=1',
      b3: `${TRACE}-${span?.spanContext().spanId}-0`,
    });
  });

  it('has parents that are not recorded, near or far', async () => {
    const { unsampledSpan } = await startPipeline();
    const root = unsampledSpan(caller(0))!;
    const child = unsampledSpan(trace.setSpan(ROOT_CONTEXT, root));
    expect(child?.spanContext()).toMatchObject({ traceId: TRACE, traceFlags: 0 });
  });

  it('is none where tracing is suppressed', async () => {
    const { unsampledSpan } = await startPipeline({ sampler: 0 });
    expect(unsampledSpan(suppressTracing(ROOT_CONTEXT))).toBeUndefined();
    expect(unsampledSpan(suppressTracing(caller(0)))).toBeUndefined();
  });

  it('is one exactly where the SDK would not record, for any parent and any ratio', async () => {
    const ratios = fc.oneof(fc.constantFrom(0, 1, 0.5), fc.double({ min: 0, max: 1, noNaN: true }));
    const ids = fc.stringMatching(/^[0-9a-f]{31}[1-9a-f]$/);
    const parents = fc.option(fc.tuple(ids, fc.constantFrom(0, 1, 2, 3)), { nil: undefined });
    const names = fc.constantFrom('traceidratio', 'parentbased_traceidratio');
    await fc.assert(
      fc.asyncProperty(names, ratios, fc.array(parents, { minLength: 1, maxLength: 20 }), async (name, ratio, list) => {
        setEnvironment({ OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: String(ratio) });
        const pipeline = await startPipeline();
        for (const parent of list) {
          const ctx = parent === undefined ? ROOT_CONTEXT : caller(parent[1], parent[0]);
          const foreseen = pipeline.unsampledSpan(ctx);
          if (foreseen === undefined) {
            expect(pipeline.tracer.startSpan('a', {}, ctx).isRecording()).toBe(true);
          } else {
            // The SDK, asked about the same trace, refuses as well.
            const same = name === 'traceidratio' ? caller(1, foreseen.spanContext().traceId) : ctx;
            if (parent !== undefined || name === 'traceidratio') expect(pipeline.tracer.startSpan('a', {}, same).isRecording()).toBe(false);
          }
        }
        await pipeline.shutdown();
      }),
      { numRuns: 60 },
    );
  });
});

describe('ids', () => {
  it('are valid, and no two are the same', async () => {
    const { tracer } = await startPipeline();
    const contexts = Array.from({ length: 20_000 }, () => tracer.startSpan('a', {}, ROOT_CONTEXT).spanContext());
    expect(new Set(contexts.map(({ traceId }) => traceId)).size).toBe(20_000);
    expect(new Set(contexts.map(({ spanId }) => spanId)).size).toBe(20_000);
    expect(contexts.every(context => trace.isSpanContextValid(context))).toBe(true);
    expect(contexts.every(({ traceFlags }) => traceFlags === 1)).toBe(true);
  });

  it('of traces that begin here are sent as random ones', async () => {
    for (const sampler of [0, 1]) {
      const pipeline = await startPipeline({ sampler });
      const span = open(pipeline, ROOT_CONTEXT);
      const carrier: Record<string, string> = {};
      pipeline.propagator.inject(trace.setSpan(ROOT_CONTEXT, span), carrier, defaultTextMapSetter);
      expect(carrier.traceparent).toBe(`00-${span.spanContext().traceId}-${span.spanContext().spanId}-0${sampler + 2}`);
    }
  });
});
