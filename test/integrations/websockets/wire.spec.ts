import { once } from 'node:events';
import { WsAdapter } from '@nestjs/platform-ws';
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import type { Socket } from 'socket.io';
import { io } from 'socket.io-client';
import { WebSocket } from 'ws';
import { SocketApplication } from './socket-application.js';

const HANDSHAKE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const MESSAGE = '00-11111111111111111111111111111111-2222222222222222-01';

@WebSocketGateway()
class Gateway {
  @SubscribeMessage('take') take(@MessageBody() body: unknown) {
    return { event: 'took', data: body };
  }
}

describe('a client of ws', () => {
  it.each(['', 'x', '[]', 'null', '5', '{}', '{"event":5}', '{"event":["take"]}', '{"event":"unknown","data":1}', Buffer.from([0xff, 0])])(
    'that sends what is no message, %p, makes no span of one',
    async frame => {
      const test = await SocketApplication.start('ws', { gateways: [Gateway] });
      const socket = new WebSocket(`ws://127.0.0.1:${test.port}/?traceparent=x&traceparent=${HANDSHAKE}&__proto__=1&tracestate=%FF`);
      await once(socket, 'open');
      socket.send(frame);
      socket.send('{"event":"take","data":1}');
      await once(socket, 'message');
      await test.recorder.waitForSpans(2);
      socket.terminate();
      await test.close();
      expect(test.recorder.spans.map(({ name }) => name).sort()).toEqual(['connect /', 'message take']);
    },
  );

  it('that the application parses in a way of its own may send its context in the payload', async () => {
    const messageParser = (data: { toString(): string }) => {
      const [event, body] = JSON.parse(data.toString()) as [string, unknown];
      return { event, data: body };
    };
    const test = await SocketApplication.start('ws', { gateways: [Gateway], adapt: app => new WsAdapter(app, { messageParser }) });
    const socket = new WebSocket(`ws://127.0.0.1:${test.port}/`);
    await once(socket, 'open');
    socket.send(JSON.stringify(['take', { traceparent: MESSAGE }]));
    expect((await test.recorder.waitForSpan('message take')).parentSpanContext?.spanId).toBe('2222222222222222');
    socket.terminate();
    await test.close();
  });
});

describe('a client of socket.io', () => {
  @WebSocketGateway({ namespace: /^\/room-\d+$/ })
  class Rooms {
    @SubscribeMessage('tell') async tell(@ConnectedSocket() client: Socket, @MessageBody() body: unknown) {
      await client.join('all');
      client.nsp.to('all').emit('told', body);
      return 'done';
    }
  }
  let test: SocketApplication;
  beforeAll(async () => {
    test = await SocketApplication.start('socket.io', {
      gateways: [Rooms, Gateway],
    });
  });
  afterAll(() => test.close());
  beforeEach(() => test.recorder.clear());

  it('in a namespace that matches a pattern has the namespace among the attributes, not in the name', async () => {
    const client = await test.connect({ namespace: '/room-7' });
    const connection = await test.recorder.waitForSpan('connect');
    expect(connection.attributes['nestjs.websocket.place']).toBe('/room-7');
    await client.close();
  });

  it('that has something told to a room has one span for it, whoever hears of it', async () => {
    const client = await test.connect({ namespace: '/room-8' });
    await test.recorder.waitForSpan('connect');
    expect(await client.ask('tell', { n: 1 })).toBe('done');
    expect(await client.next('told')).toEqual({ n: 1 });
    await test.recorder.waitForSpan('message tell');
    expect(test.recorder.spans.map(({ name }) => name)).toEqual(['connect', 'message tell']);
    await client.close();
  });

  it.each([[{ traceparent: [HANDSHAKE], tracestate: 5, _trace: 7 }], [{ headers: { traceparent: {} } }]])(
    'that shows a handshake of %j connects all the same',
    async auth => {
      const client = await test.connect({ auth });
      const connection = await test.recorder.waitForSpan('connect /');
      expect(connection.parentSpanContext).toBeUndefined();
      await client.close();
    },
  );

  it('that sends several arguments has its acknowledgement, and its context from the last one', async () => {
    const socket = io(`http://127.0.0.1:${test.port}/room-9`, { transports: ['websocket'], forceNew: true, reconnection: false });
    expect(await socket.timeout(2000).emitWithAck('tell', { n: 1 }, { traceparent: MESSAGE })).toBe('done');
    const message = await test.recorder.waitForSpan('message tell');
    expect(message.parentSpanContext?.spanId).toBe('2222222222222222');
    socket.disconnect();
  });
});
