/** @Span() where nothing is traced or recorded, and where tracing itself is broken: the method runs, and next to nothing else. */
import { Logger } from '@nestjs/common';
import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { SamplingDecision } from '@opentelemetry/sdk-trace-node';
import { jest } from '@jest/globals';
import { defer, lastValueFrom, type Observable, of } from 'rxjs';
import { Span } from '../../lib/api/span.decorator.js';
import { Tracer } from '../../lib/api/tracer.js';
import { withWork } from '../../lib/spans/work.js';
import { refusedSpan, TestApplication } from '../application.js';

let app: TestApplication | undefined;
const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
afterEach(async () => {
  warn.mockClear();
  await app?.close();
  app = undefined;
});

describe('@Span() where nothing can or may be recorded', () => {
  const calls: string[] = [];
  class Silent {
    @Span({ name: () => note('name'), attributes: () => ({ a: note('attributes') }), resultAttributes: () => ({ a: note('result') }) })
    run(fn: () => unknown) {
      return fn();
    }

    @Span()
    *steps<T>(fn: () => T): Generator<T> {
      yield fn();
    }
  }
  function note(what: string): string {
    calls.push(what);
    return what;
  }
  beforeEach(() => (calls.length = 0));

  it('just calls the method in work that is not traced, and in exporters own calls', () => {
    app = new TestApplication();
    const active: unknown[] = [];
    const run = (): unknown => new Silent().run(() => active.push(trace.getActiveSpan()));
    context.with(withWork(ROOT_CONTEXT, { application: app, passthrough: ROOT_CONTEXT }), run);
    context.with(ROOT_CONTEXT.setValue(Symbol.for('OpenTelemetry SDK Context Key SUPPRESS_TRACING'), true), run);
    expect(active).toEqual([undefined, undefined]);
    expect(calls).toEqual([]);
    expect(app.openSpans + app.spans.length).toBe(0);
  });

  it('computes nothing where the sampler is known to refuse, but passes the decision on', async () => {
    const refused = refusedSpan();
    app = new TestApplication({ unsampledSpan: () => refused });
    expect(new Silent().run(() => trace.getActiveSpan())).toBe(refused);
    await new Silent().run(async () => {});
    expect(() => new Silent().run(() => fail())).toThrow('failed');
    await lastValueFrom(new Silent().run(() => of(1)) as Observable<number>);
    expect(calls).toEqual([]);
    expect(app.openSpans + app.spans.length).toBe(0);
  });

  it('subscribes to an Observable and asks a generator inside the refused span', () => {
    const refused = refusedSpan();
    app = new TestApplication({ unsampledSpan: () => refused });
    const active: unknown[] = [];
    const look = (): unknown => active.push(trace.getActiveSpan());
    (new Silent().run(() => defer(() => [look()])) as Observable<unknown>).subscribe();
    (new Silent().run(() => defer(() => [look()])) as Observable<unknown>).subscribe();
    for (const _ of new Silent().steps(look));
    expect(active).toEqual([refused, refused, refused]);
  });

  it('just calls the method when no application runs, or one that is not enabled', async () => {
    expect(new Silent().run(() => 5)).toBe(5);
    app = new TestApplication({ isEnabled: false });
    expect(context.with(withWork(ROOT_CONTEXT, { application: app }), () => new Silent().run(() => 6))).toBe(6);
    expect([...new Silent().steps(() => 7)]).toEqual([7]);
    expect(calls).toEqual([]);
  });

  it('goes on without a span when the sampler or a processor throws, and says so once', async () => {
    app = new TestApplication({
      spanProcessors: [
        {
          onStart: () => {},
          onEnd: () => fail(),
          forceFlush: () => Promise.resolve(),
          shutdown: () => Promise.resolve(),
        },
      ],
      sampler: {
        shouldSample: (_ctx, _id, name) => (name === 'refuse' ? fail() : { decision: SamplingDecision.RECORD_AND_SAMPLED }),
      },
    });
    const run = (name: string): unknown => new Tracer(app).span(name, () => 5);
    expect([run('refuse'), run('refuse'), run('end'), run('end')]).toEqual([5, 5, 5, 5]);
    expect(warn.mock.calls.map(([message]) => String(message).slice(0, 27))).toEqual([
      'A span could not be opened;',
      'A span could not be ended a',
    ]);
  });
});

function fail(): never {
  throw new Error('failed');
}
