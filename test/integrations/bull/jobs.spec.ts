import { OnQueueActive, OnQueueCompleted, OnQueueFailed, OnQueueProgress, Process, Processor } from '@nestjs/bull';
import { Inject, Injectable, Scope } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { Job } from 'bull';
import { NoSpan, Span, Tracer } from '../../../lib/index.js';
import { Broker } from '../../../sample/brokers/broker.js';
import { redis } from '../../../sample/brokers/redis.js';
import { BullApplication, describeWithRedis } from './bull.js';

@Injectable()
class Work {
  readonly seen: { data: unknown; attempt: number; traceId: string | undefined }[] = [];
  readonly heard: { event: string; traceId: string | undefined }[] = [];
  constructor(readonly tracer: Tracer) {}

  @Span() async do(job: Job) {
    await new Promise(resolve => setTimeout(resolve, 2));
    this.seen.push({ data: job.data, attempt: job.attemptsMade, traceId: this.tracer.traceId });
    return `${job.name} done`;
  }

  hear(event: string) {
    this.heard.push({ event, traceId: this.tracer.traceId });
  }
}

@Processor('mail')
class MailProcessor {
  readonly completed: unknown[] = [];
  constructor(private readonly work: Work) {}

  @Process({ concurrency: 20 })
  any(job: Job) {
    return this.work.do(job);
  }

  @Process('flaky')
  async flaky(job: Job) {
    if (job.attemptsMade < 2) throw new RangeError(`attempt ${job.attemptsMade + 1}`);
    return this.work.do(job);
  }

  @Process('calling back')
  callingBack(job: Job, done: (error: Error | null, result?: unknown) => void) {
    void this.work.do(job).then(result => done(null, result));
  }

  @Process({ name: 'telling', concurrency: 2 })
  async telling(job: Job) {
    await job.progress(50);
    return this.work.do(job);
  }

  @NoSpan()
  @Process('hush')
  hush(job: Job) {
    return this.work.do(job);
  }

  @OnQueueActive() active() {
    this.work.hear('active');
  }
  @OnQueueProgress() progress() {
    this.work.hear('progress');
  }
  @OnQueueCompleted() finished(_job: Job, result: unknown) {
    this.completed.push(result);
    this.work.hear('completed');
  }
  @OnQueueFailed() failed() {
    this.work.hear('failed');
  }
}

@Processor('digests')
class DigestProcessor {
  constructor(private readonly work: Work) {}
  @Process('*') digest(job: Job) {
    return this.work.do(job);
  }
}

@NoSpan()
@Processor('quiet')
class QuietProcessor {
  constructor(private readonly work: Work) {}
  @Process() quiet(job: Job) {
    return this.work.do(job);
  }
}

@Processor({ name: 'scoped', scope: Scope.REQUEST })
class ScopedProcessor {
  constructor(
    private readonly work: Work,
    @Inject(REQUEST) private readonly job: Job,
  ) {}
  @Process() scoped() {
    return this.work.do(this.job);
  }
}

describeWithRedis('a job of Bull', () => {
  let broker: Broker;
  let application: BullApplication;
  let work: Work;
  beforeAll(async () => {
    broker = await Broker.start(redis);
    application = await BullApplication.start(broker, {
      queues: ['mail', 'digests', 'quiet', 'scoped'],
      providers: [Work, MailProcessor, DigestProcessor, QuietProcessor, ScopedProcessor],
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
    work.heard.length = 0;
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

  const settled = (queue: string, event: 'completed' | 'failed', jobId: string) =>
    new Promise<void>(resolve => {
      application.queue(queue).on(event, (job: Job) => job.id === jobId && resolve());
    });

  it('is one trace: who adds it, the sending, the processing, what the processor does', async () => {
    const job = await application.inRequest(() => application.queue('mail').add({ to: 'ada' }));
    await done(1);
    await application.recorder.waitForTrace();
    expect(application.recorder.tree()).toBe(
      ['request', '  send mail (producer)', '    process mail (consumer)', '      Work.do'].join('\n'),
    );
    const sending = application.recorder.find('send mail')!;
    const processing = application.recorder.find('process mail')!;
    expect(processing.links.map(({ context }) => context.spanId)).toEqual([sending.spanContext().spanId]);
    expect(sending.kind).toBe(SpanKind.PRODUCER);
    expect(sending.attributes).toEqual({
      'messaging.system.name': 'bull',
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'send',
      'messaging.destination.name': 'mail',
      'messaging.message.id': String(job.id),
      'server.address': '127.0.0.1',
      'server.port': broker.port,
      'network.peer.address': '127.0.0.1',
      'network.peer.port': broker.port,
    });
    expect(processing.attributes).toEqual({
      'messaging.system.name': 'bull',
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'messaging.destination.name': 'mail',
      'messaging.message.id': String(job.id),
      'bull.job.attempts.made': 1,
      'server.address': '127.0.0.1',
      'server.port': broker.port,
      'network.peer.address': '127.0.0.1',
      'network.peer.port': broker.port,
      'code.function.name': 'MailProcessor.any',
    });
    expect(work.seen).toEqual([{ data: { to: 'ada' }, attempt: 0, traceId: processing.spanContext().traceId }]);
  });

  it('with a name goes to the method of that name, and says both', async () => {
    await application.inRequest(() => application.queue('mail').add('telling', { to: 'ada' }));
    await done(1);
    const sending = application.recorder.find('send mail')!;
    const processing = application.recorder.find('process mail')!;
    expect(application.parentOf(processing)).toBe(sending);
    expect(sending.attributes['bull.job.name']).toBe('telling');
    expect(processing.attributes).toMatchObject({ 'bull.job.name': 'telling', 'code.function.name': 'MailProcessor.telling' });
  });

  it('keeps its data and the options it was given, and carries the headers in an option of its own', async () => {
    const opts = Object.freeze({ priority: 3, removeOnComplete: false });
    const data = Object.freeze({ to: 'ada' });
    const job = await application.inRequest(() => application.queue('mail').add('telling', data, opts));
    await done(1);
    const stored = await application.queue('mail').getJob(job.id);
    expect(stored?.data).toEqual({ to: 'ada' });
    expect(work.seen[0]!.data).toEqual({ to: 'ada' });
    expect(stored?.opts).toMatchObject({ priority: 3, removeOnComplete: false });
    const { telemetry } = stored?.opts as { telemetry?: { metadata?: string } };
    const metadata = JSON.parse(telemetry?.metadata ?? '{}') as Record<string, string>;
    expect(metadata['traceparent']).toContain(application.recorder.find('send mail')!.spanContext().spanId);
    expect(application.context.get(MailProcessor).completed).toContain('telling done');
  });

  it('that is added in bulk has one sending for all, and a processing of its own', async () => {
    const jobs = [1, 2, 3].map(n => Object.freeze({ data: { n } }));
    const added = await application.inRequest(() => application.queue('mail').addBulk(jobs));
    await done(3);
    await application.recorder.waitForTrace();
    expect(added).toHaveLength(3);
    const [sending, ...others] = application.named('send mail');
    expect(others).toEqual([]);
    expect(sending!.attributes['messaging.batch.message_count']).toBe(3);
    const processings = application.named('process mail');
    expect(processings.map(span => application.parentOf(span))).toEqual([sending, sending, sending]);
    expect(work.seen.map(({ data }) => data)).toEqual(expect.arrayContaining([{ n: 1 }, { n: 2 }, { n: 3 }]));
  });

  it('that is tried again has a span per attempt in the same trace, those that failed with their error', async () => {
    await application.inRequest(() => application.queue('mail').add('flaky', {}, { attempts: 3, backoff: 5 }));
    await done(1);
    await application.recorder.waitForTrace();
    const attempts = application.named('process mail');
    const sending = application.recorder.find('send mail');
    expect(attempts.map(span => application.parentOf(span))).toEqual([sending, sending, sending]);
    expect(attempts.map(({ attributes }) => attributes['bull.job.attempts.made'])).toEqual([1, 2, 3]);
    expect(attempts.map(({ status }) => status.message)).toEqual(['attempt 1', 'attempt 2', undefined]);
    expect(attempts.map(({ attributes }) => attributes['error.type'])).toEqual(['RangeError', 'RangeError', undefined]);
    expect(attempts[0]!.events.map(({ name }) => name)).toEqual(['exception']);
    expect(work.seen.map(({ attempt }) => attempt)).toEqual([2]);
  });

  it('whose processor calls back ends with the call', async () => {
    await application.inRequest(() => application.queue('mail').add('calling back', {}));
    await done(1);
    const processing = application.recorder.find('process mail')!;
    expect(application.parentOf(application.recorder.find('Work.do'))).toBe(processing);
    expect(processing.status.code).toBe(SpanStatusCode.UNSET);
  });

  it('that is delayed belongs to the trace that added it', async () => {
    await application.inRequest(() => application.queue('mail').add({ later: true }, { delay: 30 }));
    await done(1);
    expect(application.parentOf(application.recorder.find('process mail'))?.name).toBe('send mail');
  });

  it('that is repeated begins a trace each time, linked to the one that said so', async () => {
    const queue = application.queue('digests');
    const repeat = { every: 40, limit: 3 };
    await application.inRequest(() => queue.add('digest', { of: 'today' }, { repeat }));
    await done(3);
    const sending = application.recorder.find('send digests')!;
    expect(application.named('send digests')).toHaveLength(1);
    const runs = application.named('process digests');
    expect(runs.map(({ parentSpanContext }) => parentSpanContext)).toEqual([undefined, undefined, undefined]);
    expect(new Set(runs.map(span => span.spanContext().traceId)).size).toBe(3);
    for (const run of runs) {
      expect(run.links.map(({ context }) => context.spanId)).toEqual([sending.spanContext().spanId]);
      expect(run.attributes).toMatchObject({
        'bull.job.name': 'digest',
        'bull.job.repeat.key': 'digest:::40',
        'code.function.name': 'DigestProcessor.digest',
      });
    }
    expect(work.seen[0]!.data).toEqual({ of: 'today' });
  });

  it('has its span around a processor that is made for it alone', async () => {
    await application.inRequest(() => application.queue('scoped').add({ n: 1 }));
    await done(1);
    await application.recorder.waitForTrace();
    expect(application.recorder.tree()).toBe(
      ['request', '  send scoped (producer)', '    process scoped (consumer)', '      Work.do'].join('\n'),
    );
    expect(application.recorder.find('process scoped')!.attributes['code.function.name']).toBe('ScopedProcessor.scoped');
  });

  it.each([
    ['class', 'quiet', '__default__'],
    ['method', 'mail', 'hush'],
  ])('whose processor wants no span, as its %s says, makes none, and neither does what it calls', async (_where, queue, name) => {
    const completed = settled(queue, 'completed', 'unseen');
    await application.inRequest(() => application.queue(queue).add(name, {}, { jobId: 'unseen' }));
    await completed;
    expect(application.recorder.spans.map(({ name }) => name)).toEqual([`send ${queue}`, 'request']);
    expect(work.seen).toHaveLength(1);
  });

  it('that is added outside any span begins its trace with the sending', async () => {
    await application.queue('mail').add({ alone: true });
    await done(1);
    await application.recorder.waitForTrace();
    expect(application.recorder.tree()).toBe(['send mail (producer)', '  process mail (consumer)', '    Work.do'].join('\n'));
  });

  it('has its events heard outside of any trace, but for its progress, which is told by the processor', async () => {
    const completed = settled('mail', 'completed', 'heard');
    const failed = settled('mail', 'failed', 'heard failing');
    await application.inRequest(async () => {
      const { traceId } = work.tracer;
      await application.queue('mail').add('telling', {}, { jobId: 'heard' });
      await completed;
      await application.queue('mail').add('flaky', {}, { jobId: 'heard failing' });
      await failed;
      expect(work.heard).toEqual(
        expect.arrayContaining([
          { event: 'active', traceId: undefined },
          { event: 'progress', traceId },
          { event: 'completed', traceId: undefined },
          { event: 'failed', traceId: undefined },
        ]),
      );
      expect(work.heard.filter(({ event }) => event !== 'progress').every(({ traceId }) => traceId === undefined)).toBe(true);
    });
  });

  it('keeps a context that the user wrote, to which its sending is linked', async () => {
    const traceparent = '00-11111111111111111111111111111111-2222222222222222-01';
    const opts = { attempts: 1, telemetry: { metadata: JSON.stringify({ traceparent }) } };
    await application.inRequest(() => application.queue('mail').add({ own: true }, opts));
    await done(1);
    expect(application.recorder.find('process mail')!.parentSpanContext?.spanId).toBe('2222222222222222');
    expect(application.recorder.find('send mail')!.links.map(({ context }) => context.spanId)).toEqual(['2222222222222222']);
  });

  it('that cannot be added fails the span of its sending, with the error that the caller gets', async () => {
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    await expect(application.inRequest(() => application.queue('mail').add(circular))).rejects.toThrow('circular');
    expect((await application.recorder.waitForSpan('send mail')).status.code).toBe(SpanStatusCode.ERROR);
  });

  it('is not mixed up with a thousand others that are under way', async () => {
    const queue = application.queue('mail');
    await Promise.all(Array.from({ length: 1000 }, (_, n) => application.inRequest(() => queue.add({ n }))));
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
