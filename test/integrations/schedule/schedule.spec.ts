import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Cron, CronExpression, Interval, ScheduleModule, SchedulerRegistry, Timeout } from '@nestjs/schedule';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { of } from 'rxjs';
import { NoSpan, Span, Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { LazyQuery } from '../../lazy-query.js';
import { TracedContext } from '../../traced-context.js';

@Injectable()
class Work {
  @Span() do() {
    return 'done';
  }
}

@Injectable()
class Jobs {
  quietRuns = 0;
  constructor(private readonly work: Work) {}

  @Cron(CronExpression.EVERY_SECOND, { name: 'every-second' }) async everySecond() {
    await new Promise(resolve => setTimeout(resolve, 2));
    return this.work.do();
  }

  @Interval('often', 10) async often() {
    await new Promise(resolve => setTimeout(resolve, 25));
    this.work.do();
  }

  @Timeout(15) once() {
    throw new RangeError('once and never again');
  }

  @NoSpan() @Interval(5) quiet() {
    this.quietRuns += 1;
    this.work.do();
  }

  @Cron(CronExpression.EVERY_SECOND, { disabled: true }) never() {
    this.work.do();
  }

  isHeld = true;
  slowRuns = 0;
  @Cron(CronExpression.EVERY_SECOND, { waitForCompletion: true }) async slow() {
    this.slowRuns += 1;
    while (this.isHeld) await new Promise(resolve => setTimeout(resolve, 5));
    this.work.do();
  }

  @Timeout(5) query() {
    return new LazyQuery(() => this.work.do());
  }

  @Timeout(5) badQuery() {
    return new LazyQuery(() => {
      throw new RangeError('no rows');
    });
  }

  @Timeout(5) stream() {
    return of('nobody takes it');
  }
}

class Once {
  private resolve = () => {};
  readonly ran = new Promise<void>(resolve => (this.resolve = resolve));
  @Timeout(5) run() {
    this.resolve();
  }
}

/** Adds its jobs when Nest creates it. */
@Injectable()
class Early {
  constructor(registry: SchedulerRegistry, work: Work) {
    registry.addInterval(
      'early',
      setInterval(() => work.do(), 10),
    );
  }
}

describe('a scheduled job', () => {
  let application: TracedContext;
  beforeAll(async () => {
    application = await TracedContext.start({ imports: [ScheduleModule.forRoot()], providers: [Work, Jobs, Early] });
  });
  afterAll(() => application.context.close());

  it('has a root span per tick of a cron expression, and what it does is inside', async () => {
    const tick = await application.recorder.waitForSpan('Jobs.everySecond', { timeoutMs: 5000 });
    expect(tick.kind).toBe(SpanKind.INTERNAL);
    expect(tick.parentSpanContext).toBeUndefined();
    expect(tick.links).toEqual([]);
    expect(tick.attributes).toEqual({
      'nestjs.schedule.type': 'cron',
      'nestjs.schedule.name': 'every-second',
      'nestjs.schedule.cron': '* * * * * *',
      'code.function.name': 'Jobs.everySecond',
    });
    const inside = application.recorder.spans.filter(span => application.recorder.parentOf(span) === tick);
    expect(inside.map(({ name }) => name)).toEqual(['Work.do']);
  });

  it('has a root span per tick of an interval, also where ticks overlap', async () => {
    const ticksIn = () => application.recorder.spans.filter(({ name }) => name === 'Jobs.often');
    await application.recorder.waitForSpans(() => ticksIn().length >= 3);
    const ticks = ticksIn();
    expect(ticks.map(({ parentSpanContext }) => parentSpanContext)).toEqual(ticks.map(() => undefined));
    expect(new Set(ticks.map(span => span.spanContext().traceId)).size).toBe(ticks.length);
    expect(ticks[0]!.attributes).toEqual({
      'nestjs.schedule.type': 'interval',
      'nestjs.schedule.name': 'often',
      'nestjs.schedule.milliseconds': 10,
      'code.function.name': 'Jobs.often',
    });
    for (const tick of ticks) {
      const inside = application.recorder.spans.filter(span => application.recorder.parentOf(span) === tick);
      expect(inside.map(({ name }) => name)).toEqual(['Work.do']);
    }
  });

  it('that throws fails its span, and Nest logs the error as ever', async () => {
    const tick = await application.recorder.waitForSpan('Jobs.once');
    expect(tick.status).toEqual({ code: SpanStatusCode.ERROR, message: 'once and never again' });
    expect(tick.attributes).toMatchObject({
      'error.type': 'RangeError',
      'nestjs.schedule.type': 'timeout',
      'nestjs.schedule.milliseconds': 15,
    });
  });

  it('has one span where it is still at work when the next tick comes and is to wait', async () => {
    const jobs = application.context.get(Jobs);
    const ticks = () => application.recorder.spans.filter(({ name }) => name === 'Jobs.everySecond').length;
    await application.recorder.waitForSpans(() => jobs.slowRuns === 1, { timeoutMs: 5000 });
    const before = ticks();
    await application.recorder.waitForSpans(() => ticks() >= before + 2, { timeoutMs: 5000 });
    expect(jobs.slowRuns).toBe(1);
    expect(application.recorder.find('Jobs.slow')).toBeUndefined();
    jobs.isHeld = false;
    const tick = await application.recorder.waitForSpan('Jobs.slow');
    const inside = application.recorder.spans.filter(span => application.recorder.parentOf(span) === tick);
    expect(inside.map(({ name }) => name)).toEqual(['Work.do']);
  });

  it('that runs once, and fails, has the date and the error on its span', async () => {
    const registry = application.context.get(SchedulerRegistry);
    const { constructor: Job } = registry.getCronJob('every-second');
    const date = new Date(Date.now() + 50);
    const fail = () => {
      throw new RangeError('not at that date');
    };
    const job = Reflect.construct(Job, [date, fail]) as ReturnType<typeof registry.getCronJob>;
    // By default the job prints errors.
    Reflect.set(job, 'errorHandler', () => {});
    registry.addCronJob('appointment', job);
    job.start();
    const tick = await application.recorder.waitForSpan('appointment', { timeoutMs: 5000 });
    expect(tick.attributes).toEqual({
      'nestjs.schedule.type': 'cron',
      'nestjs.schedule.name': 'appointment',
      'nestjs.schedule.cron': date.toISOString(),
      'error.type': 'RangeError',
      'code.file.path': expect.stringContaining('schedule.spec.ts'),
      'code.line.number': expect.any(Number),
    });
    expect(tick.status).toEqual({ code: SpanStatusCode.ERROR, message: 'not at that date' });
  });

  it('that returns a query has it run in its span, which fails where the query does', async () => {
    const tick = await application.recorder.waitForSpan('Jobs.query');
    expect(application.recorder.spans.filter(span => application.recorder.parentOf(span) === tick).map(({ name }) => name)).toEqual([
      'Work.do',
    ]);
    expect((await application.recorder.waitForSpan('Jobs.badQuery')).status.message).toBe('no rows');
  });

  it('that returns a stream, to which nobody subscribes, has its span end with the method', async () => {
    expect((await application.recorder.waitForSpan('Jobs.stream')).status.code).toBe(SpanStatusCode.UNSET);
  });

  it('that a provider registers when it is made begins a trace at each tick', async () => {
    const tick = await application.recorder.waitForSpan('early');
    expect(tick.attributes).toEqual({
      'nestjs.schedule.type': 'interval',
      'nestjs.schedule.name': 'early',
      'nestjs.schedule.milliseconds': 10,
    });
    expect(application.recorder.spans.some(span => application.recorder.parentOf(span) === tick)).toBe(true);
  });

  it('that wants no span makes none, and neither does what it calls', async () => {
    const jobs = application.context.get(Jobs);
    await application.recorder.waitForSpans(() => jobs.quietRuns >= 3);
    expect(application.recorder.find('Jobs.quiet')).toBeUndefined();
    expect(application.recorder.roots.filter(({ name }) => name === 'Work.do')).toEqual([]);
  });

  it('that is disabled makes no span', () => {
    expect(application.recorder.find('Jobs.never')).toBeUndefined();
  });

  it('is a plain call where the method is called by hand', async () => {
    const traceId = await application.inRequest(async () => {
      await application.context.get(Jobs).everySecond();
      return application.context.get(Tracer).traceId;
    });
    const spans = application.recorder.spans.filter(span => span.spanContext().traceId === traceId);
    expect(spans.map(({ name }) => name)).toEqual(['Work.do', 'request']);
  });

  it('that is registered by hand, in whatever request, begins a trace at each tick', async () => {
    const registry = application.context.get(SchedulerRegistry);
    const work = application.context.get(Work);
    application.inRequest(() => {
      // The class of the package "cron" that @nestjs/schedule itself uses.
      const { constructor: Job } = registry.getCronJob('every-second');
      const job = Reflect.construct(Job, ['* * * * * *', () => work.do()]) as ReturnType<typeof registry.getCronJob>;
      registry.addCronJob('nightly', job);
      job.start();
      registry.addInterval(
        'pulse',
        setInterval(() => work.do(), 10),
      );
      registry.addTimeout(
        'alarm',
        setTimeout(() => work.do(), 10),
      );
    });
    for (const [name, type] of [
      ['nightly', 'cron'],
      ['pulse', 'interval'],
      ['alarm', 'timeout'],
    ] as const) {
      const tick = await application.recorder.waitForSpan(name, { timeoutMs: 5000 });
      expect(tick.parentSpanContext).toBeUndefined();
      expect(tick.attributes).toMatchObject({ 'nestjs.schedule.type': type, 'nestjs.schedule.name': name });
      expect(application.recorder.spans.some(span => application.recorder.parentOf(span) === tick)).toBe(true);
    }
    registry.deleteCronJob('nightly');
    registry.deleteInterval('pulse');
    // Jobs of decorators are in the registry too. They must not have a second span with the registry's name.
    const names = new Set(application.recorder.spans.map(({ name }) => name));
    expect([...names].filter(name => ['every-second', 'often'].includes(name))).toEqual([]);
  });
});

describe('the scheduler', () => {
  it('has nothing to do with the span in which the application was started, and nothing is traced that the options ignore', async () => {
    const recorder = new TraceRecorder();
    @Module({
      imports: [
        ScheduleModule.forRoot(),
        TracingModule.forRoot({ serviceName: 'jobs', exporter: recorder, inbound: { ignoreMessages: 'Jobs.often' } }),
      ],
      providers: [Work, Jobs],
    })
    class AppModule {}
    const forerunner = await TracedContext.start({});
    const context = await forerunner.inRequest(() => NestFactory.createApplicationContext(AppModule, { logger: false }));
    const tick = await recorder.waitForSpan('Jobs.once');
    expect(tick.parentSpanContext).toBeUndefined();
    expect(recorder.find('Jobs.often')).toBeUndefined();
    await context.close();
    await forerunner.context.close();
  });

  it('is untouched where tracing is off', async () => {
    const once = new Once();
    const providers = [{ provide: Once, useValue: once }];
    const application = await TracedContext.start({ imports: [ScheduleModule.forRoot()], providers }, { enabled: false });
    await once.ran;
    expect(application.recorder.spans).toEqual([]);
    await application.context.close();
  });
});
