import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { Controller, Get, Injectable, Module } from '@nestjs/common';
import { ExternalContextCreator, NestFactory } from '@nestjs/core';
import { MessagePattern, type MicroserviceOptions, Transport, ClientProxyFactory } from '@nestjs/microservices';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { SpanKind } from '@opentelemetry/api';
import { firstValueFrom } from 'rxjs';
import request from 'supertest';
import { Span, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { send, startApplication } from './http-application.js';
import { selfSigned } from './self-signed.js';

@Injectable()
class Service {
  @Span() work() {
    return 'done';
  }
}

@Controller()
class AppController {
  constructor(readonly service: Service) {}
  @Get('users/:id') one() {
    return this.service.work();
  }
  @MessagePattern('sum') sum(numbers: number[]) {
    this.service.work();
    return numbers.reduce((a, b) => a + b, 0);
  }
}

const controllers = [AppController];
const providers = [Service];

describe('a request that enters', () => {
  it('over HTTP/2 is one server span', async () => {
    const test = await startApplication('fastify', { controllers, providers, fastify: { http2: true } });
    try {
      const session = http2.connect(`http://127.0.0.1:${test.port}`);
      const stream = session.request({ ':path': '/users/7?a=1' });
      stream.resume();
      stream.end();
      await new Promise(resolve => stream.once('close', resolve));
      session.close();
      await test.recorder.waitForSpans(2);
      const server = test.recorder.find('GET /users/:id')!;
      expect(server.attributes).toMatchObject({
        'network.protocol.version': '2',
        'url.path': '/users/7',
        'server.address': '127.0.0.1',
        'server.port': test.port,
        'http.response.status_code': 200,
      });
      expect(server.status.code).toBe(0);
      expect(test.recorder.spans).toHaveLength(2);
    } finally {
      await test.close();
    }
  });

  it.each(['express', 'fastify'] as const)('over TLS on %s says so', async adapter => {
    const tls = selfSigned;
    const test = await startApplication(adapter, { controllers, providers, nest: { httpsOptions: tls }, fastify: { https: tls } });
    try {
      await new Promise<void>((resolve, reject) => {
        https
          .get({ host: '127.0.0.1', port: test.port, path: '/users/7', rejectUnauthorized: false, agent: false }, response => {
            response.resume();
            response.on('end', resolve);
          })
          .on('error', reject);
      });
      await test.recorder.waitForSpans(2);
      expect(test.recorder.find('GET /users/:id')!.attributes['url.scheme']).toBe('https');
    } finally {
      await test.close();
    }
  });

  it('through fastify.inject() is one server span', async () => {
    const recorder = new TraceRecorder();
    const module = await Test.createTestingModule({
      imports: [TracingModule.forRoot({ exporter: recorder })],
      controllers,
      providers,
    }).compile();
    const app = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter());
    await app.init();
    await app.getHttpAdapter().getInstance().ready();
    const ok = await app.inject('/users/7');
    const missing = await app.inject('/nowhere');
    expect([ok.statusCode, missing.statusCode]).toEqual([200, 404]);
    await recorder.waitForSpans(3);
    expect(recorder.spans.map(span => [span.name, span.attributes['http.response.status_code'], span.status.code])).toEqual([
      ['Service.work', undefined, 0],
      ['GET /users/:id', 200, 0],
      ['GET', 404, 0],
    ]);
    await app.close();
  });

  it('through supertest is one server span', async () => {
    const recorder = new TraceRecorder();
    const module = await Test.createTestingModule({
      imports: [TracingModule.forRoot({ exporter: recorder })],
      controllers,
      providers,
    }).compile();
    const app = module.createNestApplication();
    await app.init();
    await request(app.getHttpServer()).get('/users/7').expect(200);
    await recorder.waitForSpans(2);
    expect(recorder.spans.map(span => span.name)).toEqual(['Service.work', 'GET /users/:id']);
    await app.close();
  });

  it('through a server that the user made around the adapter is one server span', async () => {
    const recorder = new TraceRecorder();
    @Module({ imports: [TracingModule.forRoot({ exporter: recorder })], controllers, providers })
    class AppModule {}
    const adapter = new ExpressAdapter();
    const app = await NestFactory.create(AppModule, adapter, { logger: false });
    await app.init();
    const server = http.createServer(adapter.getInstance()).listen(0, '127.0.0.1');
    await new Promise(resolve => server.once('listening', resolve));
    await send((server.address() as AddressInfo).port, '/users/7');
    await recorder.waitForSpans(2);
    expect(recorder.spans.map(span => span.name)).toEqual(['Service.work', 'GET /users/:id']);
    server.close();
    await app.close();
  });

  it.each(['express', 'fastify'] as const)('through a route that %s serves without Nest carries its template', async adapter => {
    const test = await startApplication(adapter, {
      controllers,
      providers,
      configure: app =>
        app
          .getHttpAdapter()
          .getInstance()
          .get('/raw/:id', (_req: unknown, res: { end?: (body: string) => void; send(body: string): void }) =>
            (res.end ?? res.send).call(res, 'raw'),
          ),
    });
    await test.request('/raw/1');
    await test.recorder.waitForSpans(1);
    expect(test.recorder.spans[0]!.name).toBe('GET /raw/:id');
    await test.close();
  });

  it('as a message is one server span', async () => {
    const recorder = new TraceRecorder();
    @Module({ imports: [TracingModule.forRoot({ exporter: recorder })], controllers, providers })
    class AppModule {}
    const app = await NestFactory.createMicroservice<MicroserviceOptions>(AppModule, {
      transport: Transport.TCP,
      options: { host: '127.0.0.1', port: 0 },
      logger: false,
    });
    await app.listen();
    const { port } = (app as unknown as { serverInstance: { server: { address(): AddressInfo } } }).serverInstance.server.address();
    const client = ClientProxyFactory.create({ transport: Transport.TCP, options: { host: '127.0.0.1', port } });
    expect(await firstValueFrom(client.send('sum', [1, 2, 3]))).toBe(6);
    await recorder.waitForSpans(2);
    const server = recorder.find('sum')!;
    expect(server.kind).toBe(SpanKind.SERVER);
    expect(server.attributes['code.function.name']).toBe('AppController.sum');
    expect(recorder.find('Service.work')!.parentSpanContext?.spanId).toBe(server.spanContext().spanId);
    client.close();
    await app.close();
  });
});

describe('the global interceptor', () => {
  it('makes the span where Nest runs a method for a library of its own', async () => {
    const recorder = new TraceRecorder();
    @Module({ imports: [TracingModule.forRoot({ exporter: recorder })], controllers, providers })
    class AppModule {}
    const app = await NestFactory.create(AppModule, { logger: false });
    await app.init();
    const controller = app.get(AppController);

    const sum = app.get(ExternalContextCreator).create(controller, controller.sum as (...args: unknown[]) => unknown, 'sum');
    expect(await sum([1, 2])).toBe(3);
    const server = await recorder.waitForSpan('AppController.sum');
    expect(server.kind).toBe(SpanKind.SERVER);
    expect(recorder.parentOf(recorder.find('Service.work')!)).toBe(server);
    await app.close();
  });

  it('does not run for HTTP routes and is there for what is built later', async () => {
    const recorder = new TraceRecorder();
    const ran: string[] = [];
    @Module({ imports: [TracingModule.forRoot({ exporter: recorder })], controllers, providers })
    class AppModule {}
    const app = await NestFactory.create(AppModule, { logger: false });
    const config = (app as unknown as { config: { getGlobalInterceptors(): { intercept: (...args: never[]) => unknown }[] } }).config;
    const interceptor = config.getGlobalInterceptors()[0]!;
    const intercept = interceptor.intercept.bind(interceptor);
    interceptor.intercept = (...args: never[]) => {
      ran.push('intercepted');
      return intercept(...args);
    };
    await app.listen(0, '127.0.0.1');
    await send((app.getHttpServer().address() as AddressInfo).port, '/users/7');
    expect(ran).toEqual([]);
    expect(config.getGlobalInterceptors()).toContain(interceptor);
    await app.close();
  });
});
