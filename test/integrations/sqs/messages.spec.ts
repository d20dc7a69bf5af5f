import {
  type Message,
  type MessageAttributeValue,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQS,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { Consumer } from 'sqs-consumer';
import { Span, Tracer } from '../../../lib/index.js';
import { Broker } from '../../../sample/brokers/broker.js';
import { elasticmq } from '../../../sample/brokers/elasticmq.js';
import type { QueueSetup } from '../queue-application.js';
import { clientOf, createQueue, describeWithSqs, SqsApplication } from './sqs.js';
import { untraced } from '../../untraced-call.js';

@Injectable()
class Work {
  readonly seen: Message[] = [];
  constructor(readonly tracer: Tracer) {}

  @Span() async do(message: Message) {
    await Promise.resolve();
    this.seen.push(message);
    if (message.Body === 'broken') throw new RangeError('broken');
  }
}

const QUEUES = 'queues';
interface Queues {
  readonly sqs: () => SQSClient;
  readonly orders: string;
  readonly batches: string;
}

/** Consumers with their own clients. */
@Injectable()
class Consumers implements OnModuleInit, OnApplicationShutdown {
  readonly orders: Consumer;
  readonly batches: Consumer;

  constructor(work: Work, @Inject(QUEUES) queues: Queues) {
    const polling = { waitTimeSeconds: 1, pollingWaitTimeMs: 5 };
    const handleMessage = async (message: Message) => {
      await work.do(message);
      return message;
    };
    const handleMessageBatch = async (messages: Message[]) => {
      for (const message of messages) await work.do(message);
      return messages;
    };
    this.orders = Consumer.create({ queueUrl: queues.orders, sqs: queues.sqs(), handleMessage, ...polling });
    this.batches = Consumer.create({ queueUrl: queues.batches, sqs: queues.sqs(), batchSize: 10, handleMessageBatch, ...polling });
    for (const consumer of [this.orders, this.batches]) {
      // Errors of a poll that the application ends, and of handlers that throw.
      consumer.on('error', () => undefined);
      consumer.on('processing_error', () => undefined);
    }
  }

  onModuleInit() {
    this.orders.start();
    this.batches.start();
  }

  onApplicationShutdown() {
    this.orders.stop({ abort: true });
    this.batches.stop({ abort: true });
  }
}

const CLIENT = 'client';

describeWithSqs('a message of SQS', () => {
  let broker: Broker;
  let application: SqsApplication | undefined;
  let sqs: SQSClient;
  const urls = new Map<string, string>();
  const url = (name: string) => urls.get(name)!;
  beforeAll(async () => {
    broker = await Broker.start(elasticmq);
  });
  afterAll(() => broker?.stop());
  beforeEach(async () => {
    for (const name of ['orders', 'batches', 'unread']) urls.set(name, await createQueue(broker, `${name}-${Date.now()}`));
    sqs = clientOf(broker);
  });
  afterEach(async () => {
    await application?.close();
    application = undefined;
    sqs.destroy();
  });

  const start = async (setup: QueueSetup = {}) => {
    const queues: Queues = { orders: url('orders'), batches: url('batches'), sqs: () => clientOf(broker) };
    application = await SqsApplication.start({
      ...setup,
      providers: [Work, { provide: CLIENT, useValue: sqs }, { provide: QUEUES, useValue: queues }, Consumers, ...(setup.providers ?? [])],
    });
    return application;
  };
  const named = (queue: string, operation: string) => `${operation} ${url(queue).slice(url(queue).lastIndexOf('/') + 1)}`;
  const done = (count: number) =>
    application!.recorder.waitForSpans(
      () => {
        const works = application!.named('Work.do');
        return works.length >= count && works.every(span => application!.parentOf(span) !== undefined);
      },
      { timeoutMs: 10_000 },
    );
  /** Reads a message directly from the queue. */
  const received = async (queue: string) => {
    const client = clientOf(broker);
    const command = new ReceiveMessageCommand({
      QueueUrl: url(queue),
      MessageAttributeNames: ['All'],
      MaxNumberOfMessages: 10,
      WaitTimeSeconds: 2,
    });
    const { Messages } = await untraced(() => client.send(command));
    client.destroy();
    return Messages ?? [];
  };
  const text = (StringValue: string): MessageAttributeValue => ({ DataType: 'String', StringValue });

  it('is one trace: who sends it, the sending, the processing, what the handler does', async () => {
    const { recorder } = await start();
    const { MessageId } = await application!.inRequest(() =>
      sqs.send(new SendMessageCommand({ QueueUrl: url('orders'), MessageBody: 'one' })),
    );
    await done(1);
    await recorder.waitForTrace();
    expect(recorder.tree()).toBe(
      ['request', `  ${named('orders', 'send')} (producer)`, `    ${named('orders', 'process')} (consumer)`, '      Work.do'].join('\n'),
    );
    const sending = recorder.find(named('orders', 'send'))!;
    const processing = recorder.find(named('orders', 'process'))!;
    expect(sending.kind).toBe(SpanKind.PRODUCER);
    expect(processing.links.map(({ context }) => context.spanId)).toEqual([sending.spanContext().spanId]);
    const common = {
      'messaging.system.name': 'aws.sqs',
      'messaging.destination.name': named('orders', 'send').slice('send '.length),
      'messaging.message.id': MessageId,
      'aws.sqs.queue.url': url('orders'),
      'server.address': '127.0.0.1',
      'server.port': broker.port,
    };
    expect(sending.attributes).toEqual({ ...common, 'messaging.operation.name': 'send', 'messaging.operation.type': 'send' });
    expect(processing.attributes).toEqual({
      ...common,
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
    });
  });

  it('keeps what the user gave: body, attributes, and the command itself, which can be sent again', async () => {
    await start();
    const MessageAttributes = Object.freeze({ color: text('blue') });
    const input = Object.freeze({ QueueUrl: url('unread'), MessageBody: 'one', MessageAttributes });
    const command = new SendMessageCommand(input);
    await application!.inRequest(() => sqs.send(command));
    await application!.inRequest(() => sqs.send(command));
    expect(command.input).toBe(input);
    const spans = application!.named(named('unread', 'send'));
    const messages = [...(await received('unread')), ...(await received('unread'))];
    expect(messages.map(({ Body }) => Body)).toEqual(['one', 'one']);
    for (const { MessageAttributes } of messages) expect(MessageAttributes!['color']!.StringValue).toBe('blue');
    const parents = messages.map(message => message.MessageAttributes!['traceparent']!.StringValue!.split('-')[2]);
    expect(parents.sort()).toEqual(spans.map(span => span.spanContext().spanId).sort());
  });

  it('that fails to be handled fails the processing, with the error that the handler threw', async () => {
    const { recorder } = await start();
    await application!.inRequest(() => sqs.send(new SendMessageCommand({ QueueUrl: url('orders'), MessageBody: 'broken' })));
    const processing = await recorder.waitForSpan(named('orders', 'process'));
    expect(processing.status).toEqual({ code: SpanStatusCode.ERROR, message: 'broken' });
    expect(processing.attributes['error.type']).toBe('RangeError');
  });

  it('that is sent in a batch has one sending for all, and a processing of its own', async () => {
    const { recorder } = await start();
    const Entries = ['1', '2', '3'].map(Id => Object.freeze({ Id, MessageBody: Id }));
    await application!.inRequest(() => sqs.send(new SendMessageBatchCommand({ QueueUrl: url('orders'), Entries })));
    await done(3);
    await recorder.waitForTrace();
    const [sending, ...others] = application!.named(named('orders', 'send'));
    expect(others).toEqual([]);
    expect(sending!.attributes['messaging.batch.message_count']).toBe(3);
    const processings = application!.named(named('orders', 'process'));
    expect(processings.map(span => application!.parentOf(span))).toEqual([sending, sending, sending]);
  });

  it('that is handled in a batch is a link of its processing, which is a trace of its own', async () => {
    const { recorder } = await start();
    const Entries = ['1', '2', '3'].map(Id => ({ Id, MessageBody: Id }));
    await application!.inRequest(() => sqs.send(new SendMessageBatchCommand({ QueueUrl: url('batches'), Entries })));
    await done(3);
    const sending = recorder.find(named('batches', 'send'))!;
    const processings = application!.named(named('batches', 'process'));
    const counts = processings.map(({ attributes }) => Number(attributes['messaging.batch.message_count']));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(3);
    for (const processing of processings) {
      expect(processing.parentSpanContext).toBeUndefined();
      expect(new Set(processing.links.map(({ context }) => context.spanId))).toEqual(new Set([sending.spanContext().spanId]));
    }
  });

  it('that SQS refuses in a batch fails the sending, while the others are sent', async () => {
    const { recorder } = await start();
    const Entries = [
      { Id: 'good', MessageBody: 'good' },
      { Id: 'bad', MessageBody: 'bad', DelaySeconds: 1, MessageAttributes: { odd: { DataType: 'Odd', StringValue: 'x' } } },
    ];
    const outcome = application!.inRequest(() => sqs.send(new SendMessageBatchCommand({ QueueUrl: url('orders'), Entries })));
    const settled = await outcome.then(
      ({ Failed }) => Failed ?? [],
      (error: unknown) => [error],
    );
    expect(settled).toHaveLength(1);
    expect((await recorder.waitForSpan(named('orders', 'send'))).status.code).toBe(SpanStatusCode.ERROR);
  });

  it('that is sent with a callback has its sending, and calls back where it was sent', async () => {
    const client = new SQS({
      endpoint: `http://127.0.0.1:${broker.port}`,
      region: 'x',
      credentials: { accessKeyId: 'x', secretAccessKey: 'x' },
    });
    const { recorder } = await start({ providers: [{ provide: 'other', useValue: client }] });
    const { tracer } = application!.context.get(Work);
    const [before, after] = await application!.inRequest(async () => {
      const before = tracer.traceId;
      const after = await new Promise((resolve, reject) => {
        client.sendMessage({ QueueUrl: url('orders'), MessageBody: 'one' }, (error: unknown, _output) =>
          error === null ? resolve([tracer.traceId, recorder.find('request')]) : reject(error),
        );
      });
      return [before, after];
    });
    expect(after).toEqual([before, undefined]);
    await done(1);
    expect(application!.parentOf(recorder.find(named('orders', 'process')))?.name).toBe(named('orders', 'send'));
    client.destroy();
  });

  it('keeps a context that the user wrote, to which its sending is linked', async () => {
    const { recorder } = await start();
    const MessageAttributes = { traceparent: text('00-11111111111111111111111111111111-2222222222222222-01') };
    await application!.inRequest(() =>
      sqs.send(new SendMessageCommand({ QueueUrl: url('orders'), MessageBody: 'own', MessageAttributes })),
    );
    await done(1);
    expect(recorder.find(named('orders', 'process'))!.parentSpanContext?.spanId).toBe('2222222222222222');
    expect(recorder.find(named('orders', 'send'))!.links.map(({ context }) => context.spanId)).toEqual(['2222222222222222']);
  });

  it.each([9, 10])('with %s attributes is sent as it is, with what of the context there is room for', async count => {
    await start();
    const MessageAttributes = Object.fromEntries(Array.from({ length: count }, (_, n) => [`own-${n}`, text(String(n))]));
    await application!.inRequest(() =>
      sqs.send(new SendMessageCommand({ QueueUrl: url('unread'), MessageBody: 'full', MessageAttributes })),
    );
    const [message] = await received('unread');
    const names = Object.keys(message!.MessageAttributes!);
    expect(names).toHaveLength(10);
    expect(names.filter(name => !name.startsWith('own-'))).toEqual(count === 9 ? ['traceparent'] : []);
  });

  it('links to its sending, from a trace of its own, where the options say so', async () => {
    const { recorder } = await start({ inbound: { messageOrigin: 'link' } });
    await application!.inRequest(() => sqs.send(new SendMessageCommand({ QueueUrl: url('orders'), MessageBody: 'one' })));
    const processing = await recorder.waitForSpan(named('orders', 'process'));
    expect(processing.parentSpanContext).toBeUndefined();
    expect(processing.links.map(({ context }) => context.spanId)).toEqual([recorder.find(named('orders', 'send'))!.spanContext().spanId]);
  });

  it('of a queue that the options ignore has no span and no context', async () => {
    const { recorder } = await start({
      outbound: { ignoreMessages: ['unread-*'] },
      inbound: { ignoreMessages: ['orders-*'] },
    });
    await application!.inRequest(() => sqs.send(new SendMessageCommand({ QueueUrl: url('unread'), MessageBody: 'one' })));
    const [message] = await received('unread');
    expect(message!.MessageAttributes).toBeUndefined();
    expect(recorder.spans.map(({ name }) => name)).toEqual(['request']);
  });

  it('that cannot be sent fails its sending, with the error that the caller gets', async () => {
    await start();
    const QueueUrl = `${url('unread')}-missing`;
    const sent = application!.inRequest(() => sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'one' })));
    const thrown: unknown = await sent.catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(Error);
    const sending = application!.recorder.find(`${named('unread', 'send')}-missing`);
    expect(sending!.status.code).toBe(SpanStatusCode.ERROR);
    expect(sending!.attributes['error.type']).toBe((thrown as Error).name);
  });

  it('is sent and handled as ever where tracing is off', async () => {
    const { recorder } = await start({ enabled: false });
    await sqs.send(new SendMessageCommand({ QueueUrl: url('orders'), MessageBody: 'one' }));
    const { seen } = application!.context.get(Work);
    for (let looks = 0; looks < 100 && seen.length === 0; looks++) await new Promise(resolve => setTimeout(resolve, 50));
    expect(seen).toHaveLength(1);
    expect(seen[0]!.MessageAttributes).toBeUndefined();
    expect(recorder.spans).toEqual([]);
  });

  it('leaves clients as they were when the application closes', async () => {
    await start();
    expect(Object.hasOwn(sqs, 'send')).toBe(true);
    await application!.close();
    application = undefined;
    expect(Object.hasOwn(sqs, 'send')).toBe(false);
  });
});
