import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it, jest } from '@jest/globals';
import { Controller, Get, Injectable, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventEmitter2, EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import { ClientProxyFactory, MessagePattern, Transport } from '@nestjs/microservices';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { ScheduleModule, Timeout } from '@nestjs/schedule';
import { SpanStatusCode } from '@opentelemetry/api';
import type { SpanExporter } from '@opentelemetry/sdk-trace-node';
import { Tracer, TracingModule } from '../lib/index.js';
import { TraceRecorder } from '../lib/testing/index.js';
import { NEVER } from 'rxjs';

const SHUTDOWN_TIMEOUT_MS = 600;
const CUT_OFF = 'The application was closed before this was done.';

let recorder: TraceRecorder;
let lasts = 0;
let begun: () => void;
let begin: Promise<void>;
beforeEach(() => {
  recorder = new TraceRecorder();
  begin = new Promise(resolve => (begun = resolve));
});

async function work(tracer: Tracer): Promise<string> {
  begun();
  await tracer.span('child', () => pause(100));
  await pause(lasts, undefined, { ref: false });
  return 'done';
}

@Controller()
class AppController {
  constructor(private readonly tracer: Tracer) {}
  @Get() get() {
    return work(this.tracer);
  }
  @MessagePattern('work') message() {
    return work(this.tracer);
  }
  @MessagePattern('stream') stream() {
    begun();
    return NEVER;
  }
}

@Injectable()
class Listener {
  constructor(private readonly tracer: Tracer) {}
  @OnEvent('work') async onWork() {
    await work(this.tracer);
  }
}

@Injectable()
class Ticker {
  constructor(private readonly tracer: Tracer) {}
  @Timeout(1) async tick() {
    await work(this.tracer);
  }
}

interface Closing {
  close(): Promise<unknown>;
}

function moduleOf(imports: NonNullable<Parameters<typeof Module>[0]['imports']>, providers: Type[] = []): Type {
  // The clients of this spec are in the same process.
  const tracing = TracingModule.forRoot({ exporter: recorder, shutdownTimeoutMs: SHUTDOWN_TIMEOUT_MS, outbound: { http: false } });
  @Module({ imports: [tracing, ...imports], controllers: [AppController], providers })
  class AppModule {}
  return AppModule;
}

const silent = { logger: false } as const;

/** Each function starts an application and one operation in it. */
const entrances: Record<string, () => Promise<Closing>> = {
  message: () => microservice('work'),
  event: async () => {
    const app = await NestFactory.createApplicationContext(moduleOf([EventEmitterModule.forRoot()], [Listener]), silent);
    app.get(EventEmitter2).emit('work');
    return app;
  },
  tick: () => NestFactory.createApplicationContext(moduleOf([ScheduleModule.forRoot()], [Ticker]), silent),
  'request of a mounted Express application': async () => {
    const app = await NestFactory.create(moduleOf([]), silent);
    await app.init();
    const outer = createServer(app.getHttpAdapter().getInstance() as Parameters<typeof createServer>[1]);
    await new Promise<void>(resolve => void outer.listen(0, '127.0.0.1', resolve));
    const request = get({ port: (outer.address() as AddressInfo).port, agent: false }, answer => answer.resume());
    request.on('error', () => undefined);
    return {
      close: async () => {
        await app.close();
        outer.closeAllConnections();
        outer.close();
      },
    };
  },
  'request injected into Fastify': async () => {
    const app = await NestFactory.create<NestFastifyApplication>(moduleOf([]), new FastifyAdapter(), silent);
    await app.init();
    void app.inject({ url: '/' }).then(undefined, () => undefined);
    return app;
  },
};

async function microservice(pattern: string): Promise<Closing> {
  const options = { host: '127.0.0.1', port: 0 };
  const app = await NestFactory.createMicroservice(moduleOf([]), { transport: Transport.TCP, options, ...silent });
  await app.listen();
  const { port } = (app as unknown as { serverInstance: { server: { address(): AddressInfo } } }).serverInstance.server.address();
  const client = ClientProxyFactory.create({ transport: Transport.TCP, options: { ...options, port } });
  client.send(pattern, {}).subscribe({ error: () => undefined });
  return {
    close: async () => {
      await app.close();
      await client.close();
    },
  };
}

async function closed(start: () => Promise<Closing>): Promise<number> {
  const app = await start();
  await begin;
  const startedAt = performance.now();
  await app.close();
  return performance.now() - startedAt;
}

const served = () => recorder.spans.find(span => span.name !== 'child')!;

describe.each(Object.keys(entrances))('a %s that is handled while the application is closed', entrance => {
  it('is waited for', async () => {
    lasts = 200;
    expect(await closed(entrances[entrance]!)).toBeLessThan(SHUTDOWN_TIMEOUT_MS);
    expect(recorder.spans.map(span => span.name)).toEqual(['child', served().name]);
    expect(recorder.find('child')?.parentSpanContext?.spanId).toBe(served().spanContext().spanId);
    expect(served()).toMatchObject({ status: { code: SpanStatusCode.UNSET }, events: [] });
  });

  it('is said to be cut off where it goes on beyond the deadline, and the children that ended before are delivered', async () => {
    lasts = 3_000;
    expect(await closed(entrances[entrance]!)).toBeLessThan(SHUTDOWN_TIMEOUT_MS * 2);
    expect(recorder.spans.map(span => span.name)).toEqual(['child', served().name]);
    expect(served()).toMatchObject({
      status: { code: SpanStatusCode.ERROR, message: CUT_OFF },
      attributes: { 'error.type': 'application_closed' },
      events: [{ name: 'application.closed' }],
    });
  });
});

it('a tick that goes on while the clock of a test stands still is not waited for without end', async () => {
  lasts = 3_000;
  const app = await entrances['tick']!();
  await begin;
  jest.useFakeTimers();
  try {
    await app.close();
  } finally {
    jest.useRealTimers();
  }
  expect(served()).toMatchObject({ attributes: { 'error.type': 'application_closed' } });
});

// In Nest 11, Fastify has its own option for this.
const adapters = { Express: () => new ExpressAdapter(), Fastify: (options?: object) => new FastifyAdapter(options) };

describe.each(Object.keys(adapters) as (keyof typeof adapters)[])(
  'a request on %s whose connection is closed with the application',
  name => {
    it('is said to be cut off, and what its handler does then is delivered', async () => {
      const forced = { forceCloseConnections: true };
      lasts = 0;
      const took = await closed(async () => {
        const app = await NestFactory.create(moduleOf([]), adapters[name](forced), { ...silent, ...forced });
        await app.listen(0, '127.0.0.1');
        const request = get(await app.getUrl(), { agent: false }, answer => answer.resume());
        request.on('error', () => undefined);
        return app;
      });
      expect(took).toBeLessThan(SHUTDOWN_TIMEOUT_MS);
      expect(served()).toMatchObject({
        name: 'GET /',
        status: { code: SpanStatusCode.ERROR, message: CUT_OFF },
        attributes: { 'error.type': 'application_closed' },
        events: [{ name: 'application.closed' }],
      });
      expect(recorder.find('child')?.parentSpanContext?.spanId).toBe(served().spanContext().spanId);
    });

    it('is not said to be cut off where its client has left meanwhile', async () => {
      lasts = 200;
      await closed(async () => {
        const app = await NestFactory.create(moduleOf([]), adapters[name](), silent);
        await app.listen(0, '127.0.0.1');
        const request = get(await app.getUrl(), { agent: false }, answer => answer.resume());
        request.on('error', () => undefined);
        const close = () => {
          setTimeout(() => request.destroy(), 50);
          return app.close();
        };
        return { close };
      });
      expect(served()).toMatchObject({ name: 'GET /', attributes: { 'error.type': 'ECONNRESET' }, events: [] });
    });
  },
);

describe('a stream of answers that is open while the application is closed', () => {
  it('is not waited for: its span ends, without having failed', async () => {
    expect(await closed(() => microservice('stream'))).toBeLessThan(SHUTDOWN_TIMEOUT_MS / 2);
    expect(served()).toMatchObject({ status: { code: SpanStatusCode.UNSET }, events: [{ name: 'application.closed' }] });
  });
});

describe('an application whose HTTP adapter refuses to be put back', () => {
  class StubbornAdapter extends ExpressAdapter {
    private isHooked = false;
    override setOnRequestHook(...args: Parameters<ExpressAdapter['setOnRequestHook']>): void {
      if (this.isHooked) throw new Error('not again');
      this.isHooked = true;
      super.setOnRequestHook(...args);
    }
  }

  it('closes all the same, and its spans are delivered', async () => {
    const delivered: string[] = [];
    const exporter: SpanExporter = {
      export(spans, done) {
        delivered.push(...spans.map(({ name }) => name));
        done({ code: 0 });
      },
      shutdown: () => Promise.resolve(),
    };
    lasts = 0;
    @Module({ imports: [TracingModule.forRoot({ exporter })], controllers: [AppController] })
    class AppModule {}
    const app = await NestFactory.create(AppModule, new StubbornAdapter(), silent);
    await app.listen(0, '127.0.0.1');
    await fetch(await app.getUrl());
    await app.close();
    expect(delivered).toContain('GET /');
  });
});
