import { InjectFlowProducer, OnWorkerEvent, Processor, WorkerHost } from '@nestjs/bullmq';
import { Inject, Injectable, Scope } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { DelayedError, type FlowProducer, type Job } from 'bullmq';
import { NoSpan, Span, Tracer } from '../../../lib/index.js';
import { Broker } from '../../../sample/brokers/broker.js';
import { redis } from '../../../sample/brokers/redis.js';
import { describeWithRedis, JobsApplication } from './jobs.js';

@Injectable()
class Work {
  readonly seen: { data: unknown; attempt: number; traceId: string | undefined }[] = [];
  constructor(readonly tracer: Tracer) {}

  @Span() async do(job: Job) {
    await new Promise(resolve => setTimeout(resolve, 2));
    this.seen.push({ data: job.data, attempt: job.attemptsMade, traceId: this.tracer.traceId });
    return `${job.name} done`;
  }
}

@Processor('mail', { concurrency: 20 })
class MailProcessor extends WorkerHost {
  readonly completed: unknown[] = [];
  constructor(private readonly work: Work) {
    super();
  }

  async process(job: Job, token?: string): Promise<unknown> {
    switch (job.name) {
      case 'flaky':
        if (job.attemptsMade < 2) throw new RangeError(`attempt ${job.attemptsMade + 1}`);
        return this.work.do(job);
      case 'postponed':
        if (job.data.isPostponed !== true) {
          await job.updateData({ isPostponed: true });
          await job.moveToDelayed(Date.now() + 20, token);
          throw new DelayedError();
        }
        return this.work.do(job);
      default:
        return this.work.do(job);
    }
  }

  @OnWorkerEvent('completed') onCompleted(job: Job) {
    this.completed.push(job.returnvalue);
  }
}

@Processor('digests')
class DigestProcessor extends WorkerHost {
  constructor(private readonly work: Work) {
    super();
  }
  process(job: Job) {
    return this.work.do(job);
  }
}

@NoSpan()
@Processor('quiet')
class QuietProcessor extends WorkerHost {
  constructor(private readonly work: Work) {
    super();
  }
  process(job: Job) {
    return this.work.do(job);
  }
}

@Processor({ name: 'scoped', scope: Scope.REQUEST })
class ScopedProcessor extends WorkerHost {
  constructor(
    private readonly work: Work,
    @Inject(REQUEST) private readonly job: Job,
  ) {
    super();
  }
  process() {
    return this.work.do(this.job);
  }
}

@Injectable()
class Flows {
  constructor(@InjectFlowProducer('flows') readonly producer: FlowProducer) {}
}

describeWithRedis('a job of BullMQ', () => {
  let broker: Broker;
  let application: JobsApplication;
  let work: Work;
  beforeAll(async () => {
    broker = await Broker.start(redis);
    application = await JobsApplication.start(broker, {
      queues: ['mail', 'digests', 'quiet', 'scoped'],
      flows: ['flows'],
      providers: [Work, MailProcessor, DigestProcessor, QuietProcessor, ScopedProcessor, Flows],
    });
    work = application.context.get(Work);
  });
  afterAll(async () => {
    await application?.close();
    await broker?.stop();
  });
  beforeEach(() => {
    application.recorder.clear();
    work.seen.length = 0;
  });

  /** Waits until `count` jobs are done and their spans have ended. */
  const done = (count: number) => {
    const { recorder } = application;
    const areDone = () => {
      const works = recorder.spans.filter(({ name }) => name === 'Work.do');
      return works.length >= count && works.every(span => recorder.parentOf(span) !== undefined);
    };
    return recorder.waitForSpans(areDone, { timeoutMs: 10_000 });
  };

  it('is one trace: who adds it, the sending, the processing, what the processor does', async () => {
    const job = await application.inRequest(() => application.queue('mail').add('welcome', { to: 'ada' }));
    await application.recorder.waitForSpan('process mail');
    await application.recorder.waitForTrace();
    expect(application.recorder.tree()).toBe(
      ['request', '  send mail (producer)', '    process mail (consumer)', '      Work.do'].join('\n'),
    );
    const sending = application.recorder.find('send mail')!;
    const processing = application.recorder.find('process mail')!;
    expect(processing.links.map(({ context }) => context.spanId)).toEqual([sending.spanContext().spanId]);
    expect(sending.kind).toBe(SpanKind.PRODUCER);
    expect(sending.attributes).toEqual({
      'messaging.system.name': 'bullmq',
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'send',
      'messaging.destination.name': 'mail',
      'messaging.message.id': job.id,
      'bullmq.job.name': 'welcome',
      'server.address': '127.0.0.1',
      'server.port': broker.port,
      'network.peer.address': '127.0.0.1',
      'network.peer.port': broker.port,
    });
    expect(processing.attributes).toEqual({
      'messaging.system.name': 'bullmq',
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'messaging.destination.name': 'mail',
      'messaging.message.id': job.id,
      'bullmq.job.name': 'welcome',
      'bullmq.job.attempts.made': 1,
      'server.address': '127.0.0.1',
      'server.port': broker.port,
      'network.peer.address': '127.0.0.1',
      'network.peer.port': broker.port,
      'code.function.name': 'MailProcessor.process',
    });
    expect(work.seen).toEqual([{ data: { to: 'ada' }, attempt: 0, traceId: processing.spanContext().traceId }]);
  });

  it('keeps its data and the options it was given, and carries the headers where BullMQ keeps them', async () => {
    const opts = Object.freeze({ priority: 3, removeOnComplete: false });
    const data = Object.freeze({ to: 'ada' });
    const job = await application.inRequest(() => application.queue('mail').add('welcome', data, opts));
    await done(1);
    const stored = await application.queue('mail').getJob(job.id!);
    expect(stored?.data).toEqual({ to: 'ada' });
    expect(stored?.opts).toMatchObject({ priority: 3, removeOnComplete: false });
    const metadata = JSON.parse(stored?.opts.telemetry?.metadata ?? '{}') as Record<string, string>;
    expect(metadata['traceparent']).toContain(application.recorder.find('send mail')!.spanContext().spanId);
    expect(application.context.get(MailProcessor).completed).toContain('welcome done');
  });

  it('that is added in bulk has one sending for all, and a processing of its own', async () => {
    await application.inRequest(() => application.queue('mail').addBulk([1, 2, 3].map(n => ({ name: 'bulk', data: { n } }))));
    await done(3);
    await application.recorder.waitForTrace();
    const [sending, ...others] = application.named('send mail');
    expect(others).toEqual([]);
    expect(sending!.attributes['messaging.batch.message_count']).toBe(3);
    const processings = application.named('process mail');
    expect(processings.map(span => application.parentOf(span))).toEqual([sending, sending, sending]);
    expect(work.seen.map(({ data }) => data)).toEqual(expect.arrayContaining([{ n: 1 }, { n: 2 }, { n: 3 }]));
  });

  it('that is tried again has a span per attempt in the same trace, those that failed with their error', async () => {
    await application.inRequest(() => application.queue('mail').add('flaky', {}, { attempts: 3, backoff: { type: 'fixed', delay: 5 } }));
    await done(1);
    await application.recorder.waitForTrace();
    const attempts = application.named('process mail');
    const sending = application.recorder.find('send mail');
    expect(attempts.map(span => application.parentOf(span))).toEqual([sending, sending, sending]);
    expect(attempts.map(({ attributes }) => attributes['bullmq.job.attempts.made'])).toEqual([1, 2, 3]);
    expect(attempts.map(({ status }) => status.message)).toEqual(['attempt 1', 'attempt 2', undefined]);
    expect(attempts.map(({ attributes }) => attributes['error.type'])).toEqual(['RangeError', 'RangeError', undefined]);
    expect(attempts[0]!.events.map(({ name }) => name)).toEqual(['exception']);
  });

  it('that its processor puts back has not failed', async () => {
    await application.inRequest(() => application.queue('mail').add('postponed', {}));
    await done(1);
    await application.recorder.waitForTrace();
    expect(application.named('process mail').map(({ status }) => status.code)).toEqual([SpanStatusCode.UNSET, SpanStatusCode.UNSET]);
  });

  it('that is delayed belongs to the trace that added it', async () => {
    await application.inRequest(() => application.queue('mail').add('later', {}, { delay: 30 }));
    await done(1);
    expect(application.parentOf(application.recorder.find('process mail'))?.name).toBe('send mail');
  });

  it('that a scheduler makes again and again begins a trace each time, linked to the one that set up the scheduler', async () => {
    const queue = application.queue('digests');
    await application.inRequest(() => queue.upsertJobScheduler('digest', { every: 40 }, { name: 'digest', data: { of: 'today' } }));
    await done(3);
    await queue.removeJobScheduler('digest');
    // A remaining job would disturb the next spec.
    await application.context.get(DigestProcessor).worker.close();
    const sending = application.recorder.find('send digests')!;
    expect(application.named('send digests')).toHaveLength(1);
    expect(sending.attributes['bullmq.job.scheduler.id']).toBe('digest');
    const runs = application.named('process digests').slice(0, 3);
    expect(runs.map(({ parentSpanContext }) => parentSpanContext)).toEqual([undefined, undefined, undefined]);
    expect(new Set(runs.map(span => span.spanContext().traceId)).size).toBe(3);
    for (const run of runs) {
      expect(run.links.map(({ context }) => context.spanId)).toEqual([sending.spanContext().spanId]);
      expect(run.attributes['bullmq.job.scheduler.id']).toBe('digest');
    }
    expect(work.seen[0]!.data).toEqual({ of: 'today' });
  });

  it('that is part of a flow belongs to the trace that added the flow, children and parents alike', async () => {
    const child = (n: number) => ({
      name: `child-${n}`,
      queueName: 'mail',
      data: { n },
      children: n === 1 ? [{ name: 'grandchild', queueName: 'scoped', data: {} }] : [],
    });
    const flow = { name: 'parent', queueName: 'mail', data: { of: 'flow' }, opts: { attempts: 2 }, children: [child(1), child(2)] };
    const before = JSON.stringify(flow);
    const tree = await application.inRequest(() => application.context.get(Flows).producer.add(flow));
    await done(4);
    await application.recorder.waitForTrace();
    expect(JSON.stringify(flow)).toBe(before);
    expect(tree.children).toHaveLength(2);
    const [sending, ...others] = application.recorder.spans.filter(({ kind }) => kind === SpanKind.PRODUCER);
    expect(others).toEqual([]);
    expect(sending!.attributes['messaging.batch.message_count']).toBe(4);
    const processings = application.recorder.spans.filter(({ kind }) => kind === SpanKind.CONSUMER);
    expect(processings.map(({ name }) => name).sort()).toEqual(['process mail', 'process mail', 'process mail', 'process scoped']);
    for (const processing of processings) expect(application.parentOf(processing)).toBe(sending);
  });

  it('has its span around a processor that is made for it alone', async () => {
    await application.inRequest(() => application.queue('scoped').add('once', { n: 1 }));
    await done(1);
    await application.recorder.waitForTrace();
    expect(application.recorder.tree()).toBe(
      ['request', '  send scoped (producer)', '    process scoped (consumer)', '      Work.do'].join('\n'),
    );
    expect(application.recorder.find('process scoped')!.attributes['code.function.name']).toBe('ScopedProcessor.process');
  });

  it('whose processor wants no span makes none, and neither does what it calls', async () => {
    const completed = new Promise(resolve => application.context.get(QuietProcessor).worker.once('completed', resolve));
    await application.inRequest(() => application.queue('quiet').add('hush', {}));
    await completed;
    expect(application.recorder.spans.map(({ name }) => name)).toEqual(['send quiet', 'request']);
    expect(work.seen).toHaveLength(1);
  });

  it('that is added outside any span begins its trace with the sending', async () => {
    await application.queue('mail').add('alone', {});
    await done(1);
    await application.recorder.waitForTrace();
    expect(application.recorder.tree()).toBe(['send mail (producer)', '  process mail (consumer)', '    Work.do'].join('\n'));
  });

  it('keeps a context that the user wrote, to which its sending is linked', async () => {
    const traceparent = '00-11111111111111111111111111111111-2222222222222222-01';
    const telemetry = { metadata: JSON.stringify({ traceparent }) };
    await application.inRequest(() => application.queue('mail').add('own', {}, { telemetry }));
    await done(1);
    expect(application.recorder.find('process mail')!.parentSpanContext?.spanId).toBe('2222222222222222');
    expect(application.recorder.find('send mail')!.links.map(({ context }) => context.spanId)).toEqual(['2222222222222222']);
  });

  it('carries nothing where it is told not to', async () => {
    await application.inRequest(() => application.queue('mail').add('own', {}, { telemetry: { omitContext: true } }));
    await done(1);
    expect(application.recorder.find('process mail')!.parentSpanContext).toBeUndefined();
  });

  it('that cannot be added fails the span of its sending, with the error that the caller gets', async () => {
    const refused = application.inRequest(() => application.queue('mail').add('bad', {}, { jobId: '0' }));
    await expect(refused).rejects.toThrow("JobId cannot be '0'");
    expect((await application.recorder.waitForSpan('send mail')).status.code).toBe(SpanStatusCode.ERROR);
  });

  it('is not mixed up with a thousand others that are under way', async () => {
    const queue = application.queue('mail');
    await Promise.all(Array.from({ length: 1000 }, (_, n) => application.inRequest(() => queue.add('many', { n }))));
    await application.recorder.waitForSpans(4000, { timeoutMs: 50_000 });
    expect(application.recorder.roots).toHaveLength(1000);
    const traces = new Map<string, string[]>();
    for (const span of application.recorder.spans) {
      const { traceId } = span.spanContext();
      traces.set(traceId, [...(traces.get(traceId) ?? []), `${application.parentOf(span)?.name} > ${span.name}`]);
    }
    expect(traces.size).toBe(1000);
    const expected = ['process mail > Work.do', 'request > send mail', 'send mail > process mail', 'undefined > request'];
    for (const hops of traces.values()) expect(hops.sort()).toEqual(expected);
    expect(new Set(work.seen.map(({ data }) => (data as { n: number }).n)).size).toBe(1000);
  });
});
