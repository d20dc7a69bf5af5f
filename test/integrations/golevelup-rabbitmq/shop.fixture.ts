/**
 * Applications with `@golevelup/nestjs-rabbitmq`, which requires Nest, so they run in their own process. The program runs one application
 * after the other and prints their spans. Arguments: the port of a RabbitMQ, and `plain`, `official-first` or `ours-first`.
 */
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { Inject, Injectable, Module, type Provider } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AmqplibInstrumentation } from '@opentelemetry/instrumentation-amqplib';
import type * as Golevelup from '@golevelup/nestjs-rabbitmq';
import { type InboundOptions, NoSpan, type OutboundOptions, Span, Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';

const [, , port, mode] = process.argv;
const require = createRequire(import.meta.url);
const instrumentation = mode === 'plain' ? undefined : new AmqplibInstrumentation();
const { AmqpConnection, AmqpConnectionManager, defaultNackErrorHandler, Nack, RabbitHandler, RabbitMQModule, RabbitRPC, RabbitSubscribe } =
  require('@golevelup/nestjs-rabbitmq') as typeof Golevelup;
/** This package is installed for other specs, without types. */
const amqplib = require('amqplib') as { connect(url: string): Promise<Broker> };

interface Message {
  readonly content: Buffer;
  readonly properties: { readonly headers: Record<string, unknown> };
}
interface Channel {
  assertQueue(name: string, options?: object): Promise<{ queue: string }>;
  bindQueue(queue: string, exchange: string, key: string): Promise<unknown>;
  get(queue: string, options: object): Promise<Message | false>;
  publish(exchange: string, key: string, content: Buffer, options?: object): boolean;
}
interface Broker {
  createChannel(): Promise<Channel>;
  close(): Promise<void>;
}

const uri = `amqp://guest:guest@127.0.0.1:${port}`;
const nothing = (): void => undefined;
const logger = { log: nothing, warn: nothing, error: nothing, debug: nothing, verbose: nothing };
const config = {
  uri,
  logger,
  exchanges: [{ name: 'shop', type: 'topic', options: { durable: false } }],
  connectionInitOptions: { timeout: 20_000 },
  connectionManagerOptions: { reconnectTimeInSeconds: 0.05, connectionOptions: { clientProperties: { connection_name: 'the shop' } } },
  defaultPublishOptions: { appId: 'shop', headers: { team: 'red' } },
};
const once = { durable: false, autoDelete: true };

@Injectable()
class Handlers {
  readonly log: string[] = [];
  private waiting: (() => void)[] = [];
  private attempts = 0;
  constructor(
    @Inject(AmqpConnection) private readonly connection: Golevelup.AmqpConnection,
    private readonly tracer: Tracer,
  ) {}

  @RabbitSubscribe({
    exchange: 'shop',
    routingKey: 'orders.*',
    queue: 'billing',
    queueOptions: once,
    errorHandler: defaultNackErrorHandler,
  })
  async onOrder(order: { id: number; fails?: string }, raw: Message) {
    await this.store();
    this.note(`order ${JSON.stringify(order)} ${Object.keys(raw.properties.headers).sort().join()}`);
    if (order.fails === 'throws') throw new RangeError('no such order');
    if (order.fails === 'nack') return new Nack(false);
    return order.fails === 'requeue' && this.attempts++ === 0 ? new Nack(true) : undefined;
  }

  @RabbitRPC({ exchange: 'shop', routingKey: 'price', queue: 'prices', queueOptions: once, errorHandler: defaultNackErrorHandler })
  async price({ id }: { id: number }) {
    await this.store();
    if (id < 0) throw new RangeError('no such item');
    return { id, price: 7 };
  }

  @(RabbitHandler({
    type: 'subscribe',
    exchange: 'shop',
    routingKey: ['a.one', 'b.*'],
    queueOptions: { ...once, exclusive: true },
  }) as MethodDecorator)
  onAny() {
    this.note('any');
  }

  @RabbitSubscribe({ exchange: 'shop', routingKey: 'many', queue: 'batches', queueOptions: once, batchOptions: { size: 3, timeout: 50 } })
  async onMany(orders: object[]) {
    await this.store();
    this.note(`many ${orders.length}`);
  }

  @NoSpan()
  @RabbitSubscribe({ exchange: 'shop', routingKey: 'quiet', queue: 'quiet', queueOptions: once })
  async onQuiet() {
    await this.connection.publish('shop', 'orders.quiet', { id: 1 });
  }

  @Span() async store() {
    await Promise.resolve();
  }

  inRequest<T>(fn: (connection: Golevelup.AmqpConnection) => Promise<T>): Promise<T> {
    return this.tracer.span('request', () => fn(this.connection));
  }

  async handled(count: number) {
    while (this.log.length < count) await new Promise<void>(resolve => this.waiting.push(resolve));
  }

  private note(line: string) {
    this.log.push(line);
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

interface Setup {
  readonly inbound?: InboundOptions;
  readonly outbound?: OutboundOptions;
  readonly enabled?: boolean;
}

interface Running {
  readonly recorder: TraceRecorder;
  readonly handlers: Handlers;
  readonly connection: Golevelup.AmqpConnection;
  readonly manager: Golevelup.AmqpConnectionManager;
  /** Another client of the broker that is not traced. */
  readonly wire: Channel;
}

const printed: Record<string, object> = {};

async function scenario(name: string, setup: Setup, run: (running: Running) => Promise<unknown>) {
  const recorder = new TraceRecorder();
  const { inbound, outbound, enabled } = setup;
  const providers: Provider[] = [Handlers];
  @Module({
    imports: [
      RabbitMQModule.forRoot(config),
      TracingModule.forRoot({ serviceName: 'shop', exporter: recorder, inbound, outbound, enabled }),
    ],
    providers,
  })
  class AppModule {}
  const application = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
  const connection = application.get(AmqpConnection);
  const broker = await amqplib.connect(uri);
  const wire = await broker.createChannel();
  let seen: unknown;
  try {
    seen = await run({ recorder, handlers: application.get(Handlers), connection, manager: application.get(AmqpConnectionManager), wire });
  } finally {
    await application.close();
    await broker.close();
  }
  printed[name] = { seen, own: Object.getOwnPropertyNames(connection).sort(), spans: recorder.spans.map(span => print(span, recorder)) };
}

function print(span: FinishedSpan, recorder: TraceRecorder): object {
  const line = (of: FinishedSpan): string => {
    const parent = recorder.parentOf(of);
    return parent === undefined ? of.name : `${line(parent)} > ${of.name}`;
  };
  const linked = span.links.map(
    ({ context }) => recorder.spans.find(other => other.spanContext().spanId === context.spanId)?.name ?? context.spanId,
  );
  return {
    line: line(span),
    name: span.name,
    kind: span.kind,
    scope: span.instrumentationScope.name,
    isRoot: span.parentSpanContext === undefined,
    parentSpanId: span.parentSpanContext?.spanId,
    traceId: span.spanContext().traceId,
    spanId: span.spanContext().spanId,
    links: linked,
    attributes: span.attributes,
    status: span.status,
    exceptions: span.events.map(({ attributes }) => attributes?.['exception.message']),
  };
}

const consumed = (count: number) => (spans: readonly FinishedSpan[]) =>
  spans.filter(({ name }) => /^consume|process$/.test(name)).length >= count;
const patient = { timeoutMs: 15_000 };
const foreign = 'a'.repeat(32);
const foreignHeader = { traceparent: `00-${foreign}-${'b'.repeat(16)}-01` };

async function plain() {
  await scenario('published', {}, async ({ handlers, recorder }) => {
    await handlers.inRequest(connection => connection.publish('shop', 'orders.created', { id: 7 }, { messageId: 'm1' }));
    await recorder.waitForSpans(consumed(1), patient);
    return handlers.log;
  });
  await scenario('requested', {}, async ({ handlers, recorder }) => {
    const request = { exchange: 'shop', routingKey: 'price', payload: { id: 7 }, correlationId: 'c1', headers: { mine: 'kept' } };
    const answer = await handlers.inRequest(connection => connection.request(request));
    await recorder.waitForTrace(undefined, patient);
    return { answer };
  });
  await scenario('request without an answer', {}, async ({ handlers, recorder }) => {
    const request = { exchange: 'shop', routingKey: 'nobody', payload: {}, timeout: 50 };
    const error = await handlers.inRequest(connection => connection.request(request)).catch((thrown: unknown) => (thrown as Error).message);
    await recorder.waitForTrace(undefined, patient);
    return { error };
  });
  await scenario('reply to another client', {}, async ({ wire, recorder }) => {
    const { queue } = await wire.assertQueue('', { exclusive: true });
    wire.publish('shop', 'price', Buffer.from('{"id":1}'), { replyTo: queue, correlationId: 'c2', headers: { mine: 'kept' } });
    await recorder.waitForSpans(consumed(1), patient);
    const reply = await message(wire, queue);
    return { content: reply.content.toString(), headers: reply.properties.headers };
  });
  await scenario('headers of the user', {}, async ({ handlers, wire, recorder }) => {
    const { queue } = await wire.assertQueue('', { exclusive: true });
    const given = { headers: { ...foreignHeader, mine: 'kept' } };
    await handlers.inRequest(connection => connection.publish('', queue, Buffer.from('raw'), given));
    await recorder.waitForTrace(undefined, patient);
    const { content, properties } = await message(wire, queue);
    return { content: content.toString(), headers: properties.headers, given };
  });
  for (const enabled of [true, false]) {
    await scenario(`wire ${enabled}`, { enabled }, async ({ connection, wire }) => {
      const { queue } = await wire.assertQueue('', { exclusive: true });
      await connection.publish('', queue, { text: 'ü', list: [1] }, { priority: 1, type: 't', headers: { mine: 'kept' } });
      await connection.publish('', queue, undefined);
      const both = [await message(wire, queue), await message(wire, queue)];
      return both.map(({ content, properties }) => ({ content: content.toString('hex'), properties }));
    });
  }
  await scenario('sent to a queue', {}, async ({ handlers, recorder }) => {
    await handlers.inRequest(connection => connection.managedChannel.sendToQueue('billing', Buffer.from('{"id":2}'), {}));
    await recorder.waitForSpans(consumed(1), patient);
  });
  for (const fails of ['throws', 'nack', 'requeue']) {
    await scenario(`handler ${fails}`, {}, async ({ handlers, recorder }) => {
      await handlers.inRequest(connection => connection.publish('shop', 'orders.bad', { id: 7, fails }));
      await recorder.waitForSpans(consumed(fails === 'requeue' ? 2 : 1), patient);
    });
  }
  await scenario('content that cannot be read', {}, async ({ handlers, recorder }) => {
    await handlers.inRequest(connection => connection.publish('shop', 'orders.bad', Buffer.from('{')));
    await recorder.waitForSpans(consumed(1), patient);
    return handlers.log;
  });
  await scenario('batch', {}, async ({ handlers, recorder }) => {
    for (const id of [1, 2, 3]) await handlers.inRequest(connection => connection.publish('shop', 'many', { id }));
    await recorder.waitForSpans(consumed(1), patient);
    return handlers.log;
  });
  await scenario('server-named queue', {}, async ({ handlers, recorder }) => {
    await handlers.inRequest(connection => connection.publish('shop', 'b.two', {}));
    await handlers.inRequest(connection => connection.publish('shop', 'a.one', {}));
    await recorder.waitForSpans(consumed(2), patient);
  });
  await scenario('linked', { inbound: { messageOrigin: 'link' } }, async ({ handlers, recorder }) => {
    await handlers.inRequest(connection => connection.publish('shop', 'orders.created', { id: 7 }));
    await handlers.inRequest(connection => connection.request({ exchange: 'shop', routingKey: 'price', payload: { id: 1 } }));
    await recorder.waitForSpans(consumed(2), patient);
  });
  await scenario('untrusted', { inbound: { trust: false } }, async ({ handlers, recorder }) => {
    await handlers.inRequest(connection => connection.publish('shop', 'orders.created', { id: 7 }));
    await recorder.waitForSpans(consumed(1), patient);
  });
  await scenario(
    'ignored',
    { inbound: { ignoreMessages: ['shop:orders.seen*'] }, outbound: { ignoreMessages: ['shop:orders.sent'] } },
    async ({ handlers, recorder }) => {
      await handlers.inRequest(connection => connection.publish('shop', 'orders.seen', { id: 1 }));
      await handlers.inRequest(connection => connection.publish('shop', 'orders.sent', { id: 2 }));
      await handlers.handled(2);
      await recorder.waitForSpans(consumed(1), patient);
      return handlers.log;
    },
  );
  await scenario('not traced', {}, async ({ handlers, recorder }) => {
    await handlers.inRequest(connection => connection.publish('shop', 'quiet', {}));
    await recorder.waitForSpans(consumed(1), patient);
  });
  await scenario('disabled', { enabled: false }, async ({ wire }) => {
    const { queue } = await wire.assertQueue('', { exclusive: true });
    await wire.bindQueue(queue, 'shop', 'orders.quiet');
    wire.publish('shop', 'quiet', Buffer.from('{}'), { headers: foreignHeader });
    return (await message(wire, queue)).properties.headers;
  });
  await scenario('added to the manager', {}, async ({ handlers, manager, recorder }) => {
    const other = new AmqpConnection({ ...config, name: 'other' });
    manager.addConnection(other);
    await other.init();
    await other.createSubscriber(async () => handlers.store(), { queue: 'by-hand', queueOptions: once }, 'by hand');
    await handlers.inRequest(() => other.publish('', 'by-hand', {}));
    await recorder.waitForSpans(consumed(1), patient);
  });
}

async function message(wire: Channel, queue: string): Promise<Message> {
  for (let looks = 0; looks < 500; looks++) {
    const found = await wire.get(queue, { noAck: true });
    if (found !== false) return found;
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  throw new Error('no message came');
}

/** Runs beside the official instrumentation. */
async function instrumented() {
  if (mode === 'ours-first') instrumentation?.disable();
  await scenario('instrumented', {}, async ({ handlers, connection, recorder }) => {
    if (mode === 'ours-first') instrumentation?.enable();
    await handlers.inRequest(() => connection.publish('shop', 'orders.created', { id: 7 }));
    await handlers.inRequest(() => connection.publish('shop', 'orders.bad', { id: 8, fails: 'throws' }));
    await recorder.waitForSpans(consumed(2), patient);
    await handlers.inRequest(() => connection.request({ exchange: 'shop', routingKey: 'price', payload: { id: 1 } }));
    await recorder.waitForSpans(consumed(3), patient);
    // The message waits until the connection is restored.
    const lost = new Promise(resolve => connection.managedConnection.once('disconnect', resolve));
    (connection.connection as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
    await lost;
    await handlers.inRequest(() => connection.publish('shop', 'orders.late', { id: 9 }));
    await handlers.handled(3);
    await recorder.waitForSpans(consumed(4), patient);
  });
}

(mode === 'plain' ? plain() : instrumented()).then(
  () => {
    process.stdout.write(`${JSON.stringify(printed)}\n`);
    process.exit(0);
  },
  (error: unknown) => {
    console.error(error, Object.keys(printed));
    process.exit(1);
  },
);
