import { jest } from '@jest/globals';
import { type INestApplicationContext, Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type Context, createNoopMeter, type MeterProvider as ApiMeterProvider, type Span, trace } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { NodeTracerProvider, ParentBasedSampler, RandomIdGenerator } from '@opentelemetry/sdk-trace-node';
import { Tracer, TracingModule, type TracingOptions } from '../../../lib/index.js';
import { resolveOptions } from '../../../lib/options/resolved-options.js';
import { LightTracerProvider } from '../../../lib/sdk/span/light-provider.js';
import { SpanMetrics } from '../../../lib/sdk/span/span-metrics.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { NO_LIMITS } from './both-spans.js';
import { PARENTS, SAMPLERS } from './settings.js';

class Reader extends MetricReader {
  protected onForceFlush = () => Promise.resolve();
  protected onShutdown = () => Promise.resolve();
}

/** A meter provider, and what was reported to it. */
class Metrics {
  private readonly reader = new Reader();
  readonly provider = new MeterProvider({ readers: [this.reader] });

  async all() {
    const { resourceMetrics, errors } = await this.reader.collect();
    expect(errors).toEqual([]);
    return resourceMetrics.scopeMetrics.map(({ scope, metrics }) => ({
      scope,
      metrics: metrics.map(({ descriptor, dataPoints }) => ({
        descriptor,
        points: dataPoints.map(({ attributes, value }) => ({ attributes, value })),
      })),
    }));
  }

  /** By the name of the metric and the values of the attributes. */
  async values(): Promise<Record<string, unknown>> {
    const metrics = (await this.all()).flatMap(one => one.metrics);
    const entries = metrics.flatMap(({ descriptor, points }) =>
      points.map(({ attributes, value }) => [
        [descriptor.name.replace('otel.sdk.span.', ''), ...Object.values(attributes)].join(' '),
        value,
      ]),
    );
    return Object.fromEntries(entries) as Record<string, unknown>;
  }
}

const limits = NO_LIMITS;
const resource = resourceFromAttributes({});

describe('Metrics of spans', () => {
  it.each(Object.keys(SAMPLERS).flatMap(sampler => Object.keys(PARENTS).map(parent => [sampler, parent] as const)))(
    'have the values of the SDK with the sampler "%s" and %s',
    async (name, under) => {
      const [sdk, ours] = [new Metrics(), new Metrics()];
      const sampler = SAMPLERS[name]!;
      const known = { recordsRoots: sampler instanceof ParentBasedSampler, recordsChildren: sampler instanceof ParentBasedSampler };
      // The sampler with a ratio decides by the trace id.
      let count = 0;
      const idGenerator = {
        generateSpanId: new RandomIdGenerator().generateSpanId,
        generateTraceId: () => (++count % 2 === 0 ? '1' : 'e').repeat(32),
      };
      const tracers = [
        new NodeTracerProvider({ resource, sampler, idGenerator, meterProvider: sdk.provider }),
        new LightTracerProvider({
          resource,
          sampler,
          idGenerator,
          limits,
          processors: [],
          metrics: SpanMetrics.in(ours.provider),
          ...known,
        }),
      ].map(provider => provider.getTracer('scope'));
      const both = (act: (index: number) => Span) => {
        count = 0;
        return tracers.map((_, index) => act(index));
      };
      const start = (parents: Context[], options = {}) => both(index => tracers[index]!.startSpan('work', options, parents[index]));
      const parent = PARENTS[under as keyof typeof PARENTS];
      const outer = start([parent, parent]);
      const inner = start(outer.map(span => trace.setSpan(parent, span)));
      const roots = start([parent, parent], { root: true });
      const steps = [
        () => undefined,
        () => inner.forEach(span => span.end()),
        () => inner.forEach(span => span.end()),
        () => [...outer, ...roots].forEach(span => span.end()),
      ];
      for (const step of steps) {
        step();
        expect(await ours.all()).toEqual(await sdk.all());
      }
      if (under !== 'a context that suppresses tracing') expect(await ours.values()).not.toEqual({});
    },
  );

  const opened: INestApplicationContext[] = [];
  afterEach(async () => {
    await Promise.all(opened.splice(0).map(app => app.close()));
  });

  async function start(options: TracingOptions) {
    @Module({ imports: [TracingModule.forRoot({ exporter: new TraceRecorder(), ...options })] })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    opened.push(app);
    return app.get(Tracer);
  }
  const twoSpans = (tracer: Tracer) => tracer.span('outer', () => tracer.span('inner', () => 'done'));

  it.each([
    [1, { 'started none RECORD_AND_SAMPLE': 1, 'started local RECORD_AND_SAMPLE': 1, 'live RECORD_AND_SAMPLE': 0 }],
    [0, { 'started none DROP': 1, 'started local DROP': 1 }],
  ])('are counted for the option meterProvider, with the sampler %s', async (sampler, expected) => {
    const metrics = new Metrics();
    const tracer = await start({ sampler, meterProvider: metrics.provider });
    expect(twoSpans(tracer)).toBe('done');
    expect(await metrics.values()).toEqual(expected);
  });

  it('tell spans that are under way from spans that have ended', async () => {
    const metrics = new Metrics();
    const tracer = await start({ meterProvider: metrics.provider });
    const seen = await tracer.span('under way', () => metrics.values());
    expect(seen['live RECORD_AND_SAMPLE']).toBe(1);
    expect((await metrics.values())['live RECORD_AND_SAMPLE']).toBe(0);
  });

  const broken = () => {
    throw new Error('no metrics');
  };
  it.each<[string, ApiMeterProvider]>([
    ['at the start', { getMeter: broken }],
    [
      'for each span',
      {
        getMeter: () =>
          Object.assign(createNoopMeter(), { createCounter: () => ({ add: broken }), createUpDownCounter: () => ({ add: broken }) }),
      },
    ],
  ])('cost nobody his work if the meter provider throws %s', async (_when, meterProvider) => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const recorder = new TraceRecorder();
    const tracer = await start({ exporter: recorder, meterProvider });
    expect(twoSpans(tracer)).toBe('done');
    expect(recorder.spans.map(({ name }) => name)).toEqual(['inner', 'outer']);
    warn.mockRestore();
  });

  it('need a meter provider', () => {
    expect(() => resolveOptions({ meterProvider: {} as never })).toThrow('meterProvider');
  });
});
