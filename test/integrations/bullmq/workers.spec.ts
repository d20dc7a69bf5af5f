import { OnQueueEvent, OnWorkerEvent, Processor, QueueEventsHost, QueueEventsListener, WorkerHost } from '@nestjs/bullmq';
import { Injectable, Module, type OnModuleDestroy } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { context } from '@opentelemetry/api';
import { type Job, Queue, QueueEvents, Worker } from 'bullmq';
import { Span, traceQueue, Tracer, traceWorker, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { Broker } from '../../../sample/brokers/broker.js';
import { redis } from '../../../sample/brokers/redis.js';
import { describeWithRedis, JobsApplication, type JobsSetup } from './jobs.js';

@Injectable()
class Work {
  @Span() async do(job: Pick<Job, 'name'>) {
    await Promise.resolve();
    if (job.name === 'broken') throw new Error('broken');
  }
  @Span() heard(_event: string) {}
}

/** A worker that is started by hand and listens to the events of its jobs. */
@Processor('mail', { autorun: false, concurrency: 3 })
class MailProcessor extends WorkerHost {
  constructor(private readonly work: Work) {
    super();
  }
  process(job: Job) {
    return this.work.do(job);
  }
  @OnWorkerEvent('active') active() {
    this.work.heard('active');
  }
  @OnWorkerEvent('completed') completed() {
    this.work.heard('completed');
  }
  @OnWorkerEvent('failed') failed() {
    this.work.heard('failed');
  }
}

@QueueEventsListener('mail', { autorun: false })
class MailEvents extends QueueEventsHost {
  constructor(private readonly work: Work) {
    super();
  }
  @OnQueueEvent('completed') completed() {
    this.work.heard('completed');
  }
}

let port = 0;

/** An application without @nestjs/bullmq. */
class PlainApplication {
  private constructor(
    readonly recorder: TraceRecorder,
    readonly tracer: Tracer,
    readonly work: Work,
    readonly close: () => Promise<void>,
  ) {}

  static async start(providers: (new () => object)[] = []) {
    const recorder = new TraceRecorder();
    @Module({ imports: [TracingModule.forRoot({ serviceName: 'plain', exporter: recorder })], providers: [Work, ...providers] })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    return new PlainApplication(recorder, app.get(Tracer), app.get(Work), () => app.close());
  }
}

/** Returns the names of the spans that begin a trace, sorted. */
const beginnings = ({ spans }: TraceRecorder) =>
  spans
    .filter(({ parentSpanContext }) => parentSpanContext === undefined)
    .map(({ name }) => name)
    .sort();

describeWithRedis('a worker of BullMQ', () => {
  let broker: Broker;
  let application: JobsApplication | undefined;
  let plain: PlainApplication | undefined;
  const opened: { close(): Promise<unknown> }[] = [];
  beforeAll(async () => {
    broker = await Broker.start(redis);
    port = broker.port;
  });
  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close();
    await application?.close();
    await plain?.close();
    application = plain = undefined;
  });
  afterAll(() => broker?.stop());

  const connected = () => ({ connection: { host: '127.0.0.1', port } });
  const open = <T extends { close(): Promise<unknown> }>(one: T): T => {
    opened.push(one);
    return one;
  };
  /** Creates a queue that is not traced: its jobs have no headers. */
  const bareQueue = (name: string) => open(new Queue(name, connected()));
  const start = async (setup: Partial<JobsSetup>) => {
    application = await JobsApplication.start(broker, { queues: ['mail'], providers: [Work], ...setup });
    return application;
  };
  const settled = (worker: Worker, event: 'completed' | 'failed') => new Promise(resolve => worker.once(event, resolve));

  it('that is started in a request has its jobs, and all that listens to it, outside of that request', async () => {
    const { recorder, context: nest } = await start({ providers: [Work, MailProcessor] });
    const { worker } = nest.get(MailProcessor);
    await application!.inRequest(async () => {
      void worker.run();
      await worker.waitUntilReady();
    });
    await recorder.waitForSpan('request');
    recorder.clear();
    const queue = bareQueue('mail');
    const ends = [settled(worker, 'completed'), settled(worker, 'failed')];
    await queue.addBulk([
      { name: 'welcome', data: {} },
      { name: 'broken', data: {} },
    ]);
    await Promise.all(ends);
    const heard = ['Work.heard', 'Work.heard', 'Work.heard', 'Work.heard'];
    expect(beginnings(recorder)).toEqual([...heard, 'process mail', 'process mail']);
    expect(recorder.spans).toHaveLength(8);
  });

  it('that is made in a request has its jobs, and all that listens to it, outside of that request', async () => {
    const { recorder, context: nest } = await start({});
    const work = nest.get(Work);
    const made = await application!.inRequest(() => {
      const worker = open(new Worker('later', job => work.do(job), connected()));
      worker.on('completed', () => work.heard('completed'));
      return Promise.resolve(worker);
    });
    await recorder.waitForSpan('request');
    recorder.clear();
    const completed = settled(made, 'completed');
    await bareQueue('later').add('welcome', {});
    await completed;
    expect(beginnings(recorder)).toEqual(['Work.heard', 'process later']);
    expect(recorder.parentOf(recorder.find('Work.do')!)?.name).toBe('process later');
  });

  it('tells of the progress of a job below that job', async () => {
    const { recorder, context: nest } = await start({});
    const work = nest.get(Work);
    const worker = open(new Worker('later', (job: Job) => job.updateProgress(50), connected()));
    worker.on('progress', () => work.heard('progress'));
    const completed = settled(worker, 'completed');
    await application!.queue('mail').waitUntilReady();
    await bareQueue('later').add('welcome', {});
    await completed;
    expect(recorder.parentOf(recorder.find('Work.heard')!)?.name).toBe('process later');
  });

  it('and what listens to the events of a queue, started in a request, hear of later jobs outside of that request', async () => {
    const { recorder, context: nest } = await start({ providers: [Work, MailEvents] });
    const events = nest.get(MailEvents).queueEvents;
    const work = nest.get(Work);
    const later = await application!.inRequest(async () => {
      void events.run();
      await events.waitUntilReady();
      const made = open(new QueueEvents('mail', connected()));
      made.on('completed', () => work.heard('completed'));
      await made.waitUntilReady();
      return made;
    });
    await recorder.waitForSpan('request');
    recorder.clear();
    open(new Worker('mail', () => Promise.resolve(), connected()));
    const told = [events, later].map(one => new Promise<void>(resolve => one.once('completed', () => resolve())));
    await bareQueue('mail').add('welcome', {});
    await Promise.all(told);
    expect(beginnings(recorder)).toEqual(['Work.heard', 'Work.heard', 'process mail']);
  });

  it('that is made in a request is found without @nestjs/bullmq, too, where a provider keeps a queue', async () => {
    @Injectable()
    class Sender implements OnModuleDestroy {
      readonly queue = new Queue('plain', connected());
      onModuleDestroy() {
        return this.queue.close();
      }
    }
    plain = await PlainApplication.start([Sender]);
    const { recorder, tracer, work } = plain;
    const worker = await tracer.span('request', () => Promise.resolve(open(new Worker('plain', job => work.do(job), connected()))));
    await recorder.waitForSpan('request');
    recorder.clear();
    for (const round of [1, 2]) {
      const completed = settled(worker, 'completed');
      await bareQueue('plain').add(`welcome ${round}`, {});
      await completed;
      expect(beginnings(recorder)).toEqual(['process plain']);
      expect(recorder.parentOf(recorder.find('Work.do')!)?.name).toBe('process plain');
      recorder.clear();
    }
  });

  it('that no provider keeps is traced by traceWorker(): an attempt is a span, a failed one fails, and one that is tried again is another', async () => {
    plain = await PlainApplication.start();
    const { recorder, tracer, work } = plain;
    const worker = await tracer.span('request', () => {
      const made = open(new Worker('shown', job => work.do(job), { ...connected(), concurrency: 5 }));
      made.on('failed', () => work.heard('failed'));
      return Promise.resolve(traceWorker(traceWorker(made)));
    });
    await recorder.waitForSpan('request');
    recorder.clear();
    const queue = traceQueue(bareQueue('shown'));
    const failed = new Promise<void>(resolve => worker.on('failed', job => job?.attemptsMade === 2 && resolve()));
    await tracer.span('sender', () => queue.add('broken', {}, { attempts: 2 }));
    await failed;
    const attempts = recorder.spans.filter(({ name }) => name === 'process shown');
    expect(attempts.map(({ attributes }) => attributes['bullmq.job.attempts.made'])).toEqual([1, 2]);
    for (const attempt of attempts) {
      expect(recorder.parentOf(attempt)?.name).toBe('send shown');
      expect(attempt).toMatchObject({ status: { code: 2, message: 'broken' }, attributes: { 'error.type': 'Error' } });
    }
    expect(beginnings(recorder)).toEqual(['Work.heard', 'Work.heard', 'sender']);
    expect(() => traceWorker({})).toThrow('traceWorker()');
  });

  it('that traceWorker() was shown before there was an application, and after it, is left as it was', async () => {
    const contexts: unknown[] = [];
    const worker = traceWorker(open(new Worker('early', () => Promise.resolve(contexts.push(context.active())), connected())));
    const queue = bareQueue('early');
    const processed = async () => {
      const completed = settled(worker, 'completed');
      await queue.add('welcome', {});
      await completed;
    };
    await processed();
    plain = await PlainApplication.start();
    const { recorder } = plain;
    await processed();
    expect(recorder.spans.map(({ name }) => name)).toEqual(['process early']);
    await plain.close();
    plain = undefined;
    recorder.clear();
    await processed();
    expect(recorder.spans).toEqual([]);
    expect(contexts).toHaveLength(3);
  });

  it('whose jobs are fetched by hand has no spans of its own, and keeps the context of who fetches', async () => {
    plain = await PlainApplication.start();
    const { recorder, tracer, work } = plain;
    const worker = traceWorker(open(new Worker('manual', undefined, connected())));
    await bareQueue('manual').add('welcome', {});
    await tracer.span('request', async () => {
      const job: Job = await worker.getNextJob('token');
      await work.do(job);
      await job.moveToCompleted(undefined, 'token', false);
    });
    // The commands that fetch and complete the job.
    expect(recorder.tree()).toBe(['request', '  EVAL (client)', '  Work.do', '  EVAL (client)'].join('\n'));
  });
});
