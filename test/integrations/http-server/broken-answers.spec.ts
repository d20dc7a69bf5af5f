/** Specs of errors after an answer has begun. */
import http from 'node:http';
import http2 from 'node:http2';
import { PassThrough, pipeline, Readable } from 'node:stream';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import {
  type ArgumentsHost,
  Controller,
  type ExceptionFilter,
  Get,
  type MessageEvent,
  NotFoundException,
  Req,
  Res,
  Sse,
  StreamableFile,
  UseFilters,
} from '@nestjs/common';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { concat, interval, map, mergeMap, Observable, of, throwError, timer } from 'rxjs';
import { adapters, startApplication, type TestApplication } from './http-application.js';

class SourceError extends Error {
  override name = 'SourceError';
}

type Response = http.ServerResponse & { raw?: http.ServerResponse; hijack?: () => void; send?: (body: string) => unknown };

function rawOf(response: Response): http.ServerResponse {
  response.hijack?.();
  return response.raw ?? response;
}

/** A stream that sends some data and then fails. */
function breaking(thrown: Error, size = 100_000): Readable {
  const parts = [Buffer.alloc(size), Buffer.alloc(size)];
  return new Readable({
    read() {
      const part = parts.pop();
      if (part !== undefined) this.push(part);
      else setTimeout(() => this.destroy(thrown), 20);
    },
  });
}

/** A stream that never ends by itself. */
function endless(): Readable {
  return new Readable({
    read() {
      setTimeout(() => this.push(Buffer.alloc(1000)), 5);
    },
  });
}

/** A filter that does not check whether an answer was already sent. */
class AnswersAnyway implements ExceptionFilter {
  catch(_thrown: unknown, host: ArgumentsHost): void {
    const raw = rawOf(host.switchToHttp().getResponse<Response>());
    raw.statusCode = 500;
    raw.end();
    throw new Error('Cannot set headers after they are sent to the client');
  }
}

@Controller()
class AnswersController {
  @Sse('events') events(): Observable<MessageEvent> {
    return concat(of({ data: 'first' }), timer(20).pipe(mergeMap(() => throwError(() => new SourceError('no more events')))));
  }
  @Sse('events-later') async eventsLater(): Promise<Observable<MessageEvent>> {
    await turn();
    return this.events();
  }
  @Sse('events-not-found') eventsNotFound(): Observable<MessageEvent> {
    return concat(of({ data: 'first' }), timer(20).pipe(mergeMap(() => throwError(() => new NotFoundException('gone')))));
  }
  @Sse('events-refused') eventsRefused(): Observable<MessageEvent> {
    throw new NotFoundException('no such feed');
  }
  @Sse('events-rejected') async eventsRejected(): Promise<Observable<MessageEvent>> {
    await delay(30);
    throw new SourceError('no feed');
  }
  @Sse('ticks') ticks(): Observable<MessageEvent> {
    return interval(5).pipe(map(count => ({ data: String(count) })));
  }
  @Get('half') half(@Res() response: Response) {
    const raw = rawOf(response);
    raw.writeHead(200);
    raw.write('first half');
    throw new SourceError('after the first half');
  }
  @Get('half-later') async halfLater(@Res() response: Response) {
    const raw = rawOf(response);
    raw.write('first half');
    await delay(5);
    throw new SourceError('after the first half');
  }
  @Get('whole') whole(@Res() response: Response) {
    response.send!('all of it');
    throw new SourceError('after all of it');
  }
  @UseFilters(AnswersAnyway) @Get('half-filtered') halfFiltered(@Res() response: Response) {
    this.half(response);
  }
  @Get('half-unannounced') halfUnannounced(@Res() response: Response) {
    rawOf(response).write('first half');
    throw new SourceError('after the first half');
  }
  @Get('file') file() {
    return new StreamableFile(breaking(new SourceError('disk broke')));
  }
  @Get('file-at-once') fileAtOnce() {
    return new StreamableFile(
      new Readable({
        read() {
          this.destroy(new SourceError('no such file'));
        },
      }),
    );
  }
  @Get('file-later') async fileLater() {
    await turn();
    return new StreamableFile(breaking(Object.assign(new Error('disk broke'), { code: 'EIO' })));
  }
  @Get('file-observed') fileObserved() {
    return of(new StreamableFile(breaking(new SourceError('disk broke'))));
  }
  @Get('piped') piped(@Res() response: Response) {
    const raw = rawOf(response);
    const source = breaking(new SourceError('pipe broke'));
    source.on('error', () => raw.destroy());
    source.pipe(raw);
  }
  @Get('pipeline') pipeline(@Res() response: Response) {
    pipeline(breaking(new SourceError('pipe broke')), rawOf(response), () => undefined);
  }
  @Get('destroyed') destroyed(@Res() response: Response) {
    const raw = rawOf(response);
    raw.write('first half');
    setTimeout(() => raw.destroy(new SourceError('given up')), 20);
  }
  @Get('endless') endless() {
    return new StreamableFile(endless());
  }
  @Get('endless-upstream') upstream(@Req() request: http.IncomingMessage & { raw?: http.IncomingMessage }, @Res() response: Response) {
    const source = endless();
    const raw = rawOf(response);
    // If the client disconnects, its source is aborted.
    (request.raw ?? request).on('close', () => source.destroy(new DOMException('aborted', 'AbortError')));
    source.on('error', () => raw.destroy());
    source.pipe(new PassThrough()).pipe(raw);
    source.pipe(raw, { end: false });
  }
}

describe.each(adapters)('an answer on %s', adapter => {
  let test: TestApplication;
  beforeAll(async () => (test = await startApplication(adapter, { controllers: [AnswersController] })));
  afterAll(() => test.close());
  beforeEach(() => test.recorder.clear());

  /** Sends a request and returns its span. With `leave`, the client disconnects after the first bytes. */
  async function spanOf(path: string, leave = false) {
    const status = await new Promise<number | undefined>(resolve => {
      const request = http.get({ host: '127.0.0.1', port: test.port, path, agent: false }, response => {
        response.on('error', () => resolve(response.statusCode));
        response.on('end', () => resolve(response.statusCode));
        response.on('data', () => {
          if (leave) request.destroy();
        });
      });
      request.on('error', () => resolve(undefined));
    });
    const span = await test.recorder.waitForSpan(({ kind }) => kind === SpanKind.SERVER);
    expect(test.recorder.spans).toEqual([span]);
    const isFailed = span.status.code === SpanStatusCode.ERROR;
    const exceptions = span.events.map(({ attributes }) => attributes!['exception.message']);
    expect(span.attributes['http.response.status_code']).toBe(status);
    return { status, isFailed, message: span.status.message, type: span.attributes['error.type'], exceptions };
  }

  it.each<[string, string, string, string]>([
    ['is made of events that break off', '/events', 'SourceError', 'no more events'],
    ['is made of a promise of events that break off', '/events-later', 'SourceError', 'no more events'],
    ['is made of events that end with an HttpException', '/events-not-found', 'NotFoundException', 'gone'],
    ['is half written when the handler throws', '/half', 'SourceError', 'after the first half'],
    ['is half written when the handler rejects', '/half-later', 'SourceError', 'after the first half'],
    ['is half written when the handler throws, and ended by a filter', '/half-filtered', 'SourceError', 'after the first half'],
    ['is half written, and no reply to Fastify, when the handler throws', '/half-unannounced', 'SourceError', 'after the first half'],
    ['is a file whose source breaks', '/file', 'SourceError', 'disk broke'],
    ['is a file, promised, whose source breaks with a code', '/file-later', 'EIO', 'disk broke'],
    ['is a file, observed, whose source breaks', '/file-observed', 'SourceError', 'disk broke'],
    ['is piped, and the source breaks', '/piped', 'SourceError', 'pipe broke'],
    ['is a pipeline that breaks', '/pipeline', 'SourceError', 'pipe broke'],
    ['is given up by the application', '/destroyed', 'SourceError', 'given up'],
  ])('that %s fails the span, which tells why', async (_, path, type, message) => {
    expect(await spanOf(path)).toEqual({ status: 200, isFailed: true, message, type, exceptions: [message] });
  });

  it('that is complete when the handler throws has not failed; the exception is recorded', async () => {
    expect(await spanOf('/whole')).toEqual({
      status: 200,
      isFailed: false,
      message: undefined,
      type: undefined,
      exceptions: ['after all of it'],
    });
  });

  it('that has not begun is told by its status', async () => {
    expect(await spanOf('/events-refused')).toMatchObject({ status: 404, isFailed: false, exceptions: [] });
    test.recorder.clear();
    expect(await spanOf('/events-rejected')).toMatchObject({ status: 500, isFailed: true, type: '500', exceptions: ['no feed'] });
    test.recorder.clear();
    const { status, isFailed, exceptions } = await spanOf('/file-at-once');
    expect([status, isFailed]).toEqual(adapter === 'express' ? [400, false] : [500, true]);
    expect(exceptions).toEqual(['no such file']);
  });

  it.each(['/ticks', '/endless', '/endless-upstream'])('that the client leaves is told from one that breaks: %s', async path => {
    expect(await spanOf(path, true)).toMatchObject({ isFailed: true, type: 'ECONNRESET', exceptions: [] });
  });
});

describe('an answer over HTTP/2', () => {
  it('that the application gives up tells why, one that the client leaves does not', async () => {
    const test = await startApplication('fastify', { controllers: [AnswersController], fastify: { http2: true } });
    const client = http2.connect(`http://127.0.0.1:${test.port}`);
    try {
      for (const [path, type, exceptions] of [
        ['/destroyed', 'SourceError', ['given up']],
        ['/ticks', 'ECONNRESET', []],
      ] as const) {
        test.recorder.clear();
        const stream = client.request({ ':path': path });
        stream.on('error', () => undefined);
        stream.on('data', () => {
          if (path === '/ticks') stream.close(http2.constants.NGHTTP2_CANCEL);
        });
        const { attributes, events } = await test.recorder.waitForSpan(`GET ${path}`);
        expect(attributes).toMatchObject({ 'error.type': type, 'http.response.status_code': 200 });
        expect(events.map(event => event.attributes!['exception.message'])).toEqual(exceptions);
      }
    } finally {
      client.destroy();
      await test.close();
    }
  });
});
