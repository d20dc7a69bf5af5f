import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import {
  type CallHandler,
  Controller,
  type ExecutionContext,
  Get,
  Inject,
  Injectable,
  type MiddlewareConsumer,
  Module,
  type NestInterceptor,
  Param,
  Post,
  UseInterceptors,
} from '@nestjs/common';
import { context, propagation } from '@opentelemetry/api';
import { Observable } from 'rxjs';
import { Span, Tracer } from '../../../lib/index.js';
import type { FinishedSpan } from '../../../lib/testing/index.js';
import { type Adapter, adapters, startApplication, type TestApplication } from './http-application.js';

type Next = (error?: unknown) => void;

/** Lets requests wait and continue in the context of another request, like a queue that calls `next()` of the next request. */
class Gate extends EventEmitter {
  private readonly waiting: (() => void)[] = [];

  wait(next: () => void): void {
    this.waiting.push(next);
    this.emit('waiting');
  }

  /** Resolves when a request waits. */
  async filled(): Promise<void> {
    while (this.waiting.length === 0) await new Promise(resolve => this.once('waiting', resolve));
  }

  open(): void {
    for (const next of this.waiting.splice(0)) next();
  }
}

let gate = new Gate();

function isToWait({ headers }: { headers: Record<string, unknown> }, place: string): boolean {
  return headers['x-wait'] === place;
}

@Injectable()
class Service {
  constructor(@Inject(Tracer) private readonly tracer: Tracer) {}

  @Span() work(): string {
    return this.tracer.getBaggage('tenant') ?? 'done';
  }
}

class WaitingInterceptor implements NestInterceptor {
  intercept(execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (!isToWait(execution.switchToHttp().getRequest(), 'interceptor')) return next.handle();
    return new Observable(subscriber => gate.wait(() => next.handle().subscribe(subscriber)));
  }
}

@Controller()
class AppController {
  constructor(@Inject(Service) private readonly service: Service) {}

  @Get('list/:id') list(): string {
    return this.service.work();
  }
  @Post('pay/:id') pay(@Param('id') id: string): string {
    this.service.work();
    throw new TypeError(`no money for ${id}`);
  }
  @UseInterceptors(WaitingInterceptor)
  @Get('intercepted/:id')
  intercepted(@Param('id') id: string): string {
    return id + this.service.work();
  }
  @Get('health') health(): string {
    return this.service.work();
  }
  /** Waiting requests continue in the context of this request. */
  @Get('open') open(): string {
    gate.open();
    return 'opened';
  }
}

class PassingMiddleware {
  constructor(@Inject(Service) private readonly service: Service) {}
  use(_request: unknown, _response: unknown, next: Next): void {
    this.service.work();
    next();
  }
}

@Module({ providers: [Service], exports: [Service] })
class ServiceModule {}

async function start(adapter: Adapter, passing: boolean): Promise<TestApplication> {
  @Module({ imports: [ServiceModule] })
  class MiddlewareModule {
    configure(consumer: MiddlewareConsumer): void {
      if (passing) consumer.apply(PassingMiddleware).forRoutes('*');
    }
  }
  return startApplication(adapter, {
    controllers: [AppController],
    imports: [ServiceModule, MiddlewareModule],
    inbound: { ignore: ['/health'] },
    configure: app => {
      app.use((request: never, _response: unknown, next: Next) => {
        if (!isToWait(request, 'baggage')) {
          next();
          return;
        }
        const baggage = propagation.createBaggage({ tenant: { value: 'acme' } });
        context.with(propagation.setBaggage(context.active(), baggage), next);
      });
      app.use((request: never, _response: unknown, next: Next) => {
        if (isToWait(request, 'middleware') || isToWait(request, 'baggage')) gate.wait(next);
        else next();
      });
      const server = app.getHttpAdapter();
      server.get('/direct/:id', (_request: unknown, response: unknown) => {
        server.reply(response, app.get(Service).work());
      });
      if (adapter === 'express')
        app.use(
          '/routed',
          waitingRouter(() => app.get(Service).work()),
        );
      if (adapter !== 'fastify') return;
      const fastify = server.getInstance() as { addHook(name: string, hook: (...args: never[]) => unknown): void };
      fastify.addHook('preHandler', (request: never, _reply: unknown, done: () => void) => {
        if (isToWait(request, 'hook')) gate.wait(done);
        else done();
      });
      fastify.addHook('preHandler', async (request: never) => {
        if (isToWait(request, 'hook')) app.get(Service).work();
      });
    },
  });
}

/** An Express router that lets requests wait between handlers of a route, and in middleware. */
function waitingRouter(work: () => string): Router {
  const router = express.Router();
  const wait = (_request: unknown, _response: unknown, next: Next): void => gate.wait(next);
  const answer = (_request: unknown, response: Answer): void => void response.send(work());
  router.get('/once/:id', wait, answer);
  const inner = express.Router();
  inner.use(wait);
  inner.get('/:id', answer);
  router.use('/inner', inner);
  router.get('/failing/:id', wait, () => {
    throw new Error('refused');
  });
  router.use((_error: Error, _request: unknown, response: Answer, _next: Next): void => void response.send(work()));
  return router;
}

interface Answer {
  send(body: string): unknown;
}

type Handler = (...args: never[]) => void;

interface Router {
  get(path: string, ...handlers: Handler[]): unknown;
  use(...args: (string | Handler | Router)[]): unknown;
}

const express = createRequire(import.meta.url)('express') as { Router(): Router };

/** Sends `path` and lets it continue from a request for `/open`. Returns the spans of both. */
async function waitAndGoOn(test: TestApplication, path: string, options: { method?: string; place?: string } = {}) {
  const answer = test.request(path, { method: options.method ?? 'GET', headers: { 'x-wait': options.place ?? 'middleware' } });
  await gate.filled();
  await test.request('/open');
  return answer;
}

/** Returns the names of the spans below a server span. */
function below(test: TestApplication, server: FinishedSpan): string[] {
  return test.recorder.spans
    .filter(({ parentSpanContext }) => parentSpanContext?.spanId === server.spanContext().spanId)
    .map(({ name }) => name);
}

describe.each(adapters)('a request on %s that has waited and goes on in the context of another one', adapter => {
  let test: TestApplication;
  beforeAll(async () => {
    test = await start(adapter, false);
  });
  afterAll(() => test.close());
  beforeEach(() => {
    gate = new Gate();
    test.recorder.clear();
  });

  it('has its route, handler and spans', async () => {
    expect((await waitAndGoOn(test, '/list/7')).body).toBe('done');
    await test.recorder.waitForSpans(3);
    const list = test.recorder.find('GET /list/:id')!;
    expect(list.attributes).toMatchObject({ 'url.path': '/list/7', 'code.function.name': 'AppController.list' });
    expect(below(test, list)).toEqual(['Service.work']);
    const open = test.recorder.find('GET /open')!;
    expect(open.attributes).toMatchObject({ 'url.path': '/open', 'code.function.name': 'AppController.open' });
    expect(below(test, open)).toEqual([]);
  });

  it('has the exception that its handler threw', async () => {
    expect((await waitAndGoOn(test, '/pay/1', { method: 'POST' })).status).toBe(500);
    await test.recorder.waitForSpans(3);
    const pay = test.recorder.find('POST /pay/:id')!;
    expect(pay.attributes).toMatchObject({ 'url.path': '/pay/1', 'error.type': '500', 'code.function.name': 'AppController.pay' });
    expect(pay.events.map(({ attributes }) => attributes!['exception.message'])).toEqual(['no money for 1']);
    expect(below(test, pay)).toEqual(['Service.work']);
    expect(test.recorder.find('GET /open')!.events).toEqual([]);
  });

  it('has no route where it is a 404', async () => {
    expect((await waitAndGoOn(test, '/nowhere')).status).toBe(404);
    await test.recorder.waitForSpans(2);
    expect(test.recorder.spans.map(({ name }) => name).sort()).toEqual(['GET', 'GET /open']);
  });

  it('has the spans of a route that was registered without a controller', async () => {
    expect((await waitAndGoOn(test, '/direct/7')).body).toBe('done');
    await test.recorder.waitForSpans(3);
    expect(below(test, test.recorder.find('GET /direct/:id')!)).toEqual(['Service.work']);
  });

  it('keeps the baggage that it had when it began to wait', async () => {
    expect((await waitAndGoOn(test, '/list/7', { place: 'baggage' })).body).toBe('acme');
  });

  it('has the spans of its handler where an interceptor let it wait', async () => {
    expect((await waitAndGoOn(test, '/intercepted/7', { place: 'interceptor' })).body).toBe('7done');
    await test.recorder.waitForSpans(3);
    const intercepted = test.recorder.find('GET /intercepted/:id')!;
    expect(intercepted.attributes['code.function.name']).toBe('AppController.intercepted');
    expect(below(test, intercepted)).toEqual(['Service.work']);
    expect(test.recorder.find('GET /open')!.attributes['code.function.name']).toBe('AppController.open');
  });

  it('is not traced where rules ignore it', async () => {
    expect((await waitAndGoOn(test, '/health')).body).toBe('done');
    await test.recorder.waitForSpans(1);
    expect(test.recorder.spans.map(({ name }) => name)).toEqual(['GET /open']);
  });
});

describe.each(adapters)('middleware of Nest on %s behind one that lets requests wait', adapter => {
  it('runs in the trace of its request', async () => {
    gate = new Gate();
    const test = await start(adapter, true);
    try {
      await waitAndGoOn(test, '/list/7');
      await test.recorder.waitForSpans(5);
      expect(below(test, test.recorder.find('GET /list/:id')!)).toEqual(['Service.work', 'Service.work']);
      expect(below(test, test.recorder.find('GET /open')!)).toEqual(['Service.work']);
    } finally {
      await test.close();
    }
  });
});

describe('a request in a router of Express that lets requests wait', () => {
  it.each([
    ['/routed/once/7', 'GET /routed/once/:id'],
    ['/routed/inner/7', 'GET /routed/inner/:id'],
    ['/routed/failing/7', 'GET /routed/failing/:id'],
  ])('has its spans: %s', async (path, name) => {
    gate = new Gate();
    const test = await start('express', false);
    try {
      expect((await waitAndGoOn(test, path, { place: 'router' })).body).toBe('done');
      await test.recorder.waitForSpans(3);
      expect(below(test, test.recorder.find(name)!)).toEqual(['Service.work']);
      expect(below(test, test.recorder.find('GET /open')!)).toEqual([]);
    } finally {
      await test.close();
    }
  });
});

describe('a request in a hook of Fastify that lets requests wait', () => {
  it('has its spans, those of later hooks too', async () => {
    gate = new Gate();
    const test = await start('fastify', false);
    try {
      await waitAndGoOn(test, '/list/7', { place: 'hook' });
      await test.recorder.waitForSpans(4);
      expect(below(test, test.recorder.find('GET /list/:id')!)).toEqual(['Service.work', 'Service.work']);
      expect(below(test, test.recorder.find('GET /open')!)).toEqual([]);
    } finally {
      await test.close();
    }
  });
});
