import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, jest } from '@jest/globals';
import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { isTracingSuppressed } from '@opentelemetry/core';
import { InMemorySpanExporter, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace-node';
import { TraceRecorder } from '../../lib/testing/trace-recorder.js';
import { Collector } from './collector.js';
import { said, setEnvironment, startPipeline } from './pipelines.js';

type Done = Parameters<SpanExporter['export']>[1];

/** An exporter whose every step a test decides. */
class Puppet implements SpanExporter {
  readonly batches: ReadableSpan[][] = [];
  constructor(
    private readonly onExport: (spans: ReadableSpan[], done: Done) => unknown,
    private readonly onShutdown: () => Promise<void> = () => Promise.resolve(),
  ) {}
  export(spans: ReadableSpan[], done: Done): unknown {
    this.batches.push(spans);
    return this.onExport(spans, done);
  }
  shutdown(): Promise<void> {
    return this.onShutdown();
  }
}
const timers = () => process.getActiveResourcesInfo().filter(resource => resource === 'Timeout').length;
const accepting = () => new Puppet((_spans, done) => done({ code: 0 }));
/** Exporter names tell the kinds of trouble apart, and each kind is said once in a process: every test gets a class of its own. */
const named = (name: string, ...steps: ConstructorParameters<typeof Puppet>): Puppet => {
  const OfThatName = { [name]: class extends Puppet {} }[name]!;
  return new OfThatName(...steps);
};

describe('an exporter instance', () => {
  it('receives a span the moment it ends where NODE_ENV is "test"', async () => {
    const exporter = new InMemorySpanExporter();
    const { tracer } = await startPipeline({ exporter });
    tracer.startSpan('a').end();
    expect(exporter.getFinishedSpans().map(span => span.name)).toEqual(['a']);
  });

  it('receives spans in batches everywhere else, at the latest on shutdown', async () => {
    setEnvironment({ NODE_ENV: 'production', OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '2' });
    const exporter = accepting();
    const pipeline = await startPipeline({ exporter });
    pipeline.tracer.startSpan('a').end();
    expect(exporter.batches).toEqual([]);
    for (const name of ['b', 'c']) pipeline.tracer.startSpan(name).end();
    await pipeline.shutdown();
    expect(exporter.batches.map(batch => batch.map(span => span.name))).toEqual([['a', 'b'], ['c']]);
  });

  it('that also watches spans start, as the recorder does, receives them at once everywhere', async () => {
    setEnvironment({ NODE_ENV: 'production' });
    const recorder = new TraceRecorder();
    const { tracer } = await startPipeline({ exporter: recorder });
    tracer.startSpan('a').end();
    expect(recorder.spans.map(span => span.name)).toEqual(['a']);
  });

  it('may be an object without any class', async () => {
    const batches: ReadableSpan[][] = [];
    const methods: SpanExporter = {
      export: (spans, done) => {
        batches.push(spans);
        done({ code: 0 });
      },
      shutdown: () => Promise.resolve(),
    };
    const { tracer } = await startPipeline({ exporter: Object.assign(Object.create(null) as object, methods) });
    tracer.startSpan('a').end();
    expect(batches).toHaveLength(1);
  });

  it('is one of several: each receives every span', async () => {
    const exporters = [accepting(), accepting()];
    const { tracer } = await startPipeline({ exporter: exporters });
    tracer.startSpan('a').end();
    expect(exporters.map(exporter => exporter.batches.length)).toEqual([1, 1]);
  });

  it('runs where nothing is traced, and sees nothing of the request whose span it exports', async () => {
    setEnvironment({ NODE_ENV: 'production', OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '1' });
    const key = Symbol('request');
    const seen: unknown[] = [];
    const look = () => seen.push([isTracingSuppressed(context.active()), context.active().getValue(key)]);
    for (const environment of ['production', 'test']) {
      setEnvironment({ NODE_ENV: environment });
      const exporter = named(
        'Looking',
        (_spans, done) => {
          look();
          done({ code: 0 });
        },
        async () => void look(),
      );
      const pipeline = await startPipeline({ exporter });
      context.with(ROOT_CONTEXT.setValue(key, 'data'), () => pipeline.tracer.startSpan('a').end());
      await pipeline.shutdown();
    }
    expect(seen).toEqual(Array(4).fill([true, undefined]));
  });
});

describe('an exporter that fails', () => {
  const failures: [string, (spans: ReadableSpan[], done: Done) => unknown][] = [
    [
      'throws',
      () => {
        throw new Error('out of order');
      },
    ],
    ['reports a failure', (_spans, done) => done({ code: 1, error: new Error('out of order') })],
    ['reports nothing one can read', (_spans, done) => done(undefined as never)],
    ['rejects', () => Promise.reject(new Error('out of order'))],
  ];

  it.each(failures)('because it %s reaches no request, is said once, and its spans are summed up at the end', async (how, onExport) => {
    const name = `Fails_${how.replaceAll(' ', '_')}`;
    const pipeline = await startPipeline({ exporter: named(name, onExport) });
    for (let i = 0; i < 5; i++) pipeline.tracer.startSpan('a').end();
    await pipeline.forceFlush();
    expect(said).toEqual([expect.stringContaining(`could not be delivered by the exporter "${name}"`)]);
    if (how !== 'reports nothing one can read') expect(said[0]).toContain('(Error: out of order)');
    await pipeline.shutdown();
    await pipeline.shutdown();
    expect(said.slice(1)).toEqual([expect.stringMatching(`^The exporter "${name}" lost 5 spans: 0 .*, 5 because the export failed, 0 `)]);
  });

  it('on shutdown does not keep the application from closing', async () => {
    const refusing = named(
      'RefusesShutdown',
      (_spans, done) => done({ code: 0 }),
      () => Promise.reject(new Error('no')),
    );
    const throwing = named(
      'ThrowsOnShutdown',
      (_spans, done) => done({ code: 0 }),
      () => {
        throw new Error('no');
      },
    );
    const last = new InMemorySpanExporter();
    const pipeline = await startPipeline({ exporter: [refusing, throwing, last] });
    await pipeline.shutdown();
    expect(said).toEqual([]);
  });

  it('that answers twice or too late is counted once', async () => {
    let late: Done = () => undefined;
    setEnvironment({ OTEL_BSP_EXPORT_TIMEOUT: '1' });
    const exporter = named('Twice', (_spans, done) => {
      late = done;
    });
    const pipeline = await startPipeline({ exporter });
    pipeline.tracer.startSpan('a').end();
    await pipeline.forceFlush();
    late({ code: 1 });
    late({ code: 0 });
    await pipeline.shutdown();
    expect(said).toEqual([expect.stringContaining('no answer within 1 ms'), expect.stringContaining('The exporter "Twice" lost 1 span')]);
  });
});

describe('an exporter that never answers', () => {
  const hanging = (name: string) =>
    named(
      name,
      () => undefined,
      () => new Promise(() => undefined),
    );

  it('costs bounded memory: beyond the queue spans are dropped, counted and said once', async () => {
    setEnvironment({ NODE_ENV: 'production', OTEL_BSP_MAX_QUEUE_SIZE: '100', OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '10' });
    const exporter = hanging('HangsInBatches');
    const pipeline = await startPipeline({ exporter, shutdownTimeoutMs: 20 });
    for (let i = 0; i < 1000; i++) pipeline.tracer.startSpan('a').end();
    expect(exporter.batches.flat()).toHaveLength(10);
    expect(said).toEqual([expect.stringContaining('More than 100 spans wait for the exporter "HangsInBatches"')]);
    await pipeline.shutdown();
    expect(said[1]).toMatch(
      /^The exporter .* lost 1000 spans: 890 because its queue was full, 0 because the export failed, 110 because they were in flight when the 20 ms/,
    );
  });

  it('costs bounded memory where spans are exported one by one, too', async () => {
    setEnvironment({ OTEL_BSP_MAX_QUEUE_SIZE: '100' });
    const exporter = hanging('HangsOneByOne');
    const pipeline = await startPipeline({ exporter, shutdownTimeoutMs: 20 });
    for (let i = 0; i < 1000; i++) pipeline.tracer.startSpan('a').end();
    expect(exporter.batches).toHaveLength(200);
    await pipeline.shutdown();
    expect(said[1]).toMatch(
      /^The exporter .* lost 1000 spans: 800 because its queue was full, 0 because the export failed, 200 because they were in flight/,
    );
  });

  it('is not waited for longer than shutdownTimeoutMs, and leaves no timer behind', async () => {
    setEnvironment({ NODE_ENV: 'production' });
    const timersBefore = timers();
    const pipeline = await startPipeline({ exporter: hanging('HangsAtTheEnd'), shutdownTimeoutMs: 30 });
    pipeline.tracer.startSpan('a').end();
    const begin = performance.now();
    await pipeline.shutdown();
    expect(performance.now() - begin).toBeLessThan(1000);
    // Timers of other specs may end meanwhile.
    expect(timers()).toBeLessThanOrEqual(timersBefore);
    expect(said).toEqual([expect.stringContaining('1 because they were in flight when the 30 ms')]);
  });

  it('is not waited for at all where shutdownTimeoutMs is 0', async () => {
    const pipeline = await startPipeline({ exporter: hanging('HangsUnattended'), shutdownTimeoutMs: 0 });
    pipeline.tracer.startSpan('a').end();
    await pipeline.shutdown();
    expect(said).toEqual([expect.stringContaining('lost 1 span')]);
  });
});

describe('flushing', () => {
  it('waits for exports that are already on their way', async () => {
    setEnvironment({ NODE_ENV: 'production', OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '1' });
    let answer: Done = () => undefined;
    const pipeline = await startPipeline({
      exporter: new Puppet((_spans, done) => {
        answer = done;
      }),
    });
    pipeline.tracer.startSpan('a').end();
    let isFlushed = false;
    const flushed = pipeline.forceFlush().then(() => (isFlushed = true));
    await new Promise(setImmediate);
    expect(isFlushed).toBe(false);
    answer({ code: 0 });
    await flushed;
  });

  it('and shutting down may be asked for again, during and after', async () => {
    const timersBefore = timers();
    const shutdowns = jest.fn(() => Promise.resolve());
    const pipeline = await startPipeline({ exporter: new Puppet((_spans, done) => done({ code: 0 }), shutdowns) });
    await Promise.all([pipeline.shutdown(), pipeline.shutdown(), pipeline.forceFlush()]);
    await pipeline.shutdown();
    await pipeline.forceFlush();
    pipeline.tracer.startSpan('too late').end();
    expect(shutdowns).toHaveBeenCalledTimes(1);
    // The deadline of five seconds is not waited for by anybody.
    expect(timers()).toBeLessThanOrEqual(timersBefore);
    expect(said).toEqual([]);
  });
});

describe('span processors of the user', () => {
  it('see spans before the exporters do, and may not break anything', async () => {
    class Broken {
      readonly calls: string[] = [];
      private fail(method: string): never {
        this.calls.push(method);
        throw new Error(method);
      }
      onStart = () => this.fail('onStart');
      onEnding = () => this.fail('onEnding');
      onEnd = () => this.fail('onEnd');
      forceFlush = () => this.fail('forceFlush');
      shutdown = () => this.fail('shutdown');
    }
    const broken = new Broken();
    const stamping = {
      onStart: (span: { setAttribute(key: string, value: string): unknown }) => void span.setAttribute('tenant', 'acme'),
      onEnd: () => undefined,
      forceFlush: () => Promise.resolve(),
      shutdown: () => Promise.resolve(),
    };
    const exporter = new InMemorySpanExporter();
    const pipeline = await startPipeline({ exporter, spanProcessors: [broken, stamping] });
    for (let i = 0; i < 3; i++) pipeline.tracer.startSpan('a').end();
    expect(exporter.getFinishedSpans().map(span => span.attributes)).toEqual(Array(3).fill({ tenant: 'acme' }));
    await pipeline.forceFlush();
    await pipeline.shutdown();
    expect(broken.calls.filter(method => method === 'onEnd')).toHaveLength(3);
    expect(said.map(line => /in (\w+)\(\)/.exec(line)?.[1])).toEqual(['onStart', 'onEnding', 'onEnd', 'forceFlush', 'shutdown']);
  });
});

describe('a collector', () => {
  it.each(['dead', 'hanging', 'refusing'] as const)('that is %s costs no request and delays no shutdown', async how => {
    const collector = await Collector.start(how === 'refusing' ? 400 : 'hang');
    if (how === 'dead') await collector.stop();
    // The exporter's own retries end with its timeout; the spec shall not outlive them.
    setEnvironment({ NODE_ENV: 'production', OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_TIMEOUT: '400' });
    const pipeline = await startPipeline({ exporter: 'otlp', shutdownTimeoutMs: 300 });
    const server = createServer((_request, response) => {
      pipeline.tracer.startSpan('request').end();
      response.end('served');
    });
    await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    for (let i = 0; i < 20; i++) {
      const body = await new Promise<string>(resolve =>
        get({ port, agent: false }, answer => answer.setEncoding('utf8').once('data', resolve)),
      );
      expect(body).toBe('served');
    }
    server.close();
    await pipeline.shutdown();
    expect(said.at(-1)).toContain('The exporter "otlp" lost 20 spans');
    if (how !== 'dead') await collector.stop();
  });

  it('receives nothing about the calls to itself', async () => {
    const collector = await Collector.start();
    setEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    const pipeline = await startPipeline({ exporter: 'otlp' });
    const traced: boolean[] = [];
    const { subscribe, unsubscribe } = await import('node:diagnostics_channel');
    const onRequest = () => void traced.push(!isTracingSuppressed(context.active()));
    subscribe('http.client.request.start', onRequest);
    const span = pipeline.tracer.startSpan('a');
    context.with(trace.setSpan(ROOT_CONTEXT, span), () => span.end());
    await pipeline.shutdown();
    unsubscribe('http.client.request.start', onRequest);
    expect(traced).toEqual([false]);
    expect(collector.requests[0]?.headers).not.toHaveProperty('traceparent');
    await collector.stop();
  });
});
