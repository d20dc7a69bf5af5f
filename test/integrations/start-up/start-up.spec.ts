import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Injectable, Module, type OnApplicationBootstrap, type OnModuleInit } from '@nestjs/common';
import { type AbstractHttpAdapter, NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { Span, Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { Collector } from '../../sdk/collector.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';

let failure: Error | undefined;
let timer: NodeJS.Timeout | undefined;
afterEach(() => {
  failure = undefined;
  clearInterval(timer);
});

@Injectable()
class Database implements OnModuleInit {
  constructor(readonly tracer: Tracer) {}
  @Span() async connect() {
    await Promise.resolve();
    if (failure !== undefined) throw failure;
  }
  @Span() ping() {
    return this.tracer.traceId;
  }
  async onModuleInit() {
    timer = setInterval(() => this.ping(), 5);
    await this.connect();
  }
}

@Injectable()
class Cache implements OnApplicationBootstrap {
  async onApplicationBootstrap() {
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

@Module({ providers: [Database, Cache] })
class DataModule implements OnModuleInit, OnApplicationBootstrap {
  onModuleInit() {}
  onApplicationBootstrap() {}
}

function applicationWith(recorder: TraceRecorder, startUp: boolean) {
  @Module({ imports: [DataModule, TracingModule.forRoot({ serviceName: 'starting', exporter: recorder, startUp })] })
  class AppModule {}
  return AppModule;
}

const hooks = [
  '- > application start',
  'Database.onModuleInit > Database.connect',
  'application start > Cache.onApplicationBootstrap',
  'application start > DataModule.onApplicationBootstrap',
  'application start > DataModule.onModuleInit',
  'application start > Database.onModuleInit',
  'application start > instantiation',
];
const hopsOf = (recorder: TraceRecorder) => recorder.spans.map(span => `${recorder.parentOf(span)?.name ?? '-'} > ${span.name}`).sort();

describe('the start of an application', () => {
  it('is one trace that ends when the application listens', async () => {
    const recorder = new TraceRecorder();
    const before = Date.now();
    const app = await NestFactory.create(applicationWith(recorder, true), { logger: false });
    expect(recorder.find('application start')).toBeUndefined();
    await app.listen(0, '127.0.0.1');
    const root = await recorder.waitForSpan('application start');
    const isInTrace = (span: FinishedSpan) => span.spanContext().traceId === root.spanContext().traceId && span.name !== 'Database.ping';
    const inTrace = recorder.spans.filter(isInTrace);
    expect(inTrace.map(span => `${recorder.parentOf(span)?.name ?? '-'} > ${span.name}`).sort()).toEqual(
      [...hooks, 'application start > listen'].sort(),
    );
    expect(root.kind).toBe(SpanKind.INTERNAL);
    expect(root.startTime[0] * 1000 + root.startTime[1] / 1e6).toBeGreaterThanOrEqual(before);
    expect(root.status.code).toBe(SpanStatusCode.UNSET);
    expect(recorder.find('Database.onModuleInit')!.attributes).toEqual({
      'nestjs.hook': 'onModuleInit',
      'code.function.name': 'Database.onModuleInit',
    });
    await app.close();
  });

  it('is over when it is over: timers that a hook has set begin traces of their own', async () => {
    const recorder = new TraceRecorder();
    const app = await NestFactory.create(applicationWith(recorder, true), { logger: false });
    await app.listen(0, '127.0.0.1');
    const root = await recorder.waitForSpan('application start');
    recorder.clear();
    const ping = await recorder.waitForSpan('Database.ping');
    expect(ping.parentSpanContext).toBeUndefined();
    expect(ping.spanContext().traceId).not.toBe(root.spanContext().traceId);
    await app.close();
  });

  it('ends with its hooks where nothing listens', async () => {
    const recorder = new TraceRecorder();
    const context = await NestFactory.createApplicationContext(applicationWith(recorder, true), { logger: false });
    const root = await recorder.waitForSpan('application start');
    const inTrace = new Set(
      recorder.spans.filter(span => span.spanContext().traceId === root.spanContext().traceId).map(({ name }) => name),
    );
    expect([...inTrace].filter(name => name !== 'Database.ping').sort()).toEqual(hooks.map(hop => hop.split(' > ')[1]).sort());
    await context.close();
  });

  it('that fails is recorded with what failed, and delivered before anybody hears of it', async () => {
    failure = new RangeError('no database');
    const collector = await Collector.start();
    process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = collector.url;
    process.env['OTEL_BSP_SCHEDULE_DELAY'] = '50';
    const recorder = new TraceRecorder();
    @Module({ imports: [DataModule, TracingModule.forRoot({ exporter: [recorder, 'otlp'], startUp: true })] })
    class AppModule {}
    await expect(NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false })).rejects.toThrow('no database');
    clearInterval(timer);
    delete process.env['OTEL_EXPORTER_OTLP_ENDPOINT'];
    delete process.env['OTEL_BSP_SCHEDULE_DELAY'];
    const delivered = collector.spans.map(({ name }) => name);
    // No span may be left: the exporter would try again during other specs.
    await collector.receivedSpans(recorder.spans.length, 10_000);
    await collector.stop();
    expect(delivered).toEqual(expect.arrayContaining(['application start', 'Database.onModuleInit']));
    expect(recorder.find('application start')!.status).toEqual({ code: SpanStatusCode.ERROR, message: 'no database' });
    expect(recorder.find('Database.onModuleInit')!.status.code).toBe(SpanStatusCode.ERROR);
  });

  it.each([
    ['express', () => new ExpressAdapter()],
    ['fastify', () => new FastifyAdapter()],
  ])('that cannot listen fails with the error that the application gets (%s)', async (_name, adapterOf) => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const recorder = new TraceRecorder();
    const adapter: AbstractHttpAdapter = adapterOf();
    const app = await NestFactory.create(applicationWith(recorder, true), adapter, { logger: false });
    await expect(app.listen((other.address() as AddressInfo).port, '127.0.0.1')).rejects.toThrow('EADDRINUSE');
    for (const name of ['application start', 'listen']) {
      expect(recorder.find(name)!.status.code).toBe(SpanStatusCode.ERROR);
      expect(recorder.find(name)!.attributes['error.type']).toBe('EADDRINUSE');
    }
    expect(recorder.parentOf(recorder.find('listen')!)).toBe(recorder.find('application start'));
    await app.close();
    other.close();
    expect(recorder.spans.filter(({ name }) => name === 'application start')).toHaveLength(1);
  });

  it('is not traced unless the options say so', async () => {
    const recorder = new TraceRecorder();
    const context = await NestFactory.createApplicationContext(applicationWith(recorder, false), { logger: false });
    await context.close();
    expect(hopsOf(recorder)).toContain('- > Database.connect');
    expect(recorder.find('application start')).toBeUndefined();
  });

  it('that nobody waits for to listen ends when the application is closed', async () => {
    const recorder = new TraceRecorder();
    const app = await NestFactory.create(applicationWith(recorder, true), { logger: false });
    await app.init();
    await app.close();
    expect(recorder.find('application start')).toBeDefined();
    expect(recorder.find('listen')).toBeUndefined();
  });
});
