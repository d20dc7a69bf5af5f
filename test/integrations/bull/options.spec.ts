import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BullModule, Process, Processor } from '@nestjs/bull';
import { Injectable, Module, type OnModuleDestroy, type OnModuleInit, Scope } from '@nestjs/common';
import { LazyModuleLoader } from '@nestjs/core';
import Bull, { type Job } from 'bull';
import { Redis } from 'ioredis';
import { Span, Tracer, traceQueue } from '../../../lib/index.js';
import { Broker } from '../../../sample/brokers/broker.js';
import { redis } from '../../../sample/brokers/redis.js';
import { BullApplication, type BullSetup, connected, connectedTo, describeWithRedis } from './bull.js';

@Injectable()
class Work {
  @Span() async do(_job: Job) {
    await Promise.resolve();
  }
}

@Processor('mail')
class MailProcessor {
  constructor(private readonly work: Work) {}
  @Process() process(job: Job) {
    return this.work.do(job);
  }
}

let port = 0;

/** Bull rejects this promise if the queue closes while it is connecting. */
function serve(queue: Bull.Queue, handler: (job: Job) => Promise<unknown>): void {
  queue.process(handler).catch(() => undefined);
}

/** Bull without @nestjs/bull. */
@Injectable()
class Plain implements OnModuleInit, OnModuleDestroy {
  readonly queue = new Bull('plain', connectedTo(port));
  constructor(private readonly work: Work) {}
  onModuleInit() {
    serve(this.queue, job => this.work.do(job));
  }
  async onModuleDestroy() {
    await this.queue.close();
  }
}

describeWithRedis('the tracing of Bull', () => {
  let broker: Broker;
  let application: BullApplication | undefined;
  const queues: Bull.Queue[] = [];
  beforeAll(async () => {
    broker = await Broker.start(redis);
    port = broker.port;
  });
  afterEach(async () => {
    await application?.close();
    await Promise.all(queues.map(connected));
    await Promise.all(queues.splice(0).map(queue => queue.close()));
  });
  afterAll(() => broker?.stop());

  const start = async (setup: Partial<BullSetup> = {}) => {
    application = await BullApplication.start(broker, { queues: ['mail'], providers: [Work, MailProcessor], ...setup });
    return application;
  };
  /** Creates a queue that is not traced. */
  const bareQueue = (name: string) => {
    const queue = new Bull(name, connectedTo(port));
    queues.push(queue);
    return queue;
  };
  const completed = (queue: Bull.Queue) => new Promise(resolve => queue.once('completed', resolve));
  const tree = (queue: string) => ['request', `  send ${queue} (producer)`, `    process ${queue} (consumer)`, '      Work.do'];

  it('links jobs to their sending, from traces of their own, where the options say so', async () => {
    const { recorder } = await start({ inbound: { messageOrigin: 'link' } });
    await application!.inRequest(() => application!.queue('mail').add({}));
    const processing = await recorder.waitForSpan('process mail');
    expect(processing.parentSpanContext).toBeUndefined();
    expect(processing.links.map(link => link.context.spanId)).toEqual([recorder.find('send mail')!.spanContext().spanId]);
    expect(recorder.parentOf(recorder.find('Work.do')!)).toBe(processing);
  });

  it('leaves out the queues that the options ignore, on either side', async () => {
    const { recorder } = await start({ outbound: { ignoreMessages: ['mail'] }, inbound: { ignoreMessages: [/^mail$/] } });
    const done = completed(application!.queue('mail'));
    const job = await application!.inRequest(() => application!.queue('mail').add({}));
    await done;
    expect(recorder.spans.map(({ name }) => name)).toEqual(['request']);
    expect(job.opts).not.toHaveProperty('telemetry');
  });

  it('shows rules the queue, and the headers of the job alone', async () => {
    const seen: unknown[] = [];
    const { recorder } = await start({
      inbound: {
        ignoreMessages: message => {
          seen.push(message);
          return false;
        },
      },
    });
    await application!.queue('mail').add({}, { attempts: 2 });
    await recorder.waitForSpan('process mail');
    const { traceId, spanId } = recorder.find('send mail')!.spanContext();
    expect(seen).toEqual([
      {
        system: 'bull',
        destination: 'mail',
        url: 'mail',
        headers: expect.objectContaining({ traceparent: expect.stringContaining(`00-${traceId}-${spanId}-`) }),
      },
    ]);
  });

  it('traces queues that providers make themselves, and what they process', async () => {
    const { recorder } = await start({ queues: [], providers: [Work, Plain] });
    await application!.inRequest(() => application!.context.get(Plain).queue.add({}));
    await recorder.waitForSpan('process plain');
    await recorder.waitForTrace();
    expect(recorder.tree()).toBe(tree('plain').join('\n'));
  });

  it.each([
    ['request-scoped', Scope.REQUEST],
    ['transient', Scope.TRANSIENT],
  ])('traces a queue that a %s provider makes for itself', async (_scoped, scope) => {
    @Injectable({ scope })
    class Sender {
      readonly queue = bareQueue('mail');
    }
    const { recorder } = await start({ providers: [Work, MailProcessor, Sender] });
    const { queue } = await application!.context.resolve(Sender);
    await application!.inRequest(() => queue.add({}));
    await recorder.waitForSpan('process mail');
    await recorder.waitForTrace();
    expect(recorder.tree()).toBe(tree('mail').join('\n'));
  });

  it('traces a queue that comes with a module which is loaded later', async () => {
    const { recorder } = await start();
    @Module({ providers: [{ provide: 'late', useFactory: () => bareQueue('mail') }] })
    class LateModule {}
    const module = await application!.context.get(LazyModuleLoader).load(() => LateModule);
    await application!.inRequest(() => module.get<Bull.Queue>('late').add({}));
    await recorder.waitForSpan('process mail');
    await recorder.waitForTrace();
    expect(recorder.tree()).toBe(tree('mail').join('\n'));
  });

  it('traces a queue that it is shown, what is added as well as what is processed', async () => {
    const { recorder } = await start();
    const queue = traceQueue(traceQueue(bareQueue('shown')));
    serve(queue, job => application!.context.get(Work).do(job));
    await application!.inRequest(() => queue.add({}));
    await recorder.waitForSpan('process shown');
    await recorder.waitForTrace();
    expect(recorder.tree()).toBe(tree('shown').join('\n'));
    expect(() => traceQueue({ process() {} })).toThrow('traceQueue()');
  });

  it('has what a class of the user that extends Queue does when a job is added below the sending', async () => {
    const { recorder } = await start();
    class CheckedQueue extends (Bull as never as new (name: string, options: Bull.QueueOptions) => Bull.Queue) {
      override async add(...given: unknown[]) {
        await application!.context.get(Work).do({} as Job);
        return super.add(given[0]);
      }
    }
    const queue = traceQueue(new CheckedQueue('checked', connectedTo(port)));
    queues.push(queue);
    await application!.inRequest(() => queue.add({}));
    expect(recorder.tree()).toBe(['request', '  send checked (producer)', '    Work.do'].join('\n'));
  });

  it('processes outside of the request in which somebody says that it begins', async () => {
    const { recorder } = await start();
    const queue = traceQueue(bareQueue('begun'));
    const ids: unknown[] = [];
    const { traceId } = await application!.inRequest(async () => {
      serve(queue, job => application!.context.get(Work).do(job));
      queue.on('completed', () => ids.push(application!.context.get(Tracer).traceId));
      await queue.isReady();
      return { traceId: application!.context.get(Tracer).traceId };
    });
    const done = completed(queue);
    await queue.add({});
    await done;
    expect(recorder.find('process begun')!.spanContext().traceId).not.toBe(traceId);
    expect(ids).toEqual([undefined]);
  });

  it('traces processors that the options of a queue name, also those in a file', async () => {
    const file = join(tmpdir(), `bull-processor-${process.pid}.cjs`);
    writeFileSync(file, 'module.exports = job => Promise.resolve(job.data);');
    const { recorder } = await start({
      queues: [],
      providers: [Work],
      imports: [
        BullModule.registerQueueAsync({
          name: 'here',
          useFactory: () => ({ ...connectedTo(port), processors: [(job: Job) => application!.context.get(Work).do(job)] }),
        }),
        BullModule.registerQueue({ name: 'file', processors: [{ path: file, concurrency: 1 }] as never }),
      ],
    });
    for (const name of ['here', 'file']) {
      await application!.inRequest(() => application!.queue(name).add({ n: 1 }));
      const processing = await recorder.waitForSpan(`process ${name}`, { timeoutMs: 10_000 });
      expect(recorder.parentOf(processing)?.name).toBe(`send ${name}`);
    }
    rmSync(file);
    expect(recorder.spans.filter(({ name }) => name === 'Work.do').map(span => recorder.parentOf(span)?.name)).toEqual(['process here']);
  });

  it('has the jobs of a queue that two applications share in the one that is left', async () => {
    const shared = bareQueue('shared');
    const provider = { provide: 'shared', useValue: shared };
    serve(shared, () => Promise.resolve());
    await start({ providers: [provider] });
    const second = await BullApplication.start(broker, { queues: [], providers: [provider] });
    await shared.add({ n: 1 });
    await application!.recorder.waitForSpan('process shared');
    await application!.close();
    application = undefined;
    expect(second.recorder.find('process shared')).toBeUndefined();
    await shared.add({ n: 2 });
    await second.recorder.waitForSpan('process shared');
    await second.close();
    second.recorder.clear();
    const done = completed(shared);
    const { opts } = await shared.add({ n: 3 });
    await done;
    expect(second.recorder.spans).toEqual([]);
    expect(opts).not.toHaveProperty('telemetry');
  });

  it('gives a queue back as it was when the application closes', async () => {
    const shared = bareQueue('shared');
    serve(shared, () => Promise.resolve());
    const done = completed(shared);
    await shared.add({});
    await done;
    const members = () => [
      shared.add,
      shared.addBulk,
      shared.process,
      ...Object.values((shared as never as { handlers: object }).handlers),
    ];
    const before = members();
    await start({ providers: [{ provide: 'shared', useValue: shared }] });
    expect(members().filter((member, index) => member === before[index])).toEqual([]);
    await application!.close();
    application = undefined;
    expect(members()).toEqual(before);
    expect(Object.keys(shared)).not.toContain('add');
  });

  it('processes a job of a process without it, or whose headers make no sense, and begins a trace with it', async () => {
    const { recorder } = await start();
    const queue = bareQueue('mail');
    const odd = ['null', '"text"', '[1]', '{"traceparent":{"a":1}}', '{"traceparent":["00-zz"]}', '{', 7, { a: 1 }];
    for (const opts of [{}, { telemetry: null }, ...odd.map(metadata => ({ telemetry: { metadata } }))] as object[]) {
      await queue.add({ to: 'ada' }, opts);
      const processing = await recorder.waitForSpan('process mail');
      expect(processing.parentSpanContext).toBeUndefined();
      expect(processing.status.code).toBe(0);
      recorder.clear();
    }
  });

  it('has its jobs processed by a process without it', async () => {
    const { recorder } = await start({ queues: ['elsewhere'], providers: [] });
    const queue = bareQueue('elsewhere');
    const processed = new Promise<Job>(resolve => {
      void queue.process((job, done) => {
        resolve(job);
        done();
      });
    });
    await application!.inRequest(() => application!.queue('elsewhere').add({ to: 'ada' }, { attempts: 2 }));
    const { data, opts } = await processed;
    expect(data).toEqual({ to: 'ada' });
    expect(opts.attempts).toBe(2);
    expect(recorder.spans.map(({ name }) => name)).toEqual(['send elsewhere', 'request']);
  });

  it('refuses what Bull refuses, and calls nobody more than once', async () => {
    const { recorder } = await start();
    const queue = application!.queue('mail');
    expect(() => queue.addBulk(undefined as never)).toThrow(TypeError);
    expect(() => queue.addBulk([undefined as never])).toThrow(TypeError);
    await expect(queue.add({}, { repeat: { cron: '* * * * * *', every: 1 } as never })).rejects.toThrow('cron');
    expect(recorder.spans.filter(({ name }) => name.startsWith('process'))).toEqual([]);
    const done = completed(queue);
    await queue.add({});
    await done;
    expect(recorder.spans.filter(({ name }) => name.startsWith('process'))).toHaveLength(1);
  });

  it('makes no span where tracing is off, and hands on what came in', async () => {
    const { recorder } = await start({ enabled: false });
    const queue = application!.queue('mail');
    const done = completed(queue);
    const traceparent = '00-11111111111111111111111111111111-2222222222222222-01';
    let passedOn: Record<string, string> = {};
    void queue.process('passing', () => {
      passedOn = application!.context.get(Tracer).inject({});
      return Promise.resolve();
    });
    await queue.add('passing', {}, { telemetry: { metadata: JSON.stringify({ traceparent }) } } as never);
    await done;
    expect(passedOn['traceparent']).toBe(traceparent);
    expect(recorder.spans).toEqual([]);
  });

  it('lets jobs that are under way when the application closes come to their end, and delivers their spans', async () => {
    let finish = () => {};
    const held = new Promise<void>(resolve => (finish = resolve));
    let started = () => {};
    const isStarted = new Promise<void>(resolve => (started = resolve));
    @Processor('mail')
    class Slow {
      @Process() async slow() {
        started();
        await held;
      }
    }
    const { recorder } = await start({ providers: [Work, Slow] });
    await application!.queue('mail').add({});
    await isStarted;
    const closing = application!.close();
    expect(recorder.find('process mail')).toBeUndefined();
    finish();
    await closing;
    application = undefined;
    const processing = recorder.find('process mail')!;
    expect(recorder.parentOf(processing)?.name).toBe('send mail');
  });

  it('says where Redis is for queues with clients of the user', async () => {
    const made: Redis[] = [];
    const queue = new Bull('own', {
      createClient: () => {
        const client = new Redis(port, '127.0.0.1', { maxRetriesPerRequest: null, enableReadyCheck: false });
        made.push(client);
        return client as never;
      },
    });
    const { recorder } = await start({ providers: [{ provide: 'own', useValue: queue }] });
    await queue.add({});
    expect(recorder.find('send own')!.attributes).toMatchObject({ 'server.address': '127.0.0.1', 'server.port': port });
    await queue.close();
    for (const client of made) client.disconnect();
  });
});
