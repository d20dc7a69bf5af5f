import { Injectable } from '@nestjs/common';
import { MessageBody, type OnGatewayConnection, type OnGatewayDisconnect, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { config as rxjs } from 'rxjs';
import { NoSpan, Span } from '../../../lib/index.js';
import { type FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { send } from '../http-server/http-application.js';
import { type Client, SocketApplication, socketAdapters } from './socket-application.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const HANDSHAKE = `00-${TRACE}-b7ad6b7169203331-01`;
const MESSAGE = '00-11111111111111111111111111111111-2222222222222222-01';

@Injectable()
class Service {
  readonly seen: unknown[] = [];
  @Span() work(data?: unknown) {
    this.seen.push(data);
  }
}

@WebSocketGateway()
class First implements OnGatewayConnection, OnGatewayDisconnect {
  constructor(readonly service: Service) {}

  async handleConnection() {
    await new Promise(resolve => setTimeout(resolve, 5));
    this.service.work('connected');
  }

  async handleDisconnect() {
    await new Promise(resolve => setTimeout(resolve, 5));
    this.service.work('disconnected');
  }

  @SubscribeMessage('take') take(@MessageBody() body: unknown) {
    this.service.work(body);
    return { event: 'took', data: Buffer.isBuffer(body) ? body.length : body };
  }
}

@WebSocketGateway()
class Second implements OnGatewayConnection, OnGatewayDisconnect {
  handleConnection() {
    // The spec only needs the method.
  }
  handleDisconnect() {
    // The spec only needs the method.
  }
  @SubscribeMessage('second') second() {
    return { event: 'took', data: 2 };
  }
}

const contextOf = (span: FinishedSpan) => span.spanContext();

describe.each(socketAdapters)('a client of gateways over %s', adapter => {
  let test: SocketApplication;
  beforeAll(async () => {
    test = await SocketApplication.start(adapter, { gateways: [First, Second], providers: [Service] });
  });
  afterAll(() => test.close());
  beforeEach(() => test.recorder.clear());

  /** Closes the clients and waits for their spans, so that they do not reach the next spec. */
  async function leave(...clients: Client[]) {
    const gone = () => test.recorder.spans.filter(({ name }) => name === 'disconnect /').length;
    const wanted = gone() + 2 * clients.length;
    await Promise.all(clients.map(client => client.close()));
    await test.recorder.waitForSpans(() => gone() === wanted);
  }

  it('connects in one server span, however many gateways hear of it, and leaves in one span a handler', async () => {
    const client = await test.connect();
    const span = await test.recorder.waitForSpan('connect /');
    expect(span.kind).toBe(SpanKind.SERVER);
    expect(span.attributes['rpc.system.name']).toBe(test.system);
    expect(span.attributes['code.function.name']).toMatch(/^(First|Second)\.handleConnection$/);
    expect(span.attributes['client.address']).toContain('127.0.0.1');
    expect(test.recorder.parentOf(test.recorder.find('Service.work')!)).toBe(span);
    expect(test.recorder.spans).toHaveLength(2);
    test.recorder.clear();
    await leave(client);
    const left = test.recorder.spans.filter(({ name }) => name === 'disconnect /');
    expect(left.map(({ attributes }) => attributes['code.function.name']).sort()).toEqual([
      'First.handleDisconnect',
      'Second.handleDisconnect',
    ]);
    expect(left.every(({ links }) => links[0]?.context.spanId === contextOf(span).spanId)).toBe(true);
    const work = test.recorder.parentOf(test.recorder.find('Service.work')!);
    expect(work?.attributes['code.function.name']).toBe('First.handleDisconnect');
  });

  it('whose handshake carries a context has connection, messages and disconnect in that trace', async () => {
    const client = await test.connect({ headers: { traceparent: HANDSHAKE } });
    const connection = await test.recorder.waitForSpan('connect /');
    client.send('take', { id: 1 });
    const message = await test.recorder.waitForSpan('message take');
    await leave(client);
    const left = test.recorder.find('disconnect /')!;
    for (const span of [connection, message, left]) {
      expect(contextOf(span).traceId).toBe(TRACE);
      expect(span.parentSpanContext?.spanId).toBe('b7ad6b7169203331');
    }
    expect(message.links.map(({ context }) => context.spanId)).toEqual([contextOf(connection).spanId]);
  });

  it('that sends no context has each message in a trace of its own, linked to the connection', async () => {
    const client = await test.connect();
    const connection = await test.recorder.waitForSpan('connect /');
    client.send('take', { id: 1 });
    client.send('second');
    await test.recorder.waitForSpan('message second');
    const spans = ['message take', 'message second'].map(name => test.recorder.find(name)!);
    expect(new Set([connection, ...spans].map(span => contextOf(span).traceId)).size).toBe(3);
    for (const span of spans) {
      expect(span.parentSpanContext).toBeUndefined();
      expect(span.links.map(({ context }) => context.spanId)).toEqual([contextOf(connection).spanId]);
    }
    await leave(client);
  });

  it.each([
    ['in the payload', { traceparent: MESSAGE, id: 1 }, undefined],
    ['under _trace', { _trace: { traceparent: MESSAGE }, id: 1 }, undefined],
    ['under headers', { headers: { b3: '11111111111111111111111111111111-2222222222222222-1' } }, undefined],
    ['beside the payload', { id: 1 }, { traceparent: MESSAGE }],
    ['under metadata beside the payload', 'text', { metadata: { traceparent: MESSAGE } }],
  ])('that sends a context with a message, %s, has the message there, and the handler sees what was sent', async (_, data, beside) => {
    const client = await test.connect({ headers: { traceparent: HANDSHAKE } });
    test.app.get(Service).seen.length = 0;
    await test.recorder.waitForSpans(2);
    client.send('take', data, beside);
    const message = await test.recorder.waitForSpan('message take');
    expect(message.parentSpanContext?.spanId).toBe('2222222222222222');
    // Several arguments of socket.io arrive as a list.
    expect(test.app.get(Service).seen.at(-1)).toEqual(beside && adapter === 'socket.io' ? [data, beside] : data);
    await leave(client);
  });

  it('that sends something like a context, but none, has its message where its handshake is', async () => {
    const client = await test.connect({ headers: { traceparent: HANDSHAKE } });
    client.send('take', { b3: 'vitamin', traceparent: 7 });
    const message = await test.recorder.waitForSpan('message take');
    expect(message.parentSpanContext?.spanId).toBe('b7ad6b7169203331');
    await leave(client);
  });

  it('has its messages apart from those of others: a thousand, over fifty sockets', async () => {
    const clients = await Promise.all(Array.from({ length: 50 }, () => test.connect()));
    const isConnection = ({ name }: FinishedSpan) => name === 'connect /';
    await test.recorder.waitForSpans(spans => spans.filter(isConnection).length === 50);
    expect(test.recorder.spans).toHaveLength(100);
    const connections = new Map(test.recorder.spans.filter(isConnection).map(span => [contextOf(span).spanId, contextOf(span).traceId]));
    test.recorder.clear();
    const id = (n: number) => n.toString(16).padStart(32, '0');
    for (let n = 1; n <= 1000; n++) {
      const body = { n, ...(n % 2 === 0 && { traceparent: `00-${id(n)}-${id(n).slice(16)}-01` }) };
      clients[n % 50]!.send('take', body);
    }
    await test.recorder.waitForSpans(spans => spans.filter(({ name }) => name === 'message take').length === 1000, { timeoutMs: 15_000 });
    const messages = test.recorder.spans.filter(({ name }) => name === 'message take');
    expect(messages).toHaveLength(1000);
    expect(new Set(messages.map(span => contextOf(span).traceId)).size).toBe(1000);
    for (const work of test.recorder.spans.filter(({ name }) => name === 'Service.work')) {
      expect(work.parentSpanContext?.traceId).toBe(contextOf(work).traceId);
    }
    const works = test.recorder.spans.filter(({ name }) => name === 'Service.work');
    expect(new Set(works.map(work => work.parentSpanContext?.spanId)).size).toBe(1000);
    expect(works.every(work => test.recorder.parentOf(work)?.name === 'message take')).toBe(true);
    const byParent = messages.filter(({ parentSpanContext }) => parentSpanContext !== undefined).map(span => contextOf(span).traceId);
    expect(byParent.sort()).toEqual(Array.from({ length: 500 }, (_, i) => id(2 * (i + 1))).sort());
    expect(messages.every(({ links }) => links.length === 1 && connections.has(links[0]!.context.spanId))).toBe(true);
    await leave(...clients);
  });
});

describe('a client of gateways', () => {
  it.each(socketAdapters)('over %s whose connection fails, fails its span and nothing else', async adapter => {
    @WebSocketGateway()
    class Failing implements OnGatewayConnection {
      handleConnection() {
        throw new RangeError('not you');
      }
      @SubscribeMessage('take') take() {
        return { event: 'took', data: 1 };
      }
    }
    const unhandled: unknown[] = [];
    rxjs.onUnhandledError = thrown => void unhandled.push(thrown);
    const test = await SocketApplication.start(adapter, { gateways: [Failing] });
    try {
      const client = await test.connect();
      const span = await test.recorder.waitForSpan('connect /');
      expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'not you' });
      expect(span.events).toHaveLength(1);
      client.send('take');
      expect(await client.next('took')).toBe(1);
      expect(unhandled).toHaveLength(1);
      await client.close();
    } finally {
      rxjs.onUnhandledError = null;
      await test.close();
    }
  });

  it.each(socketAdapters)('over %s is not traced where rules or @NoSpan() say so', async adapter => {
    @NoSpan()
    @WebSocketGateway()
    class Quiet implements OnGatewayConnection {
      handleConnection() {
        // The spec only needs the method.
      }
      @SubscribeMessage('take') take() {
        return { event: 'took', data: 1 };
      }
    }
    @WebSocketGateway()
    class Loud {
      @SubscribeMessage('ignored') ignored() {
        return { event: 'took', data: 2 };
      }
      @SubscribeMessage('loud') loud() {
        return { event: 'took', data: 3 };
      }
    }
    const test = await SocketApplication.start(adapter, {
      gateways: [Quiet, Loud],
      tracing: { inbound: { ignoreMessages: 'ignored' } },
    });
    const client = await test.connect();
    for (const event of ['take', 'ignored', 'loud']) {
      client.send(event);
      await client.next('took');
    }
    await test.recorder.waitForSpan('message loud');
    await client.close();
    await test.close();
    expect(test.recorder.spans.map(({ name }) => name)).toEqual(['message loud']);
  });

  it.each(socketAdapters)('over %s works as ever where tracing is off', async adapter => {
    const test = await SocketApplication.start(adapter, { gateways: [First, Second], providers: [Service], tracing: { enabled: false } });
    const client = await test.connect();
    client.send('take', { id: 1 });
    expect(await client.next('took')).toEqual({ id: 1 });
    await client.close();
    await test.close();
    expect(test.recorder.spans).toHaveLength(0);
  });
});

describe('a client of socket.io', () => {
  @WebSocketGateway({ namespace: 'chat' })
  class Chat {
    @SubscribeMessage('say') say(@MessageBody() body: unknown) {
      return { said: Buffer.isBuffer(body) ? body.length : body };
    }
  }
  let test: SocketApplication;
  beforeAll(async () => {
    test = await SocketApplication.start('socket.io', { gateways: [Chat, First], providers: [Service] });
  });
  afterAll(() => test.close());
  beforeEach(() => test.recorder.clear());

  it('names its namespace, and may send its context in `auth`', async () => {
    const client = await test.connect({ namespace: '/chat', auth: { traceparent: HANDSHAKE, token: 'secret' } });
    const connection = await test.recorder.waitForSpan('connect /chat');
    expect(contextOf(connection).traceId).toBe(TRACE);
    expect(JSON.stringify(connection.attributes)).not.toContain('secret');
    await client.close();
  });

  it('that polls over HTTP makes a span for each message and none for polls', async () => {
    const client = await test.connect({ namespace: '/chat', transports: ['polling'], headers: { traceparent: HANDSHAKE } });
    expect(await client.ask('say', 'hello')).toEqual({ said: 'hello' });
    await client.close();
    await test.recorder.waitForSpans(2);
    await send(test.port, '/nowhere');
    await test.recorder.waitForSpan('GET');
    expect(test.recorder.spans.map(({ name }) => name)).toEqual(['connect /chat', 'message say', 'GET']);
    expect(test.recorder.spans.slice(0, 2).every(span => contextOf(span).traceId === TRACE)).toBe(true);
  });

  it('may send bytes', async () => {
    const client = await test.connect({ namespace: '/chat' });
    expect(await client.ask('say', Buffer.from('traceparent'))).toEqual({ said: 11 });
    expect((await test.recorder.waitForSpan('message say')).status.code).toBe(SpanStatusCode.UNSET);
    await client.close();
  });
});

describe('a client of ws', () => {
  it('that is a browser may send its context in the address', async () => {
    const test = await SocketApplication.start('ws', { gateways: [First], providers: [Service] });
    const client = await test.connect({ query: `?traceparent=${HANDSHAKE}` });
    expect(contextOf(await test.recorder.waitForSpan('connect /')).traceId).toBe(TRACE);
    await client.close();
    await test.close();
  });
});
