import { type EventEmitter, once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Controller, Get, type INestApplication, Inject, Injectable, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { context, propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { Span, Tracer, TracingModule, type TracingOptions, type TracingOptionsFactory } from '../lib/index.js';
import { TraceRecorder } from '../lib/testing/index.js';
import { send } from './inbound/http-application.js';

@Injectable()
class Service {
  @Span() async work() {
    await Promise.resolve();
    return 'done';
  }
}

@Controller()
class AppController {
  constructor(
    readonly service: Service,
    readonly tracer: Tracer,
  ) {}
  @Get('work') work() {
    this.tracer.addEvent('in the handler');
    return this.service.work();
  }
  @Get('slow') async slow() {
    await new Promise(resolve => setTimeout(resolve, 150));
    return 'slow';
  }
}

const parts = { controllers: [AppController], providers: [Service] };

async function start(module: Type): Promise<{ app: INestApplication; port: number }> {
  const app = await NestFactory.create(module, { logger: false, abortOnError: false });
  await app.listen(0, '127.0.0.1');
  return { app, port: (app.getHttpServer().address() as AddressInfo).port };
}

function moduleWith(...options: TracingOptions[]): Type {
  @Module({ imports: options.map(option => TracingModule.forRoot(option)), ...parts })
  class AppModule {}
  return AppModule;
}

const isNothingRegistered = () => {
  const provider = trace.getTracerProvider() as { getDelegate?: () => object };
  return {
    provider: provider.getDelegate?.().constructor.name === 'NoopTracerProvider',
    context: context.with(
      ROOT_CONTEXT.setValue(Symbol.for('probe'), 1),
      () => context.active().getValue(Symbol.for('probe')) === undefined,
    ),
    propagation: propagation.fields().length === 0,
  };
};
const nothing = { provider: true, context: true, propagation: true };

describe('TracingModule', () => {
  it('works without options', async () => {
    @Module({ imports: [TracingModule.forRoot()], ...parts })
    class AppModule {}
    const { app, port } = await start(AppModule);
    expect((await send(port, '/work')).body).toBe('done');
    expect(app.get(Tracer)).toBeInstanceOf(Tracer);
    await app.close();
  });

  it.each(['useFactory', 'useClass', 'useExisting'] as const)('takes its options from %s', async way => {
    const recorder = new TraceRecorder();
    @Injectable()
    class Settings implements TracingOptionsFactory {
      createTracingOptions(): TracingOptions {
        return { exporter: recorder, serviceName: 'async' };
      }
    }
    @Module({ providers: [Settings], exports: [Settings] })
    class SettingsModule {}
    const module = {
      useFactory: TracingModule.forRootAsync({
        imports: [SettingsModule],
        inject: [Settings],
        useFactory: async (settings: Settings) => settings.createTracingOptions(),
      }),
      useClass: TracingModule.forRootAsync({ useClass: Settings }),
      useExisting: TracingModule.forRootAsync({ imports: [SettingsModule], useExisting: Settings }),
    }[way];
    @Module({ imports: [module], ...parts })
    class AppModule {}
    const { app, port } = await start(AppModule);
    await send(port, '/work');
    await recorder.waitForSpans(2);
    expect(recorder.spans[0]!.resource.attributes['service.name']).toBe('async');
    await app.close();
  });

  it('refuses forRootAsync() without exactly one way to its options', () => {
    expect(() => TracingModule.forRootAsync({})).toThrow('exactly one');
  });

  it.each([null, 'otlp'])('refuses a factory that returns %j instead of options, and says so', async returned => {
    @Module({ imports: [TracingModule.forRootAsync({ useFactory: () => returned as unknown as TracingOptions })], ...parts })
    class AppModule {}
    await expect(start(AppModule)).rejects.toThrow(/^The options of TracingModule are .*forRootAsync\(\)/);
  });

  it('has its defaults where the factory returns nothing', async () => {
    @Module({ imports: [TracingModule.forRootAsync({ useFactory: () => undefined as unknown as TracingOptions })], ...parts })
    class AppModule {}
    const { app, port } = await start(AppModule);
    expect((await send(port, '/work')).status).toBe(200);
    await app.close();
  });

  it.each([
    [{ sampler: 2 }, 'sampler', '2'],
    [{ inbound: { trust: 'yes' } }, 'inbound.trust', 'yes'],
    [{ exporter: 'jaeger' }, 'exporter', 'jaeger'],
    [{ outbound: { fetch: 1 } }, 'outbound.fetch', '1'],
    [{ serviceNme: 'x' }, 'serviceNme', ''],
  ])('refuses to start with %j and names the option', async (options, path, seen) => {
    const failure = await start(moduleWith(options as TracingOptions)).then(
      () => undefined,
      (error: unknown) => (error as Error).message,
    );
    expect(failure).toContain(`"${path}"`);
    expect(failure).toContain(seen);
  });

  it('says what to write when it is imported without forRoot()', async () => {
    @Module({ imports: [TracingModule] })
    class AppModule {}
    await expect(start(AppModule)).rejects.toThrow('forRoot()');
  });

  it('doubles nothing when it is imported twice', async () => {
    const recorder = new TraceRecorder();
    const { app, port } = await start(moduleWith({ exporter: recorder }, { exporter: recorder, serviceName: 'second' }));
    await send(port, '/work');
    await recorder.waitForSpans(2);
    expect(recorder.spans.map(span => span.name)).toEqual(['Service.work', 'GET /work']);
    await app.close();
  });

  it('leaves nothing registered when the application is closed', async () => {
    expect(isNothingRegistered()).toEqual(nothing);
    const { app } = await start(moduleWith({ exporter: new TraceRecorder() }));
    const server = app.getHttpServer();
    expect(isNothingRegistered()).toEqual({ provider: false, context: false, propagation: false });
    expect(Object.hasOwn(server, 'emit')).toBe(true);
    await app.close();
    expect(isNothingRegistered()).toEqual(nothing);
    expect(Object.hasOwn(server, 'emit')).toBe(false);
  });

  it.each([
    ['enabled: false', { enabled: false }, {}],
    ['OTEL_SDK_DISABLED=true', { enabled: true }, { OTEL_SDK_DISABLED: 'true' }],
  ])('registers nothing and makes no span with %s', async (_what, options, environment) => {
    Object.assign(process.env, environment);
    try {
      const recorder = new TraceRecorder();
      const { app, port } = await start(moduleWith({ exporter: recorder, ...options }));
      expect((await send(port, '/work')).body).toBe('done');
      expect(isNothingRegistered()).toEqual(nothing);
      expect(recorder.spans).toHaveLength(0);
      expect(app.get(Tracer).traceId).toBeUndefined();
      await app.close();
    } finally {
      for (const name of Object.keys(environment)) delete process.env[name];
    }
  });

  it('keeps two applications of one process apart, and the second whole when the first is closed', async () => {
    const [first, second] = [new TraceRecorder(), new TraceRecorder()];
    const one = await start(moduleWith({ exporter: first, serviceName: 'one' }));
    const two = await start(moduleWith({ exporter: second, serviceName: 'two' }));
    await Promise.all([send(one.port, '/work'), send(two.port, '/work'), send(two.port, '/work')]);
    await Promise.all([first.waitForSpans(2), second.waitForSpans(4)]);
    expect(first.spans.map(span => span.resource.attributes['service.name'])).toEqual(['one', 'one']);
    expect(second.spans.map(span => span.resource.attributes['service.name'])).toEqual(['two', 'two', 'two', 'two']);
    await one.app.close();
    second.clear();
    await send(two.port, '/work');
    await second.waitForSpans(2);
    expect(second.spans.map(span => span.name)).toEqual(['Service.work', 'GET /work']);
    expect(second.spans[1]!.events.map(event => event.name)).toEqual(['in the handler']);
    await two.app.close();
    expect(isNothingRegistered()).toEqual(nothing);
  });

  it('delivers the spans of requests that are in flight when the application is closed', async () => {
    const recorder = new TraceRecorder();
    const { app, port } = await start(moduleWith({ exporter: recorder }));
    const arrived = once(app.getHttpServer() as EventEmitter, 'request');
    const answer = send(port, '/slow');
    await arrived;
    await Promise.all([app.close(), answer]);
    expect(recorder.spans.map(span => [span.name, span.attributes['http.response.status_code']])).toEqual([['GET /slow', 200]]);
  });

  it('gives an application context its Tracer', async () => {
    const recorder = new TraceRecorder();
    const app = await NestFactory.createApplicationContext(moduleWith({ exporter: recorder }), { logger: false });
    await app.get(Tracer).span('job', () => app.get(Service).work());
    await recorder.waitForSpans(2);
    expect(recorder.tree()).toMatch(/job[\s\S]*\n\s+.*Service\.work/);
    await app.close();
  });

  it('works under a TestingModule that is never initialised', async () => {
    const module = await Test.createTestingModule({ imports: [moduleWith({ exporter: new TraceRecorder() })] }).compile();
    expect(module.get(Tracer)).toBeInstanceOf(Tracer);
    await module.close();
    expect(isNothingRegistered()).toEqual(nothing);
  });

  it('injects one Tracer into every module', async () => {
    @Injectable()
    class Far {
      constructor(@Inject(Tracer) readonly tracer: Tracer) {}
    }
    @Module({ providers: [Far], exports: [Far] })
    class FarModule {}
    @Module({ imports: [FarModule, TracingModule.forRoot({ exporter: new TraceRecorder() })] })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    expect(app.get(Far).tracer).toBe(app.get(Tracer));
    await app.close();
  });
});
