import { Controller, Get, Inject, Injectable, Scope } from '@nestjs/common';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { Test } from '@nestjs/testing';
import { type MessageMappingProperties, type OnGatewayConnection, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { io } from 'socket.io-client';
import { Span, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { SocketApplication } from './socket-application.js';

@Injectable()
class Service {
  @Span() work() {
    return 'done';
  }
}

@WebSocketGateway()
class Gateway {
  constructor(@Inject(Service) readonly service: Service) {}
  @SubscribeMessage('take') take() {
    return this.service.work();
  }
}

@Controller()
class Web {
  @Get('hello') hello() {
    return 'hello';
  }
}

/** An adapter that binds message handlers in its own way. */
class CustomAdapter extends IoAdapter {
  override bindMessageHandlers(socket: Parameters<IoAdapter['bindMessageHandlers']>[0], handlers: MessageMappingProperties[]): void {
    for (const { message, callback } of handlers) {
      const answer = async (data: unknown, ack: (value: unknown) => void) => ack(await (callback(data) as Promise<unknown>));
      socket.on(message as string, (data: unknown, ack: (value: unknown) => void) => void answer(data, ack));
    }
  }
}

describe('gateways', () => {
  it('behind an adapter of the user have the same spans', async () => {
    const test = await SocketApplication.start('socket.io', {
      gateways: [Gateway],
      providers: [Service],
      adapt: app => new CustomAdapter(app),
    });
    const client = await test.connect();
    // This adapter does not support streams.
    expect(await client.ask('take')).toBe('done');
    const message = await test.recorder.waitForSpan('message take');
    expect(message.attributes['code.function.name']).toBe('Gateway.take');
    await client.close();
    await test.close();
  });

  it('of a request scope have the same spans', async () => {
    @WebSocketGateway()
    @Injectable({ scope: Scope.REQUEST })
    class Scoped implements OnGatewayConnection {
      handleConnection() {
        // The spec only needs the method.
      }
      @SubscribeMessage('take') take() {
        return { event: 'took', data: 1 };
      }
    }
    const test = await SocketApplication.start('ws', { gateways: [Scoped] });
    const client = await test.connect();
    await test.recorder.waitForSpan('connect /');
    client.send('take');
    await test.recorder.waitForSpan('message take');
    await client.close();
    await test.close();
  });

  it('of a testing module have them too, and leave requests of the same application alone', async () => {
    const recorder = new TraceRecorder();
    const module = await Test.createTestingModule({
      imports: [TracingModule.forRoot({ exporter: recorder, outbound: { fetch: false } })],
      controllers: [Web],
      providers: [Gateway, Service],
    }).compile();
    const app = module.createNestApplication({ logger: false });
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    const socket = io(url, { transports: ['polling', 'websocket'], reconnection: false });
    expect(await socket.emitWithAck('take')).toBe('done');
    await fetch(`${url}/hello`, { headers: { connection: 'close' } });
    await recorder.waitForSpan('GET /hello');
    socket.disconnect();
    await app.close();
    expect(recorder.spans.map(({ name }) => name)).toEqual(['connect /', 'Service.work', 'message take', 'GET /hello']);
  });

  it('are as they were once the application is closed', async () => {
    const method = () => Object.getOwnPropertyDescriptor(Gateway.prototype, 'take')?.value as unknown;
    const before = method();
    const test = await SocketApplication.start('ws', { gateways: [Gateway], providers: [Service] });
    expect(method()).not.toBe(before);
    await test.close();
    expect(method()).toBe(before);
  });
});
