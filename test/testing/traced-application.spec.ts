/** A user's own test: a testing module whose spans a recorder holds. */
import { setTimeout } from 'node:timers/promises';
import { Controller, Get, type INestApplication, Injectable, Module, NotFoundException } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { expect } from '@jest/globals';
import request from 'supertest';
import { Span, TRACING_OPTIONS, TracingModule } from '../../lib/index.js';
import { TraceRecorder, traceMatchers } from '../../lib/testing/index.js';

expect.extend(traceMatchers);

@Injectable()
class OrdersService {
  // Side by side and ending in the other order; the tree must not care.
  load = () => Promise.all([this.slow(), this.fast()]);

  @Span()
  async slow() {
    await setTimeout(5);
  }

  @Span()
  async fast() {
    await Promise.resolve();
  }
}

@Controller('orders')
class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  @Get('missing')
  missing() {
    throw new NotFoundException();
  }

  @Get(':id')
  async one() {
    await this.orders.load();
    return {};
  }
}

describe('A recorder in a testing module', () => {
  const recorder = new TraceRecorder();
  let app: INestApplication;

  beforeAll(async () => {
    const module = await Test.createTestingModule({
      imports: [TracingModule.forRoot({ exporter: recorder })],
      controllers: [OrdersController],
      providers: [OrdersService],
    }).compile();
    app = await module.createNestApplication({ logger: false }).init();
  });

  afterEach(() => recorder.clear());
  afterAll(() => app.close());

  it.each([1, 2, 3, 4, 5])('holds the same tree on every run (%d)', async () => {
    await request(app.getHttpServer()).get('/orders/7').expect(200);
    await recorder.waitForTrace();
    expect(recorder).toHaveTree(
      `
        GET /orders/:id (server) http.response.status_code=200
          OrdersService.slow
          OrdersService.fast
      `,
      { attributes: ['http.response.status_code'] },
    );
  });

  it('holds what a failed request left', async () => {
    await request(app.getHttpServer()).get('/orders/missing').expect(404);
    await recorder.waitForSpan('GET /orders/missing');
    expect(recorder).toHaveSpan('GET /orders/missing', {
      kind: 'server',
      status: 'unset',
      attributes: { 'http.response.status_code': 404 },
    });
  });

  it('stays readable after the application has been closed', async () => {
    await request(app.getHttpServer()).get('/orders/7').expect(200);
    await app.close();
    expect(recorder.roots.map(span => span.name)).toEqual(['GET /orders/:id']);
  });
});

describe('A recorder in a test of the whole application', () => {
  @Module({
    imports: [TracingModule.forRoot({ serviceName: 'orders', exporter: 'console' })],
    controllers: [OrdersController],
    providers: [OrdersService],
  })
  class AppModule {}

  it('takes the place of the options in AppModule', async () => {
    const recorder = new TraceRecorder();
    const builder = Test.createTestingModule({ imports: [AppModule] });
    const module = await builder.overrideProvider(TRACING_OPTIONS).useValue({ exporter: recorder }).compile();
    const app = await module.createNestApplication({ logger: false }).init();
    try {
      await request(app.getHttpServer()).get('/orders/7').expect(200);
      await recorder.waitForSpan('GET /orders/:id');
    } finally {
      await app.close();
    }
  });

  it('beside them is refused, and the message says how to put it there', async () => {
    const imports = [AppModule, TracingModule.forRoot({ exporter: new TraceRecorder() })];
    await expect(Test.createTestingModule({ imports }).compile()).rejects.toThrow('overrideProvider(TRACING_OPTIONS)');
  });
});
