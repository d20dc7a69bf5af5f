import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { SpanStatusCode } from '@opentelemetry/api';
import { WebSocket, WebSocketServer } from 'ws';
import { traceNodeHttp } from '../../../lib/integrations/http-client/node-http.js';
import { type Downstream, startDownstream } from './downstream.js';
import { call, failureOf } from './node-call.js';
import { OutboundApplication, traceparentOf } from './outbound-application.js';

/** It is deprecated, but node-fetch uses it. */
function abort(request: http.ClientRequest): void {
  const method: unknown = Reflect.get(request, 'abort');
  if (typeof method === 'function') method.call(request);
}

describe('a call through node:http ends', () => {
  let downstream: Downstream;
  let application: OutboundApplication;
  let stop: () => void;

  beforeAll(async () => void (downstream = await startDownstream()));
  afterAll(() => downstream.close());
  beforeEach(() => {
    application = new OutboundApplication();
    stop = traceNodeHttp();
  });
  afterEach(async () => {
    stop();
    await application.finish();
  });

  const closing = (request: http.ClientRequest) =>
    new Promise<void>(resolve => (request.closed ? resolve() : request.once('close', resolve)));
  /** Sends a request in which nothing happens, and waits until the server has it. */
  const hanging = async (options: http.RequestOptions = {}) => {
    const arrival = downstream.arrival('/hang');
    const request = http.get(`${downstream.url}/hang`, options);
    const errors: unknown[] = [];
    request.on('error', error => errors.push(error));
    await arrival;
    return { request, errors };
  };
  const expectFailure = (type: string) => {
    const { attributes, events, status } = application.clientSpan;
    expect([status.code, attributes['error.type'], events.length]).toEqual([SpanStatusCode.ERROR, type, 1]);
  };
  const expectCancellation = () => {
    const { attributes, events, status } = application.clientSpan;
    expect([status.code, attributes['error.type'], events.length]).toEqual([SpanStatusCode.UNSET, undefined, 0]);
  };

  it('when the headers have come, before the body and before the caller sees the response', async () => {
    await application.serve(async () => {
      const request = http.get(`${downstream.url}/drip`);
      const spans = await new Promise<number>(resolve => request.once('response', () => resolve(application.clientSpans.length)));
      expect(spans).toBe(1);
      expect(application.clientSpan.attributes).toMatchObject({ 'http.response.status_code': 200 });
      request.destroy();
      await closing(request);
    });
  });

  it.each<[string, (request: http.ClientRequest) => void]>([
    ['nobody listens for it', () => undefined],
    ['the caller destroys it', request => request.once('response', response => response.destroy())],
    ['the caller aborts the request then', request => request.once('response', () => request.destroy(new Error('enough')))],
  ])('with the response, where %s', async (_what, prepare) => {
    await application.serve(async () => {
      const request = http.get(`${downstream.url}/big`).on('error', () => undefined);
      prepare(request);
      await closing(request);
    });
    expect(application.clientSpan.attributes).toMatchObject({ 'http.response.status_code': 200 });
    expectCancellation();
  });

  it('with the response, though its body breaks off', async () => {
    await application.serve(() => failureOf(call(`${downstream.url}/cut`)));
    expect(application.clientSpan.attributes['http.response.status_code']).toBe(200);
  });

  it('in a failure if nobody answers at the address', async () => {
    const closed = await startDownstream();
    await closed.close();
    await application.serve(() => failureOf(call(`${closed.url}/ok`)));
    expectFailure('ECONNREFUSED');
  });

  it.each<[string, http.RequestOptions]>([
    [
      'EHOSTUNREACH',
      {
        createConnection: (_options, done) => {
          done(Object.assign(new Error('no way'), { code: 'EHOSTUNREACH' }), null as never);
          return undefined;
        },
      },
    ],
    ['ENOTFOUND', { lookup: (_host, _options, done) => done(Object.assign(new Error('who?'), { code: 'ENOTFOUND' }), []) }],
  ])('in a failure if the connection cannot be made (%s)', async (code, options) => {
    await application.serve(() => failureOf(call('http://users.test/ok', options)));
    expectFailure(code);
    expect(application.clientSpan.attributes).toMatchObject({ 'url.full': 'http://users.test/ok', 'server.port': 80 });
  });

  it('in a failure if the server closes the connection', async () => {
    await application.serve(() => failureOf(call(`${downstream.url}/reset`)));
    expectFailure('ECONNRESET');
  });

  it('in a failure if the server does not speak HTTP', async () => {
    const server = net.createServer(socket => socket.end('what?\r\n\r\n')).listen(0);
    const { port } = server.address() as AddressInfo;
    await application.serve(() => failureOf(call(`http://localhost:${port}/`)));
    server.close();
    expectFailure('HPE_INVALID_CONSTANT');
  });

  it('in a failure if the caller gives the error', async () => {
    await application.serve(async () => {
      const { request } = await hanging();
      request.destroy(new RangeError('too much'));
      await closing(request);
    });
    expectFailure('RangeError');
  });

  it.each<[string, (request: http.ClientRequest) => void]>([
    ['destroy()', request => request.destroy()],
    ['abort()', abort],
  ])('without a failure if the caller cancels it by %s', async (_how, cancel) => {
    await application.serve(async () => {
      const { request } = await hanging();
      cancel(request);
      await closing(request);
    });
    expectCancellation();
  });

  it.each<[string, (request: http.ClientRequest) => void]>([
    ['destroy()', request => request.destroy()],
    ['abort()', abort],
  ])('without a failure if the caller cancels it by %s before there is a connection', async (_how, cancel) => {
    await application.serve(async () => {
      const request = http.get(`${downstream.url}/ok`).on('error', () => undefined);
      cancel(request);
      await closing(request);
    });
    expectCancellation();
  });

  it('without a failure if the caller cancels it while it waits for a connection', async () => {
    const agent = new http.Agent({ maxSockets: 1 });
    await application.serve(async () => {
      const { request } = await hanging({ agent });
      const waiting = http.get(`${downstream.url}/ok`, { agent }).on('error', () => undefined);
      waiting.destroy();
      request.destroy();
      await Promise.all([closing(request), closing(waiting)]);
    });
    expect(application.clientSpans.map(({ status }) => status.code)).toEqual([SpanStatusCode.UNSET, SpanStatusCode.UNSET]);
  });

  it.each([
    ['without a reason', undefined],
    ['with one', new Error('changed my mind')],
  ])('without a failure if the signal aborts it %s', async (_how, reason) => {
    const abort = new AbortController();
    await application.serve(async () => {
      const { request, errors } = await hanging({ signal: abort.signal });
      abort.abort(reason);
      await closing(request);
      expect(errors).toMatchObject([{ name: 'AbortError' }]);
    });
    expectCancellation();
  });

  it('in a failure if it misses the deadline of its signal', async () => {
    await application.serve(async () => {
      const request = http.get(`${downstream.url}/hang`, { signal: AbortSignal.timeout(30) }).on('error', () => undefined);
      await closing(request);
    });
    expectFailure('TimeoutError');
  });

  it('in a failure if it takes too long and the caller destroys it', async () => {
    await application.serve(async () => {
      const request = http.get(`${downstream.url}/hang`, { timeout: 30 }).on('error', () => undefined);
      request.once('timeout', () => request.destroy());
      await closing(request);
    });
    expectFailure('ECONNRESET');
    application.reset();
    await application.serve(async () => {
      const request = http.get(`${downstream.url}/hang`).on('error', () => undefined);
      request.setTimeout(30, () => request.destroy(Object.assign(new Error('too slow'), { code: 'ETIMEDOUT' })));
      await closing(request);
    });
    expectFailure('ETIMEDOUT');
  });

  it('leaves an error that nobody listens for uncaught', async () => {
    await application.serve(async () => {
      const request = http.get(`${downstream.url}/hang`);
      expect(request.listenerCount('error')).toBe(0);
      request.on('error', () => undefined).destroy();
      await closing(request);
    });
  });

  it('with the final response, not with those that announce it', async () => {
    const server = http.createServer((_request, response) => {
      response.writeProcessing();
      response.writeEarlyHints({ link: '</a.css>; rel=preload' }, () => response.writeHead(201).end());
    });
    server.on('checkContinue', (_request, response: http.ServerResponse) => {
      response.writeContinue();
      response.writeHead(202).end();
    });
    await new Promise<void>(resolve => server.listen(0, resolve));
    const url = `http://localhost:${(server.address() as AddressInfo).port}/`;
    await application.serve(() => call(url));
    await application.serve(() => call(url, { method: 'POST', headers: { expect: '100-continue' } }));
    server.close();
    expect(application.clientSpans.map(({ attributes }) => attributes['http.response.status_code'])).toEqual([201, 202]);
  });

  describe('of a WebSocket', () => {
    it('with the upgrade', async () => {
      const server = new WebSocketServer({ port: 0 });
      let carried: unknown;
      server.on('connection', (_socket, { headers }) => (carried = headers.traceparent));
      await application.serve(async () => {
        const socket = new WebSocket(`ws://localhost:${(server.address() as AddressInfo).port}/live`);
        await new Promise(resolve => socket.once('open', resolve));
        expect(application.clientSpan.attributes).toMatchObject({ 'http.response.status_code': 101, 'network.protocol.version': '1.1' });
        socket.terminate();
      });
      server.close();
      expect(carried).toBe(traceparentOf(application.clientSpan));
      expectCancellation();
    });

    it('without a span where there is no trace: such a client connects when it is made', async () => {
      const server = new WebSocketServer({ port: 0 });
      const socket = new WebSocket(`ws://localhost:${(server.address() as AddressInfo).port}/live`);
      await new Promise(resolve => socket.once('open', resolve));
      socket.terminate();
      server.close();
      expect(application.clientSpans).toEqual([]);
    });

    it('with an answer that refuses it', async () => {
      const server = new WebSocketServer({ port: 0, verifyClient: () => false });
      await application.serve(
        () => new Promise(resolve => new WebSocket(`ws://localhost:${(server.address() as AddressInfo).port}/`).once('error', resolve)),
      );
      server.close();
      expect(application.clientSpan.attributes['error.type']).toBe('401');
    });

    it('with an upgrade that nobody listens for', async () => {
      const server = http
        .createServer()
        .on('upgrade', (_request, socket) => socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'));
      await new Promise<void>(resolve => server.listen(0, resolve));
      await application.serve(async () => {
        const { port } = server.address() as AddressInfo;
        const request = http.get({ port, headers: { connection: 'upgrade', upgrade: 'x' } }).on('error', () => undefined);
        await closing(request);
      });
      server.close();
      expect(application.clientSpan.attributes['http.response.status_code']).toBe(101);
    });
  });

  it('nowhere for a tunnel through a proxy, as it is no call', async () => {
    const proxy = http.createServer().on('connect', (_request, socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n'));
    await new Promise<void>(resolve => proxy.listen(0, resolve));
    await application.serve(
      () =>
        new Promise(resolve => {
          const { port } = proxy.address() as AddressInfo;
          http.request({ port, method: 'CONNECT', path: 'users.test:443' }).once('connect', resolve).end();
        }),
    );
    proxy.close();
    expect(application.clientSpans).toEqual([]);
  });
});
