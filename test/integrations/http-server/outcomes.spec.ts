import http from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import {
  ArgumentsHost,
  BadRequestException,
  Body,
  CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  Get,
  Head,
  HttpException,
  Injectable,
  type MiddlewareConsumer,
  Module,
  Param,
  ParseIntPipe,
  Post,
  Redirect,
  Req,
  Res,
  Sse,
  StreamableFile,
  UnauthorizedException,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { interval, map, of, throwError } from 'rxjs';
import { Readable } from 'node:stream';
import { adapters, startApplication, type TestApplication } from './http-application.js';

@Injectable()
class Unauthorized implements CanActivate {
  canActivate(): boolean {
    throw new UnauthorizedException('no token');
  }
}

@Injectable()
class Refusing implements CanActivate {
  canActivate(): Promise<boolean> {
    return Promise.resolve(false);
  }
}

class QuotaError extends Error {
  override name = 'QuotaError';
}

@Catch(QuotaError)
class QuotaFilter implements ExceptionFilter {
  catch(_error: QuotaError, host: ArgumentsHost) {
    throwAway(host, 429);
  }
}

@Catch()
class CatchAll implements ExceptionFilter {
  catch(_error: unknown, host: ArgumentsHost) {
    throwAway(host, 503);
  }
}

function throwAway(host: ArgumentsHost, status: number) {
  const response = host.switchToHttp().getResponse();
  if (typeof response.code === 'function') response.code(status).send({ status });
  else response.status(status).json({ status });
}

let aborted: () => void = () => undefined;

@Controller('users')
class UsersController {
  @Get('broken') broken() {
    throw new TypeError('cannot read the user');
  }
  @Get('broken-later') async brokenLater() {
    await delay(1);
    throw new Error('later');
  }
  @Get('broken-stream') brokenStream() {
    return throwError(() => new RangeError('in the stream'));
  }
  @Get('nothing-thrown') nothingThrown() {
    throw null;
  }
  @Get('text-thrown') textThrown() {
    throw 'text';
  }
  @Get('bad') bad() {
    throw new BadRequestException('bad input');
  }
  @Get('teapot') teapot() {
    throw new HttpException('tea', 502);
  }
  @Get('quota') @UseFilters(QuotaFilter) quota() {
    throw new QuotaError('too many');
  }
  @Get('hidden') @UseFilters(CatchAll) hidden() {
    throw new QuotaError('seen all the same');
  }
  @Get('guarded') @UseGuards(Unauthorized) guarded() {
    return 'never';
  }
  @Get('refused') @UseGuards(Refusing) refused() {
    return 'never';
  }
  @Get('observable') observable() {
    return of({ id: 1 });
  }
  @Get('redirect') @Redirect('/users/1', 302) redirect() {}
  @Get('file') file() {
    return new StreamableFile(Readable.from([Buffer.alloc(70_000, 'x'), Buffer.alloc(70_000, 'y')]));
  }
  @Sse('events') events() {
    return interval(5).pipe(map(n => ({ data: { n } })));
  }
  @Get('slow') async slow(@Req() request: { raw?: http.IncomingMessage } & http.IncomingMessage) {
    (request.raw ?? request).socket.once('close', () => aborted());
    await new Promise(() => undefined);
  }
  @Get('half') half(@Res() response: { raw?: http.ServerResponse; hijack?: () => void } & http.ServerResponse) {
    response.hijack?.();
    const raw = response.raw ?? response;
    raw.writeHead(200, { 'content-type': 'text/plain' });
    raw.write('first half');
  }
  @Head('head') head() {}
  @Get(':id') one(@Param('id', ParseIntPipe) id: number) {
    return { id };
  }
  @Post() create(@Body() body: unknown) {
    return body;
  }
}

describe.each(adapters)('a request on %s', adapter => {
  let test: TestApplication;

  beforeAll(async () => {
    @Module({})
    class MiddlewareModule {
      configure(consumer: MiddlewareConsumer) {
        consumer
          .apply((_req: unknown, _res: unknown, next: (error: Error) => void) => next(new Error('middleware broke')))
          .forRoutes('broken-middleware');
        consumer
          .apply((_req: unknown, res: http.ServerResponse) => {
            res.statusCode = 202;
            res.end('by middleware');
          })
          .forRoutes('answered-by-middleware');
      }
    }
    test = await startApplication(adapter, { controllers: [UsersController], imports: [MiddlewareModule] });
  });
  afterAll(() => test.close());
  beforeEach(() => test.recorder.clear());

  /** Returns the only span of the last request. */
  async function onlySpan() {
    await test.recorder.waitForSpans(1);
    await delay(5);
    expect(test.recorder.spans).toHaveLength(1);
    const span = test.recorder.spans[0]!;
    expect(span.kind).toBe(SpanKind.SERVER);
    return span;
  }

  /** Express parses bodies before it routes. */
  const refusedByParser = adapter === 'fastify' ? 'POST /users' : 'POST';
  const cases: [
    string,
    string,
    http.RequestOptions,
    string | undefined,
    { status: number; name: string; failed?: string; handler?: string },
  ][] = [
    ['answers 200', '/users/1', {}, undefined, { status: 200, name: 'GET /users/:id', handler: 'UsersController.one' }],
    [
      'answers from an Observable',
      '/users/observable',
      {},
      undefined,
      { status: 200, name: 'GET /users/observable', handler: 'UsersController.observable' },
    ],
    [
      'answers 201',
      '/users',
      { method: 'POST', headers: { 'content-type': 'application/json' } },
      '{"a":1}',
      { status: 201, name: 'POST /users', handler: 'UsersController.create' },
    ],
    ['finds no route', '/nowhere', {}, undefined, { status: 404, name: 'GET' }],
    [
      'is refused by a guard that throws',
      '/users/guarded',
      {},
      undefined,
      { status: 401, name: 'GET /users/guarded', handler: 'UsersController.guarded' },
    ],
    [
      'is refused by a guard that says no',
      '/users/refused',
      {},
      undefined,
      { status: 403, name: 'GET /users/refused', handler: 'UsersController.refused' },
    ],
    ['is refused by a pipe', '/users/abc', {}, undefined, { status: 400, name: 'GET /users/:id', handler: 'UsersController.one' }],
    ['is refused by the handler', '/users/bad', {}, undefined, { status: 400, name: 'GET /users/bad', handler: 'UsersController.bad' }],
    [
      'breaks the body parser',
      '/users',
      { method: 'POST', headers: { 'content-type': 'application/json' } },
      '{"a":',
      { status: 400, name: refusedByParser },
    ],
    [
      'is too large',
      '/users',
      { method: 'POST', headers: { 'content-type': 'application/json' } },
      `"${'x'.repeat(2_000_000)}"`,
      { status: 413, name: refusedByParser },
    ],
    ['is redirected', '/users/redirect', {}, undefined, { status: 302, name: 'GET /users/redirect', handler: 'UsersController.redirect' }],
    [
      'asks for the head',
      '/users/head',
      { method: 'HEAD' },
      undefined,
      { status: 200, name: 'HEAD /users/head', handler: 'UsersController.head' },
    ],
    ['streams a file', '/users/file', {}, undefined, { status: 200, name: 'GET /users/file', handler: 'UsersController.file' }],
    ['is answered by middleware', '/answered-by-middleware', {}, undefined, { status: 202, name: 'GET' }],
    ['meets middleware that breaks', '/broken-middleware', {}, undefined, { status: 500, name: 'GET', failed: 'middleware broke' }],
    [
      'meets a handler that throws',
      '/users/broken',
      {},
      undefined,
      { status: 500, name: 'GET /users/broken', failed: 'cannot read the user', handler: 'UsersController.broken' },
    ],
    [
      'meets a handler that rejects',
      '/users/broken-later',
      {},
      undefined,
      { status: 500, name: 'GET /users/broken-later', failed: 'later', handler: 'UsersController.brokenLater' },
    ],
    [
      'meets an Observable that fails',
      '/users/broken-stream',
      {},
      undefined,
      { status: 500, name: 'GET /users/broken-stream', failed: 'in the stream' },
    ],
    ['meets a thrown null', '/users/nothing-thrown', {}, undefined, { status: 500, name: 'GET /users/nothing-thrown', failed: 'null' }],
    ['meets a thrown text', '/users/text-thrown', {}, undefined, { status: 500, name: 'GET /users/text-thrown', failed: 'text' }],
    ['fails with a 502 of its own', '/users/teapot', {}, undefined, { status: 502, name: 'GET /users/teapot', failed: 'tea' }],
    [
      'fails, and a filter makes it a 4xx',
      '/users/quota',
      {},
      undefined,
      { status: 429, name: 'GET /users/quota', handler: 'UsersController.quota' },
    ],
    [
      'fails under a filter of its own that catches all',
      '/users/hidden',
      {},
      undefined,
      { status: 503, name: 'GET /users/hidden', failed: 'seen all the same' },
    ],
  ];

  it.each(cases)('has exactly one server span when it %s', async (_what, path, options, body, expected) => {
    const answer = await test.request(path, options, body);
    expect(answer.status).toBe(expected.status);
    const span = await onlySpan();
    expect(span.name).toBe(expected.name);
    expect(span.attributes['http.response.status_code']).toBe(expected.status);
    if (expected.handler) expect(span.attributes['code.function.name']).toBe(expected.handler);
    if (expected.failed === undefined) {
      expect(span.status.code).toBe(SpanStatusCode.UNSET);
      expect(span.attributes['error.type']).toBeUndefined();
      expect(span.events).toHaveLength(0);
    } else {
      expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: expected.failed });
      expect(span.attributes['error.type']).toBe(String(expected.status));
      expect(span.events.map(event => event.name)).toEqual(['exception']);
      expect(span.events[0]!.attributes!['exception.message']).toBe(expected.failed);
    }
  });

  it('records the stack of what was thrown for a 5xx once', async () => {
    await test.request('/users/broken');
    const span = await onlySpan();
    expect(span.events[0]!.attributes).toMatchObject({ 'exception.type': 'TypeError' });
    expect(span.events[0]!.attributes!['exception.stacktrace']).toContain('outcomes.spec');
  });

  it('has a failed span without status code when the client goes away while the handler runs', async () => {
    const gone = new Promise<void>(resolve => (aborted = resolve));
    const request = http.get({ host: '127.0.0.1', port: test.port, path: '/users/slow', agent: false });
    request.on('error', () => undefined);
    await delay(50);
    request.destroy();
    await gone;
    const span = await onlySpan();
    expect(span.name).toBe('GET /users/slow');
    expect(span.status.code).toBe(SpanStatusCode.ERROR);
    expect(span.attributes['error.type']).toBe('ECONNRESET');
    expect(span.attributes['http.response.status_code']).toBeUndefined();
  });

  it('has a failed span with the status code sent when the client goes away in the middle of the body', async () => {
    const request = http.get({ host: '127.0.0.1', port: test.port, path: '/users/half', agent: false }, response => {
      response.on('error', () => undefined);
      response.once('data', () => request.destroy());
    });
    request.on('error', () => undefined);
    const span = await onlySpan();
    expect(span.status.code).toBe(SpanStatusCode.ERROR);
    expect(span.attributes['error.type']).toBe('ECONNRESET');
    expect(span.attributes['http.response.status_code']).toBe(200);
  });

  it('ends the span of server-sent events when the client leaves', async () => {
    const request = http.get({ host: '127.0.0.1', port: test.port, path: '/users/events', agent: false }, response => {
      response.on('error', () => undefined);
      response.once('data', () => request.destroy());
    });
    request.on('error', () => undefined);
    const span = await onlySpan();
    expect(span.name).toBe('GET /users/events');
    expect(span.attributes['http.response.status_code']).toBe(200);
  });

  it('has a span each when requests share a connection', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    for (let id = 1; id <= 5; id++) await test.request(`/users/${id}`, { agent });
    agent.destroy();
    await test.recorder.waitForSpans(5);
    expect(new Set(test.recorder.spans.map(span => span.spanContext().traceId)).size).toBe(5);
    expect(test.recorder.spans.map(span => span.attributes['url.path'])).toEqual([
      '/users/1',
      '/users/2',
      '/users/3',
      '/users/4',
      '/users/5',
    ]);
  });

  it('has a span for a malformed URL', async () => {
    const answer = await test.request('/users/%');
    expect(answer.status).toBe(400);
    const span = await onlySpan();
    expect(span.attributes['http.response.status_code']).toBe(400);
  });
});
