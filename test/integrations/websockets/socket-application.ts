/** Starts a traced application with gateways on one of Nest's WebSocket adapters, and clients with real sockets. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type INestApplication, Module, type Type, type WebSocketAdapter } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { WsAdapter } from '@nestjs/platform-ws';
import { io, type Socket } from 'socket.io-client';
import { WebSocket } from 'ws';
import { TracingModule, type TracingOptions } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

export const socketAdapters = ['socket.io', 'ws'] as const;
export type SocketAdapterName = (typeof socketAdapters)[number];

export interface Setup {
  readonly gateways: Type[];
  readonly providers?: NonNullable<Parameters<typeof Module>[0]['providers']>;
  readonly controllers?: Type[];
  readonly tracing?: TracingOptions;
  readonly adapt?: (app: INestApplication) => WebSocketAdapter;
}

/** What both kinds of clients can do. */
export interface Client {
  readonly received: { event: string; data: unknown }[];
  send(event: string, data?: unknown, beside?: object): void;
  /** Resolves to the acknowledgement. With `ws` it resolves to the next answer. */
  ask(event: string, data?: unknown): Promise<unknown>;
  next(event: string): Promise<unknown>;
  close(): Promise<void>;
}

export class SocketApplication {
  private constructor(
    readonly app: INestApplication,
    readonly recorder: TraceRecorder,
    readonly port: number,
    private readonly adapter: SocketAdapterName,
  ) {}

  static async start(adapter: SocketAdapterName, setup: Setup): Promise<SocketApplication> {
    const recorder = new TraceRecorder();
    @Module({
      imports: [TracingModule.forRoot({ serviceName: 'sockets', exporter: recorder, ...setup.tracing })],
      controllers: setup.controllers ?? [],
      providers: [...setup.gateways, ...(setup.providers ?? [])],
    })
    class AppModule {}
    const app = await NestFactory.create(AppModule, { logger: false, forceCloseConnections: true });
    app.useWebSocketAdapter(setup.adapt?.(app) ?? (adapter === 'ws' ? new WsAdapter(app) : new IoAdapter(app)));
    await app.listen(0, '127.0.0.1');
    const { port } = app.getHttpServer().address() as AddressInfo;
    return new SocketApplication(app, recorder, port, adapter);
  }

  get system(): string {
    return this.adapter === 'ws' ? 'websocket' : 'socket.io';
  }

  connect(options: ConnectOptions = {}): Promise<Client> {
    return this.adapter === 'ws' ? connectWs(this.port, options) : connectIo(this.port, options);
  }

  close(): Promise<void> {
    return this.app.close();
  }
}

export interface ConnectOptions {
  readonly headers?: Record<string, string>;
  readonly namespace?: string;
  readonly path?: string;
  readonly query?: string;
  readonly auth?: object;
  readonly transports?: string[];
}

async function connectIo(port: number, options: ConnectOptions): Promise<Client> {
  const socket: Socket = io(`http://127.0.0.1:${port}${options.namespace ?? ''}`, {
    transports: options.transports ?? ['websocket'],
    forceNew: true,
    reconnection: false,
    ...(options.headers && { extraHeaders: options.headers }),
    ...(options.auth && { auth: options.auth }),
  });
  const client = new Inbox();
  socket.onAny((event: string, data: unknown) => client.take(event, data));
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', reject);
  });
  return Object.assign(client, {
    send: (event: string, data: unknown, beside?: object) => (beside ? socket.emit(event, data, beside) : socket.emit(event, data)),
    ask: (event: string, data: unknown) => socket.timeout(2000).emitWithAck(event, data) as Promise<unknown>,
    close: () => {
      socket.disconnect();
      return Promise.resolve();
    },
  });
}

async function connectWs(port: number, options: ConnectOptions): Promise<Client> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${options.path ?? '/'}${options.query ?? ''}`, { headers: options.headers ?? {} });
  const client = new Inbox();
  socket.on('message', (data: Buffer) => {
    const parsed = JSON.parse(data.toString()) as { event?: string; data?: unknown };
    client.take(parsed.event ?? 'answer', parsed.event === undefined ? parsed : parsed.data);
  });
  await once(socket, 'open');
  const send = (event: string, data: unknown, beside?: object) => socket.send(JSON.stringify({ event, data, ...beside }));
  return Object.assign(client, {
    send,
    ask: (event: string, data: unknown) => {
      const answer = client.next('answer');
      send(event, data);
      return answer;
    },
    close: async () => {
      if (socket.readyState === WebSocket.CLOSED) return;
      socket.close();
      await once(socket, 'close');
    },
  });
}

class Inbox {
  readonly received: { event: string; data: unknown }[] = [];
  private readonly waiting: { event: string; resolve: (data: unknown) => void }[] = [];

  take(event: string, data: unknown): void {
    const index = this.waiting.findIndex(waiter => waiter.event === event);
    if (index < 0) this.received.push({ event, data });
    else this.waiting.splice(index, 1)[0]?.resolve(data);
  }

  next(event: string): Promise<unknown> {
    const index = this.received.findIndex(message => message.event === event);
    if (index >= 0) return Promise.resolve(this.received.splice(index, 1)[0]?.data);
    return new Promise(resolve => this.waiting.push({ event, resolve }));
  }
}
