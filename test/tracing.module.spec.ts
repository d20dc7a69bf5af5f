import { jest } from '@jest/globals';
import { type EventEmitter, once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setImmediate as aMoment } from 'node:timers/promises';
import { Controller, type DynamicModule, Get, type INestApplication, Inject, Injectable, Module, type Type } from '@nestjs/common';
import { NestFactory, LazyModuleLoader } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { context, propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { Span, Tracer, TracingModule, type TracingOptions, type TracingOptionsFactory } from '../lib/index.js';
import { TraceRecorder } from '../lib/testing/index.js';
import { send } from './integrations/http-server/http-application.js';

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

  it('refuses forRootAsync() with what makes no options', async () => {
    class Empty {}
    const useFactory = {} as unknown as () => TracingOptions;
    expect(() => TracingModule.forRootAsync({ useFactory })).toThrow(
      '"forRootAsync().useFactory" is an object of Object; expected a function.',
    );
    @Module({ imports: [TracingModule.forRootAsync({ useClass: Empty as Type<TracingOptionsFactory> })], ...parts })
    class AppModule {}
    await expect(start(AppModule)).rejects.toThrow(
      '"forRootAsync().useClass" is an object of Empty; expected an object with createTracingOptions().',
    );
  });

  it('refuses forRootAsync() with a name it does not know, and asks for the one that was meant', () => {
    const options = { useFactry: () => ({}) } as object;
    expect(() => TracingModule.forRootAsync(options)).toThrow(
      /"forRootAsync\(\)\.useFactry" does not exist.* Did you mean "useFactory"\?$/,
    );
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

  describe('imported twice', () => {
    const recorder = new TraceRecorder();
    const options = () => ({ exporter: recorder, serviceName: 'orders', inbound: { ignore: ['/health', /^\/internal/] } });
    const lateOptions = async () => {
      await aMoment();
      return options();
    };
    afterEach(() => recorder.clear());

    /** `root` and `shared` both import the module. `shared` comes first or last. */
    const applicationOf = (root: DynamicModule, shared: DynamicModule, isSharedFirst: boolean): Type => {
      @Module({})
      class SharedModule {}
      const library = { module: SharedModule, imports: [shared] };
      @Module({ imports: isSharedFirst ? [library, root] : [root, library], ...parts })
      class AppModule {}
      return AppModule;
    };

    it.each([
      ['the same options', () => TracingModule.forRoot(options()), () => TracingModule.forRoot(options())],
      ['options and none', () => TracingModule.forRoot(options()), () => TracingModule.forRoot()],
      ['options and empty ones', () => TracingModule.forRoot(options()), () => TracingModule.forRoot({ serviceName: undefined })],
      [
        'options that are made later and none',
        () => TracingModule.forRootAsync({ useFactory: lateOptions }),
        () => TracingModule.forRoot(),
      ],
      [
        'the same options, made later',
        () => TracingModule.forRootAsync({ useFactory: lateOptions }),
        () => TracingModule.forRootAsync({ useFactory: options }),
      ],
    ])('with %s doubles nothing and has the options, in either order', async (_what, root, shared) => {
      for (const isSharedFirst of [true, false]) {
        const { app, port } = await start(applicationOf(root(), shared(), isSharedFirst));
        await send(port, '/work');
        await recorder.waitForSpans(2);
        expect(recorder.spans.map(span => span.name)).toEqual(['Service.work', 'GET /work']);
        expect(recorder.spans[0]?.resource.attributes['service.name']).toBe('orders');
        await app.close();
        recorder.clear();
      }
    });

    it.each([
      ['another name', () => TracingModule.forRoot({ ...options(), serviceName: 'second' })],
      ['another exporter', () => TracingModule.forRoot({ ...options(), exporter: new TraceRecorder() })],
      ['another rule', () => TracingModule.forRoot({ ...options(), inbound: { ignore: ['/health', /^\/other/] } })],
      ['fewer options', () => TracingModule.forRoot({ exporter: recorder })],
      [
        'other options that are made later',
        () => TracingModule.forRootAsync({ useFactory: async () => ({ ...(await lateOptions()), sampler: 1 }) }),
      ],
      ['nothing that is made later', () => TracingModule.forRootAsync({ useFactory: () => ({}) })],
    ])('with options and %s is refused in either order, with the names of both modules and the fix', async (_what, shared) => {
      for (const isSharedFirst of [true, false]) {
        const root = TracingModule.forRoot(options());
        const failure = await start(applicationOf(root, shared(), isSharedFirst)).then(
          () => 'It started.',
          (error: unknown) => (error as Error).message,
        );
        expect(failure).toMatch(/different options by ("AppModule" and "SharedModule"|"SharedModule" and "AppModule")/);
        expect(failure).toContain('"TracingModule.forRoot()" without options');
      }
      await aMoment();
      expect(isNothingRegistered()).toEqual(nothing);
    });

    it('with other options, in a module that is loaded later, is refused there and leaves the tracing as it is', async () => {
      @Module({ imports: [TracingModule.forRoot({ serviceName: 'second' })] })
      class LaterModule {}
      const { app, port } = await start(moduleWith(options()));
      await expect(app.get(LazyModuleLoader).load(() => LaterModule)).rejects.toThrow('different options by "AppModule" and "LaterModule"');
      await aMoment();
      expect(isNothingRegistered()).toEqual({ provider: false, context: false, propagation: false });
      await send(port, '/work');
      await recorder.waitForSpans(2);
      await app.close();
    });
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

describe('Tracer.flush()', () => {
  /** An exporter that answers only when the spec tells it to. */
  const slow = () => {
    const answers: (() => void)[] = [];
    const batches: string[][] = [];
    const exporter = {
      export: (spans: { name: string }[], done: (result: { code: number }) => void) => {
        batches.push(spans.map(({ name }) => name));
        answers.push(() => done({ code: 0 }));
      },
      shutdown: () => Promise.resolve(),
    };
    return { exporter, batches, answer: () => answers.splice(0).forEach(answer => answer()) };
  };
  const contextOf = (options: TracingOptions) => NestFactory.createApplicationContext(moduleWith(options), { logger: false });

  it('resolves when the exporter has answered about all that had ended, for everybody who waits', async () => {
    const { exporter, batches, answer } = slow();
    const app = await contextOf({ exporter });
    const tracer = app.get(Tracer);
    tracer.startSpan('a').end();
    let count = 0;
    const flushes = [tracer.flush(), tracer.flush()].map(flush => flush.then(() => count++));
    await new Promise(setImmediate);
    expect([count, batches]).toEqual([0, [['a']]]);
    answer();
    await Promise.all(flushes);
    await app.close();
  });

  it('gives up after shutdownTimeoutMs, and never rejects', async () => {
    const { exporter } = slow();
    const app = await contextOf({
      exporter: Object.assign(exporter, { forceFlush: () => Promise.reject(new Error('no')) }),
      shutdownTimeoutMs: 50,
    });
    app.get(Tracer).startSpan('a').end();
    await expect(app.get(Tracer).flush()).resolves.toBeUndefined();
    await app.close();
    await expect(app.get(Tracer).flush()).resolves.toBeUndefined();
  });

  it('flushes a provider of somebody else', async () => {
    const forceFlush = jest.fn(() => Promise.resolve());
    const app = await contextOf({ tracerProvider: { getTracer: (name: string) => trace.getTracer(name), forceFlush } as never });
    await app.get(Tracer).flush();
    expect(forceFlush).toHaveBeenCalledTimes(1);
    await app.close();
  });

  it('has nothing to do where nothing is traced, or where there is no application', async () => {
    const app = await contextOf({ enabled: false });
    await app.get(Tracer).flush();
    await app.close();
    await new Tracer().flush();
  });
});
