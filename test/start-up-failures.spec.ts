import { channel } from 'node:diagnostics_channel';
import type { AddressInfo } from 'node:net';
import { Controller, Get, type INestApplication, Injectable, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { context, propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { Span, Tracer, TracingModule } from '../lib/index.js';
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
  constructor(readonly service: Service) {}
  @Get('work') work() {
    return this.service.work();
  }
}
const { work } = AppController.prototype;

/** Returns the global registrations of the process. */
const registered = () => {
  const probe = Symbol.for('probe');
  const provider = trace.getTracerProvider() as { getDelegate?: () => object };
  return {
    provider: provider.getDelegate?.().constructor.name !== 'NoopTracerProvider',
    propagation: propagation.fields().length > 0,
    context: context.with(ROOT_CONTEXT.setValue(probe, 1), () => context.active().getValue(probe) !== undefined),
    handlers: AppController.prototype.work !== work,
    fetch: channel('undici:request:create').hasSubscribers,
    http: channel('http.client.response.finish').hasSubscribers,
  };
};
const nothing = { provider: false, propagation: false, context: false, handlers: false, fetch: false, http: false };

interface Part {
  onModuleInit?(): unknown;
}

/** Returns an application module with one additional provider. */
function moduleWith(recorder: TraceRecorder, make: () => Part | Promise<Part> = () => ({})): Type {
  @Module({
    imports: [TracingModule.forRoot({ exporter: recorder })],
    controllers: [AppController],
    providers: [Service, { provide: 'part', useFactory: make }],
  })
  class AppModule {}
  return AppModule;
}

async function start(module: Type): Promise<{ app: INestApplication; port: number }> {
  const app = await NestFactory.create(module, { logger: false, abortOnError: false });
  await app.listen(0, '127.0.0.1');
  return { app, port: (app.getHttpServer().address() as AddressInfo).port };
}

/** Returns a function that throws at the first call. */
function failingOnce<T>(result: T): () => T {
  let attempts = 0;
  return () => {
    if (attempts++ === 0) throw new Error('no database');
    return result;
  };
}

const failures: [string, () => () => Part | Promise<Part>][] = [
  ['while providers are made', () => failingOnce({})],
  [
    'in onModuleInit',
    () => {
      const connect = failingOnce(undefined);
      return () => ({ onModuleInit: connect });
    },
  ],
];

describe('a start-up that fails', () => {
  it.each(failures)('%s leaves everything to the next attempt, which leaves nothing behind', async (_when, part) => {
    expect(registered()).toEqual(nothing);
    const [first, second] = [new TraceRecorder(), new TraceRecorder()];
    const make = part();
    await expect(start(moduleWith(first, make))).rejects.toThrow('no database');
    const { app, port } = await start(moduleWith(second, make));
    await app.get(Service).work();
    trace.getTracer('somebody else').startSpan('global').end();
    await send(port, '/work');
    await second.waitForSpans(4);
    expect(second.spans.map(span => span.name)).toEqual(['Service.work', 'global', 'Service.work', 'GET /work']);
    expect(first.spans).toEqual([]);
    await app.close();
    expect(registered()).toEqual(nothing);
    await app.get(Service).work();
    expect([first.spans.length, second.spans.length]).toEqual([0, 4]);
  });

  it.each(failures)('%s can be tried again with the same module', async (_when, part) => {
    const recorder = new TraceRecorder();
    const AppModule = moduleWith(recorder, part());
    await expect(start(AppModule)).rejects.toThrow('no database');
    const { app, port } = await start(AppModule);
    await send(port, '/work');
    await recorder.waitForSpans(2);
    expect(recorder.tree()).toBe(['GET /work (server)', '  Service.work'].join('\n'));
    await app.close();
    expect(registered()).toEqual(nothing);
  });

  it('may still be closed by hand, before and after the next attempt', async () => {
    for (const closes of ['before', 'after'] as const) {
      const part = () => ({ onModuleInit: () => Promise.reject(new Error('no database')) });
      const failed = await NestFactory.create(moduleWith(new TraceRecorder(), part), { logger: false, abortOnError: false });
      await expect(failed.init()).rejects.toThrow('no database');
      if (closes === 'before') await failed.close();
      const recorder = new TraceRecorder();
      const { app } = await start(moduleWith(recorder));
      if (closes === 'after') await failed.close();
      await app.get(Service).work();
      expect(recorder.spans.map(span => span.name)).toEqual(['Service.work']);
      await app.close();
      expect(registered()).toEqual(nothing);
    }
  });
});

describe('an application that is closed while it starts', () => {
  it('is gone for good', async () => {
    let [arrive, connect] = [(): void => undefined, (): void => undefined];
    const isWaiting = new Promise<void>(resolve => (arrive = resolve));
    const connection = new Promise<void>(resolve => (connect = resolve));
    const slow = () => ({ onModuleInit: () => (arrive(), connection) });
    const app = await NestFactory.create(moduleWith(new TraceRecorder(), slow), { logger: false, abortOnError: false });
    const initialising = app.init();
    await isWaiting;
    await app.close();
    connect();
    await initialising;
    expect(registered()).toEqual(nothing);
  });
});

describe('an application that is never initialised', () => {
  it('is traced until the next one starts', async () => {
    const [first, second] = [new TraceRecorder(), new TraceRecorder()];
    const one = await Test.createTestingModule({ imports: [moduleWith(first)] }).compile();
    await one.get(Service).work();
    const two = await Test.createTestingModule({ imports: [moduleWith(second)] }).compile();
    await two.get(Service).work();
    one.get(Tracer).span('by its own tracer', () => undefined);
    expect(first.spans.map(span => span.name)).toEqual(['Service.work', 'by its own tracer']);
    expect(second.spans.map(span => span.name)).toEqual(['Service.work']);
    await two.close();
    await one.close();
    expect(registered()).toEqual(nothing);
  });
});

describe('applications that start at the same time', () => {
  it('are traced both, whichever is up first', async () => {
    const recorders = [new TraceRecorder(), new TraceRecorder()];
    let [arrive, connect] = [(): void => undefined, (): void => undefined];
    const isWaiting = new Promise<void>(resolve => (arrive = resolve));
    const connection = new Promise<void>(resolve => (connect = resolve));
    const slow = () => ({ onModuleInit: () => (arrive(), connection) });
    const starting = start(moduleWith(recorders[0]!, slow));
    await isWaiting;
    const apps = [await start(moduleWith(recorders[1]!))];
    connect();
    apps.unshift(await starting);
    for (const { port } of apps) await send(port, '/work');
    for (const recorder of recorders) {
      await recorder.waitForSpans(2);
      expect(recorder.tree()).toBe(['GET /work (server)', '  Service.work'].join('\n'));
    }
    await apps[1]!.app.close();
    await apps[0]!.app.get(Service).work();
    expect(recorders[0]!.spans).toHaveLength(3);
    await fetch(`http://127.0.0.1:${apps[0]!.port}/work`);
    await recorders[0]!.waitForSpan('GET');
    await apps[0]!.app.close();
    expect(registered()).toEqual(nothing);
  });
});
