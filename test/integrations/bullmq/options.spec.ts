import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BullModule, Processor, WorkerHost } from '@nestjs/bullmq';
import { Injectable, type OnModuleDestroy, type OnModuleInit, Scope } from '@nestjs/common';
import { context, propagation, ROOT_CONTEXT, trace, type Tracer as ApiTracer } from '@opentelemetry/api';
import { FlowProducer, type Job, Queue, type Telemetry, Worker } from 'bullmq';
import { Span, traceQueue } from '../../../lib/index.js';
import { Broker } from '../../../sample/brokers/broker.js';
import { redis } from '../../../sample/brokers/redis.js';
import { describeWithRedis, JobsApplication, type JobsSetup } from './jobs.js';

@Injectable()
class Work {
  @Span() async do(_job: Job) {
    await Promise.resolve();
  }
}

@Processor('mail')
class MailProcessor extends WorkerHost {
  constructor(private readonly work: Work) {
    super();
  }
  process(job: Job) {
    return this.work.do(job);
  }
}

/** BullMQ without @nestjs/bullmq. */
let port = 0;
@Injectable()
class Plain implements OnModuleInit, OnModuleDestroy {
  readonly queue = new Queue('plain', { connection: { host: '127.0.0.1', port } });
  worker: Worker | undefined;
  constructor(private readonly work: Work) {}
  onModuleInit() {
    this.worker = new Worker('plain', job => this.work.do(job), { connection: { host: '127.0.0.1', port } });
  }
  async onModuleDestroy() {
    await this.worker?.close();
    await this.queue.close();
  }
}

/** Telemetry of a user, as the package bullmq-otel implements it. */
function telemetryOfUser(tracer: ApiTracer): Telemetry {
  return {
    tracer: {
      startSpan: (name, options, ctx) => {
        const span = tracer.startSpan(`theirs ${name}`, options, ctx as never);
        return {
          setSpanOnContext: ctx => trace.setSpan(ctx as never, span),
          setAttribute: (key, value) => void span.setAttribute(key, value),
          setAttributes: attributes => void span.setAttributes(attributes),
          addEvent: (name, attributes) => void span.addEvent(name, attributes),
          recordException: (exception, time) => span.recordException(exception, time),
          end: () => span.end(),
        };
      },
    },
    contextManager: {
      with: (ctx, fn) => context.with(ctx as never, fn) as never,
      active: () => context.active(),
      root: () => ROOT_CONTEXT,
      getMetadata: ctx => {
        const carrier = {};
        propagation.inject(ctx as never, carrier);
        return JSON.stringify(carrier);
      },
      fromMetadata: (ctx, metadata) => propagation.extract(ctx as never, JSON.parse(metadata)),
    },
  };
}

describeWithRedis('the tracing of BullMQ', () => {
  let broker: Broker;
  let application: JobsApplication | undefined;
  beforeAll(async () => {
    broker = await Broker.start(redis);
    port = broker.port;
  });
  afterEach(() => application?.close());
  afterAll(() => broker?.stop());

  const start = async (setup: Partial<JobsSetup>) => {
    application = await JobsApplication.start(broker, { queues: ['mail'], providers: [Work, MailProcessor], ...setup });
    return application;
  };

  it('links jobs to their sending, from traces of their own, where the options say so', async () => {
    const { recorder } = await start({ inbound: { messageOrigin: 'link' } });
    await application!.inRequest(() => application!.queue('mail').add('welcome', {}));
    const processing = await recorder.waitForSpan('process mail');
    expect(processing.parentSpanContext).toBeUndefined();
    expect(processing.links.map(link => link.context.spanId)).toEqual([recorder.find('send mail')!.spanContext().spanId]);
    expect(recorder.parentOf(recorder.find('Work.do')!)).toBe(processing);
  });

  it('leaves out the queues that the options ignore, on either side', async () => {
    const { recorder } = await start({ outbound: { ignoreMessages: ['mail'] }, inbound: { ignoreMessages: [/^mail$/] } });
    const completed = new Promise(resolve => application!.context.get(MailProcessor).worker.once('completed', resolve));
    const job = await application!.inRequest(() => application!.queue('mail').add('welcome', {}));
    await completed;
    expect(recorder.spans.map(({ name }) => name)).toEqual(['request']);
    expect(job.opts.telemetry).toBeUndefined();
  });

  it('traces queues and workers that providers make themselves', async () => {
    const { recorder } = await start({ queues: [], providers: [Work, Plain] });
    await application!.inRequest(() => application!.context.get(Plain).queue.add('welcome', {}));
    await recorder.waitForSpan('process plain');
    await recorder.waitForTrace();
    expect(recorder.tree()).toBe(['request', '  send plain (producer)', '    process plain (consumer)', '      Work.do'].join('\n'));
  });

  it.each([
    ['request-scoped', Scope.REQUEST],
    ['transient', Scope.TRANSIENT],
  ])('traces queues and flow producers that a %s provider makes for itself', async (_scoped, scope) => {
    @Injectable({ scope })
    class Sender {
      readonly queue = new Queue('mail', { connection: { host: '127.0.0.1', port } });
      readonly flows = new FlowProducer({ connection: { host: '127.0.0.1', port } });
    }
    const { recorder } = await start({ providers: [Work, MailProcessor, Sender] });
    const sender = await application!.context.resolve(Sender);
    await application!.inRequest(() => sender.queue.add('welcome', {}));
    await recorder.waitForSpan('process mail');
    await recorder.waitForTrace();
    const tree = ['request', '  send mail (producer)', '    process mail (consumer)', '      Work.do'];
    expect(recorder.tree()).toBe(tree.join('\n'));
    await application!.inRequest(() => sender.flows.add({ name: 'welcome', queueName: 'mail', data: {} }));
    await recorder.waitForSpans(2 * tree.length);
    await recorder.waitForTrace();
    expect(recorder.tree()).toBe([...tree, ...tree].join('\n'));
    await sender.queue.close();
    await sender.flows.close();
  });

  it('traces a queue that it is shown', async () => {
    const { recorder } = await start({});
    const queue = traceQueue(traceQueue(new Queue('mail', { connection: { host: '127.0.0.1', port } })));
    await application!.inRequest(() => queue.add('welcome', {}));
    await recorder.waitForSpan('process mail');
    await queue.close();
    expect(recorder.spans.filter(({ name }) => name === 'send mail')).toHaveLength(1);
    expect(() => traceQueue({})).toThrow('traceQueue()');
  });

  it('stands aside where the user has given BullMQ a telemetry: one span per hop', async () => {
    const telemetry = telemetryOfUser(trace.getTracer('theirs'));
    const { recorder } = await start({ shared: { telemetry } });
    await application!.inRequest(() => application!.queue('mail').add('welcome', {}));
    const processing = await recorder.waitForSpan('theirs process mail');
    expect(recorder.parentOf(recorder.find('Work.do')!)).toBe(processing);
    expect(recorder.parentOf(processing)?.name).toBe('theirs add mail.welcome');
    expect(recorder.spans.filter(({ name }) => /^(send|process) /.test(name))).toEqual([]);
  });

  it('is understood by a worker with a telemetry of the user, and understands its queue', async () => {
    const { recorder } = await start({ queues: ['mail', 'theirs'] });
    const telemetry = telemetryOfUser(trace.getTracer('theirs'));
    const connection = { host: '127.0.0.1', port };
    const worker = new Worker('theirs', () => Promise.resolve(), { connection, telemetry });
    const queue = new Queue('mail', { connection, telemetry });
    await application!.inRequest(() => application!.queue('theirs').add('there', {}));
    const there = await recorder.waitForSpan('theirs process theirs');
    expect(recorder.parentOf(there)?.name).toBe('send theirs');
    await application!.inRequest(() => queue.add('back', {}));
    const back = await recorder.waitForSpan('process mail');
    expect(recorder.parentOf(back)?.name).toBe('theirs add mail.back');
    await Promise.all([worker.close(), queue.close()]);
  });

  it('traces workers that no provider keeps: of a queue with processors, also in a file, and those that are made later', async () => {
    const file = join(tmpdir(), `processor-${process.pid}.cjs`);
    writeFileSync(file, 'module.exports = job => Promise.resolve(job.name);');
    const here = (job: Job) => application!.context.get(Work).do(job);
    const { recorder } = await start({
      queues: ['mail', 'later'],
      imports: [
        BullModule.registerQueueAsync({ name: 'here', useFactory: () => ({ processors: [here] }) }),
        BullModule.registerQueue({ name: 'file', processors: [file] }),
      ],
    });
    const later = new Worker('later', here, { connection: { host: '127.0.0.1', port } });
    for (const name of ['here', 'file', 'later']) {
      await application!.inRequest(() => application!.queue(name).add('welcome', {}));
      const processing = await recorder.waitForSpan(`process ${name}`, { timeoutMs: 10_000 });
      expect(recorder.parentOf(processing)?.name).toBe(`send ${name}`);
    }
    await later.close();
    rmSync(file);
    expect(recorder.spans.filter(({ name }) => name === 'Work.do').map(span => recorder.parentOf(span)?.name)).toEqual([
      'process here',
      'process later',
    ]);
    expect(recorder.spans.filter(({ name }) => name.startsWith('process '))).toHaveLength(3);
  });

  it('traces a worker that no provider keeps in the oldest application that is alive', async () => {
    await start({ imports: [BullModule.registerQueue({ name: 'here', processors: [job => Promise.resolve(job.name)] })] });
    const younger = await JobsApplication.start(broker, { queues: ['younger'] });
    await application!.queue('here').add('first', {});
    await application!.recorder.waitForSpan('process here');
    const shared = new Worker('younger', () => Promise.resolve(), { connection: { host: '127.0.0.1', port } });
    await younger.queue('younger').add('first', {});
    await application!.recorder.waitForSpan('process younger');
    expect(younger.recorder.find('process younger')).toBeUndefined();
    await application!.close();
    await younger.queue('younger').add('second', {});
    expect((await younger.recorder.waitForSpan('process younger')).attributes['bullmq.job.name']).toBe('second');
    await shared.close();
    await younger.close();
    application = undefined;
  });

  it('has what a class of the user that extends Queue does when a job is added below the sending', async () => {
    class CheckedQueue extends Queue {
      override async add(...given: Parameters<Queue['add']>) {
        await application!.context.get(Work).do({} as Job);
        return super.add(...given);
      }
    }
    const { recorder } = await start({});
    const queue = traceQueue(new CheckedQueue('checked', { connection: { host: '127.0.0.1', port } }));
    await application!.inRequest(() => queue.add('welcome', {}));
    await queue.close();
    expect(recorder.tree()).toBe(['request', '  send checked (producer)', '    Work.do'].join('\n'));
  });

  it('leaves queues of the older bull alone, whose members are the same and whose processors are not', async () => {
    const older = { process() {}, add: (...given: unknown[]) => given, addBulk() {}, getJobCounts() {}, obliterate() {} };
    const { recorder } = await start({ providers: [{ provide: 'older', useValue: older }] });
    expect(application!.context.get<typeof older>('older').add({ to: 'ada' })).toEqual([{ to: 'ada' }]);
    expect(recorder.spans).toEqual([]);
  });

  it('processes a job whose headers make no sense, and begins a trace with it', async () => {
    const { recorder } = await start({});
    // This queue is not traced, so it writes the odd headers unchanged.
    const queue = new Queue('mail', { connection: { host: '127.0.0.1', port } });
    for (const headers of ['null', '"text"', '[1]', '{"traceparent":{"a":1}}', '{"traceparent":["00-zz"]}', '{', 'x'.repeat(100_000)]) {
      await queue.add('odd', {}, { telemetry: { metadata: headers } });
      const processing = await recorder.waitForSpan('process mail');
      expect(processing.parentSpanContext).toBeUndefined();
      recorder.clear();
    }
    await queue.close();
  });

  it('makes no span where tracing is off, and hands on what came in', async () => {
    const { recorder } = await start({ enabled: false });
    const completed = new Promise(resolve => application!.context.get(MailProcessor).worker.once('completed', resolve));
    const job = await application!.queue('mail').add('welcome', {});
    await completed;
    expect(job.opts.telemetry).toBeUndefined();
    expect(recorder.spans).toEqual([]);
  });

  it('lets jobs that are under way when the application closes come to their end, and delivers their spans', async () => {
    let finish = () => {};
    const held = new Promise<void>(resolve => (finish = resolve));
    @Processor('mail')
    class Slow extends WorkerHost {
      async process() {
        started();
        await held;
      }
    }
    let started = () => {};
    const isStarted = new Promise<void>(resolve => (started = resolve));
    const { recorder } = await start({ providers: [Work, Slow] });
    await application!.queue('mail').add('slow', {});
    await isStarted;
    const closing = application!.close();
    expect(recorder.find('process mail')).toBeUndefined();
    finish();
    await closing;
    application = undefined;
    const processing = recorder.find('process mail')!;
    expect(recorder.parentOf(processing)?.name).toBe('send mail');
  });
});
