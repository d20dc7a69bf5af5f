import { afterEach, describe, expect, it } from '@jest/globals';
import {
  type Context,
  context,
  defaultTextMapSetter,
  diag,
  DiagLogLevel,
  propagation,
  ROOT_CONTEXT,
  trace,
  type Tracer,
} from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { holdContextManager } from '../../lib/sdk/global-registration.js';
import { said, setEnvironment, startPipeline } from './pipelines.js';

const slots = () => {
  const api = (globalThis as Record<symbol, Record<string, unknown> | undefined>)[Symbol.for('opentelemetry.js.api.1')] ?? {};
  return Object.fromEntries(
    ['trace', 'propagation', 'context', 'diag'].filter(slot => api[slot] !== undefined).map(slot => [slot, api[slot]]),
  );
};
const namesOf = (exporter: InMemorySpanExporter) => exporter.getFinishedSpans().map(span => span.name);
const globalSpan = (name: string) => trace.getTracer('somebody else').startSpan(name).end();
const injected = (ctx: Context) => {
  const carrier: Record<string, string> = {};
  propagation.inject(ctx, carrier, defaultTextMapSetter);
  return carrier;
};
const anySpan = trace.setSpanContext(ROOT_CONTEXT, { traceId: '1'.repeat(32), spanId: '2'.repeat(16), traceFlags: 1 });

const noop = {} as Tracer;

function sdk() {
  const exporter = new InMemorySpanExporter();
  return { exporter, provider: new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }) };
}

afterEach(() => {
  trace.disable();
  propagation.disable();
  context.disable();
  diag.disable();
});

describe('one application', () => {
  it('is what OpenTelemetry knows process-wide, until it shuts down', async () => {
    const exporter = new InMemorySpanExporter();
    const pipeline = await startPipeline({ exporter });
    expect(Object.keys(slots())).toEqual(['trace', 'propagation', 'context', 'diag']);
    context.with(trace.setSpan(ROOT_CONTEXT, pipeline.tracer.startSpan('outer')), () => globalSpan('inner'));
    expect(exporter.getFinishedSpans()[0]).toMatchObject({ name: 'inner', parentSpanContext: { traceId: expect.any(String) } });
    expect(injected(anySpan)).toHaveProperty('b3');
    await pipeline.shutdown();
    expect(slots()).toEqual({});
    globalSpan('after');
    expect(injected(anySpan)).toEqual({});
    expect(said).toEqual([]);
  });

  it('may be followed by another', async () => {
    await (await startPipeline()).shutdown();
    const exporter = new InMemorySpanExporter();
    const second = await startPipeline({ exporter });
    expect(second.adopted).toBe(false);
    globalSpan('a');
    expect(namesOf(exporter)).toEqual(['a']);
  });

  it('does not touch what somebody registered after all', async () => {
    const pipeline = await startPipeline();
    trace.disable();
    propagation.disable();
    const { provider, exporter } = sdk();
    trace.setGlobalTracerProvider(provider);
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
    const before = slots();
    await pipeline.shutdown();
    globalSpan('a');
    expect(namesOf(exporter)).toEqual(['a']);
    expect(slots()).toMatchObject({ trace: before.trace, propagation: before.propagation });
  });
});

describe('two applications in one process', () => {
  it('have providers, resources and exporters of their own', async () => {
    const exporters = [new InMemorySpanExporter(), new InMemorySpanExporter()];
    const first = await startPipeline({ exporter: exporters[0], serviceName: 'first' });
    const second = await startPipeline({ exporter: exporters[1], serviceName: 'second' });
    expect([first.adopted, second.adopted]).toEqual([false, false]);
    first.tracer.startSpan('of the first').end();
    second.tracer.startSpan('of the second').end();
    globalSpan('of nobody');
    expect(exporters.map(namesOf)).toEqual([['of the first', 'of nobody'], ['of the second']]);
    expect(exporters.map(exporter => exporter.getFinishedSpans()[0]?.resource.attributes['service.name'])).toEqual(['first', 'second']);
    expect(said).toEqual([]);
  });

  it('hand what is process-wide from the one that ends to the next one that lives', async () => {
    const exporters = [0, 1, 2].map(() => new InMemorySpanExporter());
    const [first, second, third] = [
      await startPipeline({ exporter: exporters[0], propagators: ['tracecontext'] }),
      await startPipeline({ exporter: exporters[1], propagators: ['b3'] }),
      await startPipeline({ exporter: exporters[2], propagators: ['b3multi'] }),
    ];
    expect(injected(anySpan)).toEqual({ traceparent: expect.any(String) });
    const before = slots();
    await second.shutdown();
    expect(slots()).toEqual(before);
    expect(slots().trace).toBe(before.trace);
    globalSpan('a');
    expect(namesOf(exporters[0]!)).toEqual(['a']);
    await first.shutdown();
    globalSpan('b');
    expect(injected(anySpan)).toHaveProperty('x-b3-traceid');
    const inContext = context.with(anySpan, () => context.active());
    expect(inContext).toBe(anySpan);
    expect(namesOf(exporters[2]!)).toEqual(['b']);
    await third.shutdown();
    expect(slots()).toEqual({});
  });

  it('keep the exporter of the one going while the other one is shut down twice', async () => {
    const first = await startPipeline();
    const exporter = new InMemorySpanExporter();
    await startPipeline({ exporter });
    await Promise.all([first.shutdown(), first.shutdown()]);
    globalSpan('a');
    expect(namesOf(exporter)).toEqual(['a']);
    expect(Object.keys(slots())).toContain('context');
  });
});

describe('a provider that is registered already', () => {
  it('is used as it is: its exporter, its propagator, its context manager', async () => {
    const { provider, exporter } = sdk();
    provider.register();
    const before = slots();
    const pipeline = await startPipeline();
    expect(pipeline.adopted).toBe(true);
    expect(slots()).toMatchObject(before);
    pipeline.tracer.startSpan('a').end();
    expect(exporter.getFinishedSpans()).toMatchObject([{ name: 'a', instrumentationScope: { name: 'nestjs-tracing' } }]);
    expect(pipeline.propagator.fields()).toEqual(['traceparent', 'tracestate', 'baggage']);
    expect(pipeline.unsampledSpan(ROOT_CONTEXT)).toBeUndefined();
    await pipeline.forceFlush();
    await pipeline.shutdown();
    globalSpan('still alive');
    expect(namesOf(exporter)).toEqual(['a', 'still alive']);
    expect(slots()).toEqual(before);
    expect(said).toEqual([]);
  });

  it('may come without propagator and context manager, which are then added and taken back', async () => {
    const { provider, exporter } = sdk();
    trace.setGlobalTracerProvider(provider);
    const pipeline = await startPipeline();
    context.with(trace.setSpan(ROOT_CONTEXT, pipeline.tracer.startSpan('outer')), () => pipeline.tracer.startSpan('inner').end());
    expect(exporter.getFinishedSpans()[0]?.parentSpanContext).toBeDefined();
    expect(Object.keys(injected(anySpan))).toEqual(['traceparent', 'b3']);
    await pipeline.shutdown();
    expect(Object.keys(slots())).toEqual(['trace']);
  });

  it('keeps its propagator process-wide where the code names others for this application', async () => {
    sdk().provider.register();
    const { propagator } = await startPipeline({ propagators: ['b3'] });
    expect(propagator.fields()).toEqual(['b3']);
    expect(Object.keys(injected(anySpan))).toEqual(['traceparent']);
  });

  it('makes options of the pipeline void, which is said once with their names', async () => {
    sdk().provider.register();
    await startPipeline({ serviceName: 'orders', sampler: 0.5, exporter: 'none' });
    expect(said).toEqual([expect.stringMatching(/registered before .* no effect: serviceName, exporter, sampler\./)]);
  });

  it('is flushed on shutdown, within the deadline, and not shut down', async () => {
    const calls: string[] = [];
    const flushing = {
      getTracer: () => noop,
      forceFlush: () => {
        calls.push('forceFlush');
        return new Promise<void>(() => undefined);
      },
      shutdown: () => void calls.push('shutdown'),
    };
    trace.setGlobalTracerProvider(flushing);
    const pipeline = await startPipeline({ shutdownTimeoutMs: 10 });
    await pipeline.shutdown();
    expect(calls).toEqual(['forceFlush']);
  });

  it('may fail to flush without keeping the application from closing', async () => {
    trace.setGlobalTracerProvider({
      getTracer: () => noop,
      forceFlush: () => Promise.reject(new Error('no')),
    } as never);
    await (await startPipeline()).shutdown();
    expect(said).toEqual([expect.stringContaining('The provider in use did not shut down cleanly')]);
  });

  it('with an older copy of the API, which cannot be seen from here, is told of', async () => {
    const key = Symbol.for('opentelemetry.js.api.1');
    const globals = globalThis as Record<symbol, unknown>;
    const before = globals[key];
    globals[key] = { version: '1.8.0', trace: { getTracer: () => undefined } };
    try {
      const exporter = new InMemorySpanExporter();
      const pipeline = await startPipeline({ exporter });
      pipeline.tracer.startSpan('a').end();
      expect(pipeline.adopted).toBe(false);
      expect(namesOf(exporter)).toEqual(['a']);
      expect(said[0]).toContain('@opentelemetry/api 1.8.0');
    } finally {
      globals[key] = before;
    }
  });
});

describe('the option tracerProvider', () => {
  it('gives a provider that is used and, where none is registered, registered', async () => {
    const { provider, exporter } = sdk();
    const pipeline = await startPipeline({ tracerProvider: provider, propagators: ['b3'] });
    pipeline.tracer.startSpan('a').end();
    globalSpan('b');
    expect(injected(anySpan)).toHaveProperty('b3');
    await pipeline.shutdown();
    expect(slots()).toEqual({});
    provider.getTracer('own').startSpan('c').end();
    expect(namesOf(exporter)).toEqual(['a', 'b', 'c']);
  });

  it('has spans that name the conventions they follow, given or registered by somebody else', async () => {
    const schemaUrl = 'https://opentelemetry.io/schemas/1.45.0';
    const { provider, exporter } = sdk();
    const given = await startPipeline({ tracerProvider: provider });
    given.tracer.startSpan('given').end();
    await given.shutdown();
    provider.register();
    (await startPipeline()).tracer.startSpan('registered').end();
    expect(exporter.getFinishedSpans().map(({ name, instrumentationScope }) => [name, instrumentationScope.schemaUrl])).toEqual([
      ['given', schemaUrl],
      ['registered', schemaUrl],
    ]);
  });

  it('wins for this application over a registered provider, which stays', async () => {
    const registered = sdk();
    registered.provider.register();
    const given = sdk();
    const pipeline = await startPipeline({ tracerProvider: given.provider });
    pipeline.tracer.startSpan('a').end();
    globalSpan('b');
    expect([namesOf(given.exporter), namesOf(registered.exporter)]).toEqual([['a'], ['b']]);
  });

  it('is not adopted by another application', async () => {
    const given = sdk();
    await startPipeline({ tracerProvider: given.provider });
    const exporter = new InMemorySpanExporter();
    const other = await startPipeline({ exporter });
    expect(other.adopted).toBe(false);
    other.tracer.startSpan('a').end();
    expect(namesOf(exporter)).toEqual(['a']);
  });
});

describe('a context manager', () => {
  it('that is there stays', async () => {
    const theirs = new AsyncLocalStorageContextManager().enable();
    context.setGlobalContextManager(theirs);
    const pipeline = await startPipeline();
    expect(slots().context).toBe(theirs);
    await pipeline.shutdown();
    expect(slots().context).toBe(theirs);
  });

  it('can be held without an application, until the last holder leaves', () => {
    const [first, second] = [holdContextManager(), holdContextManager()];
    first();
    first();
    expect(context.with(anySpan, () => context.active())).toBe(anySpan);
    second();
    expect(slots().context).toBeUndefined();
  });
});

describe("OpenTelemetry's own log", () => {
  it("says warnings and errors through Nest's Logger, each kind once", async () => {
    await startPipeline();
    diag.warn('Dropped 3 events because eventCountLimit reached');
    diag.warn('Dropped 4 events because eventCountLimit reached');
    diag.error(JSON.stringify({ name: 'RangeError', message: 'out of range', stack: 'RangeError: …' }));
    diag.info('registered');
    diag.debug('found resource');
    expect(said).toEqual(['Dropped 3 events because eventCountLimit reached', 'RangeError: out of range']);
  });

  it('is as loud as OTEL_LOG_LEVEL wants it', async () => {
    setEnvironment({ OTEL_LOG_LEVEL: 'DEBUG' });
    const pipeline = await startPipeline();
    said.length = 0;
    for (const method of ['verbose', 'debug', 'info', 'info', 'warn', 'error'] as const) diag[method](`a ${method}`, { detail: 1 });
    expect(said).toEqual(['debug', 'info', 'info', 'warn', 'error'].map(method => `a ${method} { detail: 1 }`));
    await pipeline.shutdown();
    setEnvironment({ OTEL_LOG_LEVEL: 'none' });
    await startPipeline();
    said.length = 0;
    diag.error('unheard');
    expect(said).toEqual([]);
  });

  it('goes on with warnings where OTEL_LOG_LEVEL is wrong, and says so', async () => {
    setEnvironment({ OTEL_LOG_LEVEL: 'loud' });
    await startPipeline();
    expect(said).toEqual([expect.stringContaining('OTEL_LOG_LEVEL is "loud"')]);
  });

  it('stays with who listens already', async () => {
    const heard: string[] = [];
    const write = (message: string) => void heard.push(message);
    diag.setLogger({ error: write, warn: write, info: write, debug: write, verbose: write }, DiagLogLevel.WARN);
    const pipeline = await startPipeline();
    diag.warn('a');
    await pipeline.shutdown();
    diag.warn('b');
    expect(heard).toEqual(['a', 'b']);
    expect(said).toEqual([]);
  });
});
