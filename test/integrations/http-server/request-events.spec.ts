/** Specs of listeners for events of a request and its response. Node emits these events without a context. */
import { EventEmitter, once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Controller, Get, Inject, Injectable, type INestApplication, Post, Req, Res } from '@nestjs/common';
import { context, createContextKey, trace } from '@opentelemetry/api';
import { Span, Tracer } from '../../../lib/index.js';
import { adapters, startApplication, type TestApplication } from './http-application.js';

type Raw<T> = T & { readonly raw?: T };
const rawOf = <T>(value: Raw<T>): T => value.raw ?? value;
const KEY = createContextKey('of the user');

const heard = new EventEmitter();

@Injectable()
class Service {
  constructor(@Inject(Tracer) private readonly tracer: Tracer) {}

  @Span(function (event: string) {
    return event;
  })
  work(event: string): void {
    heard.emit(event, trace.getSpanContext(context.active())?.traceId, context.active().getValue(KEY));
  }

  setAttribute(key: string, value: string): void {
    this.tracer.setAttribute(key, value);
  }
}

@Controller()
class AppController {
  constructor(
    @Inject(Service) private readonly service: Service,
    @Inject(Tracer) private readonly tracer: Tracer,
  ) {}

  @Post('listened') listened(@Req() req: Raw<http.IncomingMessage>, @Res() res: Raw<http.ServerResponse>) {
    const [request, response] = this.follow(req, res);
    request.on('end', () => response.end('done'));
  }

  @Post('iterated') async iterated(@Req() req: Raw<http.IncomingMessage>) {
    for await (const chunk of rawOf(req)) this.service.work(`iterate ${(chunk as Buffer).length}`);
    return 'done';
  }

  @Post('piped') async piped(@Req() req: Raw<http.IncomingMessage>) {
    const { service } = this;
    const write = (chunk: Buffer, _: unknown, done: () => void) => {
      service.work(`write ${chunk.length}`);
      done();
    };
    await pipeline(rawOf(req), new Writable({ write }));
    return 'done';
  }

  @Post('left') left(@Req() req: Raw<http.IncomingMessage>, @Res() res: Raw<http.ServerResponse>) {
    this.follow(req, res);
    heard.emit('handled');
  }

  @Post('bound') bound(@Req() req: Raw<http.IncomingMessage>, @Res() res: Raw<http.ServerResponse>) {
    const [request, response] = [rawOf(req), rawOf(res)];
    const own = context.active().setValue(KEY, 'mine');
    request.on(
      'end',
      context.bind(own, () => {
        this.service.work('bound');
        response.end();
      }),
    );
    request.resume();
  }

  @Get('emitted') emitted(@Req() req: Raw<http.IncomingMessage>) {
    const request = rawOf(req);
    request.on('ready', () => this.service.work('ready'));
    this.tracer.span('mine', () => request.emit('ready'));
    return 'done';
  }

  @Get('waits') waits(@Req() req: Raw<http.IncomingMessage>, @Res() res: Raw<http.ServerResponse>) {
    const [, response] = this.follow(req, res);
    heard.once('release', () => response.end('released'));
    heard.emit('handled');
  }

  @Get('releases') releases() {
    heard.emit('release');
    return 'done';
  }

  @Get('remarked') remarked(@Res() res: Raw<http.ServerResponse>) {
    const response = rawOf(res);
    response.on('close', () => this.service.setAttribute('heard', 'close'));
    response.end('done');
  }

  /** Creates a span in each listener, as a library would. */
  private follow(req: Raw<http.IncomingMessage>, res: Raw<http.ServerResponse>) {
    const [request, response] = [rawOf(req), rawOf(res)];
    for (const event of ['data', 'end', 'close', 'error', 'aborted']) request.on(event, () => this.service.work(`request ${event}`));
    for (const event of ['finish', 'close', 'error']) response.on(event, () => this.service.work(`response ${event}`));
    return [request, response] as const;
  }
}

const setup = {
  controllers: [AppController],
  providers: [Service],
  // By default, Fastify parses bodies before it calls a handler.
  configure: (app: INestApplication) => {
    const instance = app.getHttpAdapter().getInstance() as { addContentTypeParser?: Function };
    instance.addContentTypeParser?.('application/octet-stream', (_request: unknown, _body: unknown, done: () => void) => done());
  },
};
const upload = { method: 'POST', headers: { 'content-type': 'application/octet-stream' } };
const traceId = 'a'.repeat(32);
const caller = { traceparent: `00-${traceId}-${'b'.repeat(16)}-01` };

/** Returns the child spans of each server span, by its name. */
function below({ recorder }: TestApplication): Record<string, string[]> {
  const tree: Record<string, string[]> = {};
  for (const span of recorder.spans) {
    const parent = recorder.parentOf(span);
    if (parent !== undefined) (tree[parent.name] ??= []).push(span.name);
  }
  return tree;
}

describe.each(adapters)('listeners of a request on %s', adapter => {
  let test: TestApplication;
  beforeAll(async () => {
    test = await startApplication(adapter, { ...setup, inbound: { ignore: ['/ignored/*'] } });
  });
  beforeEach(() => test.recorder.clear());
  afterAll(() => test.close());

  it('run in it while the body arrives and the response leaves', async () => {
    const done = once(heard, 'response close');
    await test.request('/listened', upload, 'body');
    await done;
    const spans = below(test);
    expect(Object.keys(spans)).toEqual(['POST /listened']);
    expect(spans['POST /listened']).toEqual(
      expect.arrayContaining(['request data', 'request end', 'request close', 'response finish', 'response close']),
    );
    expect(test.recorder.roots).toHaveLength(1);
  });

  it.each([
    ['iterates over it', '/iterated', 'iterate 4'],
    ['pipes it into a stream', '/piped', 'write 4'],
  ])('run in it where the handler %s', async (_, path, name) => {
    await test.request(path, upload, 'body');
    await test.recorder.waitForTrace();
    expect(below(test)).toEqual({ [`POST ${path}`]: [name] });
  });

  it('run in it when the client leaves', async () => {
    const handled = once(heard, 'handled');
    const socket = connect(test.port, '127.0.0.1');
    socket.write('POST /left HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: 8\r\n\r\nbody');
    await handled;
    const over = ['request aborted', 'request error', 'request close', 'response close'].map(event => once(heard, event));
    socket.destroy();
    await Promise.all(over);
    const server = await test.recorder.waitForSpan('POST /left');
    for (const [found] of await Promise.all(over)) expect(found).toBe(server.spanContext().traceId);
    expect(below(test)['POST /left']).toEqual(expect.arrayContaining(['request error', 'request close', 'response close']));
  });

  it('keep a context that they were bound to', async () => {
    const bound = once(heard, 'bound');
    await test.request('/bound', upload, 'body');
    const [, value] = await bound;
    expect(value).toBe('mine');
  });

  it('run in the span of whoever emits within it', async () => {
    await test.request('/emitted');
    await test.recorder.waitForTrace();
    expect(below(test)).toEqual({ mine: ['ready'], 'GET /emitted': ['mine'] });
  });

  it('run in it when another request ends its response', async () => {
    const handled = once(heard, 'handled');
    const waiting = test.request('/waits');
    await handled;
    const closed = once(heard, 'response close');
    await test.request('/releases');
    await waiting;
    await closed;
    const spans = below(test);
    expect(spans['GET /waits']).toEqual(expect.arrayContaining(['response finish', 'response close']));
    expect(spans['GET /releases']).toBeUndefined();
  });

  it('hear that the response is over before its span ends', async () => {
    await test.request('/remarked');
    const { attributes } = await test.recorder.waitForSpan('GET /remarked');
    expect(attributes).toMatchObject({ heard: 'close', 'http.response.status_code': 200 });
  });
});

describe.each(adapters)('listeners of a request on %s that is not traced', adapter => {
  it.each([
    ['ignored', { inbound: { ignore: ['/*'] } }],
    ['disabled', { tracing: { enabled: false } }],
  ])('pass on what its caller sent (%s)', async (_, options) => {
    const test = await startApplication(adapter, { ...setup, ...options });
    try {
      const over = ['request end', 'response close'].map(event => once(heard, event));
      await test.request('/listened', { ...upload, headers: { ...upload.headers, ...caller } }, 'body');
      for (const [found] of await Promise.all(over)) expect(found).toBe(traceId);
      expect(test.recorder.spans).toHaveLength(0);
    } finally {
      await test.close();
    }
  });
});

describe('listeners of a request over HTTP/2', () => {
  it('run in it', async () => {
    const test = await startApplication('fastify', { ...setup, fastify: { http2: true } });
    const session = http2.connect(`http://127.0.0.1:${test.port}`);
    try {
      const closed = once(heard, 'response close');
      const stream = session.request({ ':method': 'POST', ':path': '/listened', 'content-type': 'application/octet-stream' });
      stream.resume().end('body');
      await closed;
      await test.recorder.waitForSpan('POST /listened');
      expect(below(test)['POST /listened']).toEqual(
        expect.arrayContaining(['request data', 'request end', 'response finish', 'response close']),
      );
    } finally {
      session.destroy();
      await test.close();
    }
  });
});
