/** Checks requests with broken connections: each has a span that ends as failed, and nothing stays in memory. */
import { EventEmitter, once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { connect, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Controller, Get, Param, Req, Res } from '@nestjs/common';
import { SpanStatusCode } from '@opentelemetry/api';
import type { FinishedSpan } from '../../../lib/testing/index.js';
import { adapters, startApplication, type TestApplication } from './http-application.js';

type Raw<T> = T & { readonly raw?: T };
const rawOf = <T>(value: Raw<T>): T => value.raw ?? value;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

class Handled extends EventEmitter {
  count = 0;

  another(): void {
    this.count += 1;
    this.emit('handled');
  }

  async until(count: number): Promise<void> {
    while (this.count < count) await once(this, 'handled');
  }
}

let handled = new Handled();
let requests: WeakRef<object>[] = [];

@Controller()
class AppController {
  @Get('never/:id') async never(@Req() req: Raw<http.IncomingMessage>) {
    requests.push(new WeakRef(rawOf(req)));
    handled.another();
    await once(handled, 'never');
  }

  @Get('answered/:id') answered(@Req() req: Raw<http.IncomingMessage>, @Param('id') id: string) {
    requests.push(new WeakRef(rawOf(req)));
    handled.another();
    return id;
  }

  @Get('listeners') listeners(@Req() req: Raw<http.IncomingMessage>) {
    const { socket } = rawOf(req);
    return String(socket.eventNames().reduce((sum, name) => sum + socket.listenerCount(name), 0));
  }

  @Get('destroyed') destroyed(@Res() res: Raw<http.ServerResponse> & { hijack?: () => void }) {
    res.hijack?.();
    rawOf(res).destroy();
  }

  @Get('detached') detached(@Req() req: Raw<http.IncomingMessage>, @Res() res: Raw<http.ServerResponse> & { hijack?: () => void }) {
    res.hijack?.();
    const { socket } = rawOf(req);
    rawOf(res).detachSocket(socket);
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
  }
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`;
/** These are answered while an earlier `/never` in the same connection is not. */
const behind = Array.from({ length: 6 }, (_, id) => get(id % 2 === 0 ? `/answered/${id}` : `/never/${id}`)).join('');

function isFailed({ status, attributes }: FinishedSpan): boolean {
  return status.code === SpanStatusCode.ERROR && attributes['error.type'] === 'ECONNRESET';
}

describe.each(adapters)('the connection of requests on %s', adapter => {
  let test: TestApplication;
  let server: http.Server;
  const open = async (): Promise<Socket> => {
    const socket = connect(test.port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  };
  beforeAll(async () => {
    test = await startApplication(adapter, { controllers: [AppController] });
    server = test.app.getHttpServer() as http.Server;
  });
  beforeEach(() => {
    test.recorder.clear();
    handled = new Handled();
    handled.setMaxListeners(0);
    requests = [];
  });
  afterAll(() => test.close());

  it.each<[string, (sockets: Socket[]) => void]>([
    ['leaves', sockets => sockets.forEach(socket => socket.destroy())],
    ['resets it', sockets => sockets.forEach(socket => socket.resetAndDestroy())],
    ['is shut out', () => server.closeAllConnections()],
  ])('takes all that a client has sent at once with it when the client %s', async (_, part) => {
    const sockets = await Promise.all(Array.from({ length: 10 }, open));
    for (const socket of sockets) socket.write(get('/never/0') + behind);
    await handled.until(70);
    part(sockets);
    const spans = await test.recorder.waitForSpans(70, { timeoutMs: 10_000 });
    expect(spans).toHaveLength(70);
    expect(spans.filter(span => !isFailed(span))).toEqual([]);
    // A request without an answer has no status code.
    const never = spans.filter(({ name }) => name === 'GET /never/:id');
    expect(never).toHaveLength(40);
    expect(never.filter(({ attributes }) => attributes['http.response.status_code'] !== undefined)).toEqual([]);
  });

  it('keeps nothing of them', async () => {
    const socket = await open();
    socket.write(get('/never/0') + behind);
    await handled.until(7);
    socket.destroy();
    await test.recorder.waitForSpans(7, { timeoutMs: 10_000 });
    // Lets the waiting handlers continue.
    handled.emit('never');
    handled = new Handled();
    test.recorder.clear();
    for (let turn = 0; turn < 50 && requests.some(request => request.deref() !== undefined); turn++) {
      await setImmediate();
      collect();
    }
    expect(requests.filter(request => request.deref() !== undefined)).toHaveLength(0);
  });

  it('gets no listener for each of them', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const counts = new Set<string>();
    for (let i = 0; i < 40; i++) counts.add((await test.request('/listeners', { agent })).body);
    agent.destroy();
    expect([...counts]).toHaveLength(1);
    expect(test.recorder.spans).toHaveLength(40);
  });

  it('ends the span of a response that was destroyed', async () => {
    await expect(test.request('/destroyed')).rejects.toThrow();
    expect(isFailed(await test.recorder.waitForSpan('GET /destroyed'))).toBe(true);
  });

  it('ends the span of a response that it was taken from', async () => {
    await test.request('/detached');
    await test.recorder.waitForSpan('GET /detached');
  });

  it('ends the span of a request that is let in when its client has left', async () => {
    const waiting = once(server, 'checkContinue') as Promise<[http.IncomingMessage, http.ServerResponse]>;
    const socket = await open();
    socket.write('GET /never/1 HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\r\n');
    const [request, response] = await waiting;
    const gone = once(request.socket, 'close');
    socket.destroy();
    await gone;
    server.removeAllListeners('checkContinue');
    server.emit('request', request, response);
    expect(isFailed(await test.recorder.waitForSpan('GET /never/:id'))).toBe(true);
  });

  it('has a span for a request that asks whether to go on', async () => {
    const socket = await open();
    socket.write('GET /answered/1 HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\r\n');
    const { attributes } = await test.recorder.waitForSpan('GET /answered/:id');
    expect(attributes['http.response.status_code']).toBe(200);
    socket.destroy();
  });
});

describe('the session of requests over HTTP/2', () => {
  it.each<[string, (session: http2.ClientHttp2Session, streams: http2.ClientHttp2Stream[]) => void]>([
    ['is destroyed', session => session.destroy()],
    ['has its streams reset', (_, streams) => streams.forEach(stream => stream.close(http2.constants.NGHTTP2_CANCEL))],
  ])('ends all their spans when it %s', async (_, part) => {
    handled = new Handled();
    const test = await startApplication('fastify', { controllers: [AppController], fastify: { http2: true } });
    const session = http2.connect(`http://127.0.0.1:${test.port}`);
    try {
      const streams = Array.from({ length: 5 }, (_, id) => session.request({ ':path': `/never/${id}` }));
      for (const stream of streams) stream.on('error', () => undefined).resume();
      await handled.until(5);
      part(session, streams);
      const spans = await test.recorder.waitForSpans(5);
      expect(spans).toHaveLength(5);
      expect(spans.every(({ status }) => status.code === SpanStatusCode.ERROR)).toBe(true);
    } finally {
      session.destroy();
      await test.close();
    }
  });
});
