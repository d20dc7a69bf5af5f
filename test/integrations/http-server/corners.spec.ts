import http from 'node:http';
import http2 from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type ArgumentsHost,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  Get,
  Header,
  Injectable,
  Req,
  Res,
  UseFilters,
  UseGuards,
  VersioningType,
} from '@nestjs/common';
import { SpanKind, trace } from '@opentelemetry/api';
import { NoSpan, Tracer } from '../../../lib/index.js';
import { adapters, startApplication, type TestApplication } from './http-application.js';

@Injectable()
class Throws implements CanActivate {
  canActivate(): boolean {
    throw new TypeError('guard broke');
  }
}

@Injectable()
class Spans implements CanActivate {
  canActivate(): boolean {
    trace.getTracer('elsewhere').startSpan('in the guard').end();
    return true;
  }
}

@Catch()
class CatchAll implements ExceptionFilter {
  catch(_thrown: unknown, host: ArgumentsHost) {
    const response = host.switchToHttp().getResponse();
    response.status(503).send({});
  }
}

@Controller()
class AppController {
  @NoSpan() @Get('health') health() {
    return 'healthy';
  }
  @Get('calls-health') callsHealth() {
    return this.health();
  }
  @Get('inner') async inner() {
    await Promise.resolve();
    throw new Error('handled');
  }
  @Get('handles') async handles(@Res({ passthrough: true }) response: { status(code: number): unknown }) {
    await this.inner().catch(() => undefined);
    response.status(503);
    return 'sorry';
  }
  @Get('guarded') @UseGuards(Throws) @UseFilters(CatchAll) guarded() {}
  @NoSpan() @Get('quiet') @UseGuards(Spans) quiet() {
    trace.getTracer('elsewhere').startSpan('in the handler').end();
    return trace.getActiveSpan()?.isRecording() ?? 'no span';
  }
  @Header('x-limit', '7') @Get('headers') headers() {
    return { a: 1 };
  }
  @Get('big') big() {
    return 'x'.repeat(20_000_000);
  }
  @Get('hostile') hostile(@Res({ passthrough: true }) response: { raw?: http.ServerResponse } & http.ServerResponse) {
    const raw = response.raw ?? response;
    raw.on('finish', () => {
      raw.getHeader = () => {
        throw new Error('no headers for you');
      };
    });
    return 'answered';
  }
  @Get('slow') async slow() {
    await delay(300);
    return 'slow';
  }
  @Get('nests') async nests(@Req() request: { server?: { inject(path: string): Promise<{ body: string }> } }) {
    return (await request.server?.inject('/headers'))?.body ?? 'nothing';
  }
}

@Controller({ path: 'cats', version: '1' })
class CatsController {
  @Get() all() {
    return 'cats';
  }
}

class PriceController {
  @Get('price') price() {
    return 'full';
  }
}

@Controller('sale')
class SaleController extends PriceController {
  override price() {
    return 'reduced';
  }
  @Get('offer') offer() {
    return this.price();
  }
}

describe.each(adapters)('a request in a corner, on %s', adapter => {
  let test: TestApplication;
  beforeAll(async () => {
    test = await startApplication(adapter, {
      controllers: [AppController, SaleController],
      inbound: { captureResponseHeaders: ['x-limit', 'content-type'] },
    });
  });
  afterAll(() => test.close());
  beforeEach(() => test.recorder.clear());

  it('keeps its span when its handler calls one without', async () => {
    expect((await test.request('/calls-health')).body).toBe('healthy');
    await test.recorder.waitForSpans(1);
    expect(test.recorder.spans[0]!.name).toBe('GET /calls-health');
  });

  it('reaches the method that its controller has in place of an inherited handler', async () => {
    expect((await test.request('/sale/offer')).body).toBe('reduced');
    await test.recorder.waitForSpans(1);
    expect(test.recorder.spans[0]!.name).toBe('GET /sale/offer');
  });

  it('does not fail by an error that its handler handled', async () => {
    await test.request('/handles');
    await test.recorder.waitForSpans(1);
    expect(test.recorder.spans[0]!.events).toHaveLength(0);
    expect(test.recorder.spans[0]!.attributes['error.type']).toBe('503');
  });

  it('records what a guard threw under a filter of the handler that catches all', async () => {
    await test.request('/guarded');
    await test.recorder.waitForSpans(1);
    expect(test.recorder.spans[0]!.events[0]?.attributes).toMatchObject({
      'exception.type': 'TypeError',
      'exception.message': 'guard broke',
    });
  });

  it('leaves nothing of a handler without span, whoever opens spans around and in it', async () => {
    expect((await test.request('/quiet')).body).toBe('no span');
    await test.request('/health');
    await test.request('/headers');
    await test.recorder.waitForSpans(1);
    expect(test.recorder.spans.map(span => span.name)).toEqual(['GET /headers']);
  });

  it('captures the response headers that the framework keeps to itself', async () => {
    await test.request('/headers');
    await test.recorder.waitForSpans(1);
    expect(test.recorder.spans[0]!.attributes).toMatchObject({
      'http.response.header.x-limit': ['7'],
      'http.response.header.content-type': [expect.stringContaining('application/json')],
    });
  });

  it('ends its span and harms nobody when the response can no longer be read', async () => {
    expect((await test.request('/hostile')).body).toBe('answered');
    await test.recorder.waitForSpans(1);
    expect(test.recorder.spans[0]!.name).toBe('GET /hostile');
  });

  it('is failed when the client goes away in the middle of a large body', async () => {
    const request = http.get({ host: '127.0.0.1', port: test.port, path: '/big', agent: false }, response => {
      response.on('error', () => undefined);
      response.once('data', () => request.destroy());
    });
    request.on('error', () => undefined);
    await test.recorder.waitForSpans(1);
    expect(test.recorder.spans[0]!.attributes).toMatchObject({ 'error.type': expect.stringMatching(/ECONNRESET|EPIPE/) });
  });

  it('has no route when it is a 404 under a global prefix or of another version', async () => {
    const versioned = await startApplication(adapter, {
      controllers: [CatsController],
      versioning: { type: VersioningType.HEADER, header: 'x-version' },
      configure: app => app.setGlobalPrefix('api'),
    });
    try {
      expect((await versioned.request('/api/nope')).status).toBe(404);
      expect((await versioned.request('/api/cats', { headers: { 'x-version': '3' } })).status).toBe(404);
      expect((await versioned.request('/api/cats', { headers: { 'x-version': '1' } })).status).toBe(200);
      await versioned.recorder.waitForSpans(3);
      expect(versioned.recorder.spans.map(span => [span.name, span.attributes['code.function.name']])).toEqual([
        ['GET', undefined],
        ['GET', undefined],
        ['GET /api/cats', 'CatsController.all'],
      ]);
    } finally {
      await versioned.close();
    }
  });

  it('survives hooks and rules that reject', async () => {
    const reject: never = (() => Promise.reject(new Error('hook'))) as never;
    const hooked = await startApplication(adapter, {
      controllers: [AppController],
      inbound: { onRequest: reject, onResponse: reject, ignore: reject, trust: reject },
    });
    try {
      expect((await hooked.request('/headers')).status).toBe(200);
      await hooked.recorder.waitForSpans(1);
      await delay(10);
    } finally {
      await hooked.close();
    }
  });
});

describe('a request in a corner of Fastify', () => {
  it('over HTTP/2 is failed when the client resets it, without a status code where none was sent', async () => {
    const test = await startApplication('fastify', { controllers: [AppController], fastify: { http2: true } });
    try {
      const session = http2.connect(`http://127.0.0.1:${test.port}`);
      const stream = session.request({ ':path': '/slow' });
      stream.on('error', () => undefined);
      await delay(50);
      stream.close(http2.constants.NGHTTP2_CANCEL);
      await test.recorder.waitForSpans(1);
      const { attributes } = test.recorder.spans[0]!;
      expect(attributes['error.type']).toBe('ECONNRESET');
      expect(attributes['http.response.status_code']).toBeUndefined();
      session.close();
    } finally {
      await test.close();
    }
  });

  it('is a request of its own when it is injected within another, or within a span', async () => {
    const test = await startApplication('fastify', { controllers: [AppController] });
    try {
      await test.request('/nests');
      await test.recorder.waitForSpans(2);
      expect(test.recorder.spans.map(span => span.name)).toEqual(['GET /headers', 'GET /nests']);
      test.recorder.clear();
      const fastify = test.app.getHttpAdapter().getInstance() as { inject(path: string): Promise<unknown> };
      await test.app.get(Tracer).span('test', () => fastify.inject('/headers'));
      await test.recorder.waitForSpans(2);
      expect(test.recorder.spans.filter(span => span.kind === SpanKind.SERVER)).toHaveLength(1);
    } finally {
      await test.close();
    }
  });
});
