/** A collector on a real socket: takes OTLP or Zipkin spans, answers as it is told, and decodes with code of its own. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { hexIn, type Message, messagesIn, numberIn, readMessage, textIn } from './protobuf.js';

export interface ReceivedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly kind: number;
  readonly attributes: Record<string, unknown>;
  readonly status: number;
  readonly startNanos: number;
  readonly endNanos: number;
}

export interface ReceivedRequest {
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

type Behaviour = 'accept' | 'hang' | number | ((request: ReceivedRequest, response: ServerResponse) => void);

export class Collector {
  readonly requests: ReceivedRequest[] = [];
  behaviour: Behaviour = 'accept';
  url = '';
  private readonly sockets = new Set<Socket>();
  private waiters: (() => void)[] = [];

  private constructor(private readonly server: Server) {
    server.on('connection', socket => this.sockets.add(socket.on('close', () => this.sockets.delete(socket))));
    server.on('request', (request: IncomingMessage, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const raw = Buffer.concat(chunks);
        const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw;
        const received = { url: request.url ?? '', headers: request.headers, body };
        this.requests.push(received);
        for (const waiter of this.waiters.splice(0)) waiter();
        if (this.behaviour === 'hang') return;
        if (typeof this.behaviour === 'function') {
          this.behaviour(received, response);
          return;
        }
        response.statusCode = this.behaviour === 'accept' ? 200 : this.behaviour;
        response.end();
      });
    });
  }

  static async start(behaviour: Behaviour = 'accept'): Promise<Collector> {
    const collector = new Collector(createServer());
    collector.behaviour = behaviour;
    await new Promise<void>(resolve => void collector.server.listen(0, '127.0.0.1', resolve));
    collector.url = `http://127.0.0.1:${(collector.server.address() as AddressInfo).port}`;
    return collector;
  }

  /** Waits until so many requests have come. */
  async received(count: number): Promise<void> {
    while (this.requests.length < count) await new Promise<void>(resolve => this.waiters.push(resolve));
  }

  /** Waits until so many spans have come, or so long. */
  async receivedSpans(count: number, timeoutMs: number): Promise<void> {
    const deadline = new Promise<'late'>(resolve => setTimeout(resolve, timeoutMs, 'late').unref());
    while (this.spans.length < count) {
      const next = new Promise<void>(resolve => this.waiters.push(resolve));
      if ((await Promise.race([next, deadline])) === 'late') return;
    }
  }

  /** The spans of all OTLP protobuf requests. */
  get spans(): ReceivedSpan[] {
    return this.resources.flatMap(resource => messagesIn(resource, 2).flatMap(scope => messagesIn(scope, 2).map(readSpan)));
  }

  get resourceAttributes(): Record<string, unknown>[] {
    return this.resources.flatMap(resource => messagesIn(resource, 1).map(message => readAttributes(message, 1)));
  }

  get scopes(): { name: string; version: string; schemaUrl: string }[] {
    return this.resources.flatMap(resource =>
      messagesIn(resource, 2).flatMap(group =>
        messagesIn(group, 1).map(scope => ({ name: textIn(scope, 1), version: textIn(scope, 2), schemaUrl: textIn(group, 3) })),
      ),
    );
  }

  /** Lets go of clients that have nothing to say, as servers do after a while. */
  closeIdleConnections(): void {
    this.server.closeIdleConnections();
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>(resolve => void this.server.close(() => resolve()));
  }

  private get resources(): Message[] {
    return this.requests.flatMap(request => messagesIn(readMessage(request.body), 1));
  }
}

function readSpan(span: Message): ReceivedSpan {
  return {
    name: textIn(span, 5),
    traceId: hexIn(span, 1),
    spanId: hexIn(span, 2),
    parentSpanId: hexIn(span, 4),
    kind: numberIn(span, 6),
    attributes: readAttributes(span, 9),
    status: messagesIn(span, 15).map(status => numberIn(status, 3))[0] ?? 0,
    startNanos: numberIn(span, 7),
    endNanos: numberIn(span, 8),
  };
}

function readAttributes(message: Message, field: number): Record<string, unknown> {
  return Object.fromEntries(messagesIn(message, field).map(pair => [textIn(pair, 1), messagesIn(pair, 2).map(readValue)[0]]));
}

function readValue(value: Message): unknown {
  if (value.has(1)) return textIn(value, 1);
  if (value.has(2)) return numberIn(value, 2) === 1;
  if (value.has(3)) return numberIn(value, 3);
  if (value.has(4)) {
    const bits = Buffer.alloc(8);
    bits.writeBigUInt64LE(value.get(4)?.[0] as bigint);
    return bits.readDoubleLE();
  }
  return messagesIn(value, 5).flatMap(list => messagesIn(list, 1).map(readValue));
}
