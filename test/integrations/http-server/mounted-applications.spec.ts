import { once } from 'node:events';
import http from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { Controller, Get, Inject, Injectable, type INestApplication, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { SpanKind } from '@opentelemetry/api';
import { fastify } from 'fastify';
import { NoSpan, Span, Tracer, TracingModule, type TracingOptions } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { send } from './http-application.js';

const require = createRequire(import.meta.url);
const express = require('express') as () => http.RequestListener & { use(path: string, handler: unknown): void };

@Injectable()
class InnerService {
  constructor(@Inject(Tracer) private readonly tracer: Tracer) {}
  @Span() work(): string {
    return this.tracer.span('inner step', () => this.tracer.traceId ?? 'none');
  }
}

@Controller()
class InnerController {
  constructor(@Inject(InnerService) private readonly service: InnerService) {}
  @Get('users/:id') one(): string {
    return this.service.work();
  }
  @Get('fails/:id') fails(): string {
    throw new TypeError('inner');
  }
  @Get('health') health(): string {
    return this.service.work();
  }
  @NoSpan()
  @Get('quiet')
  quiet(): string {
    return this.service.work();
  }
}

@Injectable()
class OuterService {
  @Span() work(): string {
    return 'outer';
  }
}

@Controller()
class OuterController {
  constructor(@Inject(OuterService) private readonly service: OuterService) {}
  @Get('own/:id') own(): string {
    return this.service.work();
  }
}

/** Creates a traced application with its own recorder. */
async function create(adapter: ExpressAdapter | FastifyAdapter, controller: Type, provider: Type, tracing: TracingOptions = {}) {
  const recorder = new TraceRecorder();
  @Module({ imports: [TracingModule.forRoot({ exporter: recorder, ...tracing })], controllers: [controller], providers: [provider] })
  class AppModule {}
  const app = await NestFactory.create(AppModule, adapter, { logger: false });
  return { app, recorder };
}

interface Pair {
  readonly outer: TraceRecorder;
  readonly inner: TraceRecorder;
  readonly port: number;
  close(): Promise<void>;
}

type Mount = (inner: TracingOptions) => Promise<Pair>;

async function listen(
  outer: { app: INestApplication; recorder: TraceRecorder },
  inner: { app: INestApplication; recorder: TraceRecorder },
) {
  await outer.app.listen(0, '127.0.0.1');
  const { port } = outer.app.getHttpServer().address() as AddressInfo;
  const close = async (): Promise<void> => {
    await outer.app.close();
    await inner.app.close();
  };
  return { outer: outer.recorder, inner: inner.recorder, port, close };
}

const ways: [string, Mount][] = [
  [
    'Express below Express',
    async tracing => {
      const inner = await create(new ExpressAdapter(), InnerController, InnerService, tracing);
      await inner.app.init();
      const outer = await create(new ExpressAdapter(), OuterController, OuterService);
      outer.app.use('/admin', inner.app.getHttpAdapter().getInstance() as never);
      return listen(outer, inner);
    },
  ],
  [
    'Express below Fastify',
    async tracing => {
      const inner = await create(new ExpressAdapter(), InnerController, InnerService, tracing);
      await inner.app.init();
      const outer = await create(new FastifyAdapter(), OuterController, OuterService);
      outer.app.use('/admin', inner.app.getHttpAdapter().getInstance() as never);
      return listen(outer, inner);
    },
  ],
];

describe.each(ways)('a request in an application that is mounted in another one, %s', (_way, mount) => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await mount({ inbound: { ignore: ['/health'], responseHeader: true, captureRequestHeaders: ['x-tenant'] } });
  });
  afterAll(() => pair.close());
  beforeEach(() => {
    pair.outer.clear();
    pair.inner.clear();
  });

  it('has one server span with the whole route, and the spans of its own in its own application', async () => {
    const { body, headers } = await send(pair.port, '/admin/users/7', { headers: { 'x-tenant': 'acme' } });
    await pair.outer.waitForSpans(1);
    await pair.inner.waitForSpans(2);
    expect(pair.outer.spans.map(({ name }) => name)).toEqual(['GET /admin/users/:id']);
    const server = pair.outer.spans[0]!;
    expect(server.kind).toBe(SpanKind.SERVER);
    expect(server.attributes).toMatchObject({
      'http.route': '/admin/users/:id',
      'url.path': '/admin/users/7',
      'code.function.name': 'InnerController.one',
      'http.request.header.x-tenant': ['acme'],
    });
    expect(pair.inner.spans.map(({ name }) => name)).toEqual(['inner step', 'InnerService.work']);
    expect(pair.inner.find('InnerService.work')!.parentSpanContext?.spanId).toBe(server.spanContext().spanId);
    expect(body).toBe(server.spanContext().traceId);
    expect(headers['x-trace-id']).toBe(body);
  });

  it('fails the server span by what its handler throws', async () => {
    expect((await send(pair.port, '/admin/fails/7')).status).toBe(500);
    await pair.outer.waitForSpans(1);
    const [server] = pair.outer.spans;
    expect(server).toMatchObject({ name: 'GET /admin/fails/:id' });
    expect(server!.events.map(({ attributes }) => attributes!['exception.message'])).toEqual(['inner']);
  });

  it('asks the rules of the application', async () => {
    const { body } = await send(pair.port, '/admin/health');
    await pair.outer.waitForSpans(1);
    expect(pair.outer.spans[0]!.spanContext().traceId).toBe(body);
    expect(pair.inner.spans).toEqual([]);
  });

  it('is not traced where the handler wants no span', async () => {
    await send(pair.port, '/admin/quiet');
    await send(pair.port, '/own/7');
    await pair.outer.waitForSpans(2);
    expect(pair.outer.spans.map(({ name }) => name)).toEqual(['OuterService.work', 'GET /own/:id']);
    expect(pair.inner.spans).toEqual([]);
  });

  it('has no route where no route matches', async () => {
    expect((await send(pair.port, '/admin/nothing')).status).toBe(404);
    await pair.outer.waitForSpans(1);
    expect(pair.outer.spans[0]!.name).toBe('GET');
  });
});

describe('a request in an application that is mounted where nothing is traced', () => {
  const expected = {
    name: 'GET /admin/users/:id',
    attributes: expect.objectContaining({ 'http.route': '/admin/users/:id', 'url.path': '/admin/users/7' }),
  };

  it('has the whole route below an application of Express', async () => {
    const inner = await create(new ExpressAdapter(), InnerController, InnerService, { inbound: { ignore: ['/health', '/admin/fails/7'] } });
    await inner.app.init();
    const outer = express();
    outer.use('/admin', inner.app.getHttpAdapter().getInstance());
    const server = http.createServer(outer).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    try {
      await send(port, '/admin/health');
      await send(port, '/admin/fails/7');
      await send(port, '/admin/users/7');
      await inner.recorder.waitForSpans(3);
      expect(inner.recorder.spans.map(({ name }) => name)).toEqual(['inner step', 'InnerService.work', 'GET /admin/users/:id']);
      expect(inner.recorder.spans[2]).toMatchObject(expected);
    } finally {
      server.close();
      await inner.app.close();
    }
  });

  it('has the whole route in a plugin of Fastify', async () => {
    let inner!: Awaited<ReturnType<typeof create>>;
    const outer = fastify();
    await outer.register(
      async plugin => {
        inner = await create(new FastifyAdapter(plugin as never), InnerController, InnerService);
        await inner.app.init();
      },
      { prefix: '/admin' },
    );
    outer.get('/plain/:id', async () => 'plain');
    await outer.listen({ port: 0, host: '127.0.0.1' });
    const { port } = outer.server.address() as AddressInfo;
    try {
      await send(port, '/plain/7');
      await send(port, '/admin/users/7');
      await inner.recorder.waitForSpans(3);
      expect(inner.recorder.spans.map(({ name }) => name)).toEqual(['inner step', 'InnerService.work', 'GET /admin/users/:id']);
      expect(inner.recorder.spans[2]).toMatchObject(expected);
    } finally {
      await outer.close();
      await inner.app.close();
    }
  });
});
