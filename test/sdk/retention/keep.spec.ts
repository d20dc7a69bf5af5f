/** Which traces leave the process with the option `keep`. */
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { createTraceState, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import type { SpanProcessor } from '@opentelemetry/sdk-trace-node';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { said, startPipeline } from '../pipelines.js';
import { caller, fail, pipelineOf, traceIdOf } from './local-roots.js';

const reason = 'nestjs.keep.reason';
/** Nothing is kept but what a test asks for. */
const nothing = { errors: false, slowerThanMs: () => undefined, ratio: 0 } as const;

describe('the option keep', () => {
  it('exports nothing of a request before its end, and then all of it or nothing', async () => {
    const { open, names, exported } = await pipelineOf({ keep: { ratio: 0 } });
    const [failed, fine] = [open('failed'), open('fine')];
    for (const root of [failed, fine]) open('child', root).end();
    fail(open('failing child', failed)).end();
    expect(names()).toEqual([]);
    fine.end();
    expect(names()).toEqual([]);
    failed.end();
    expect(names()).toEqual(['child', 'failing child', 'failed']);
    expect(new Set(exported().map(span => span.spanContext().traceId)).size).toBe(1);
    expect(exported().map(({ attributes }) => attributes[reason])).toEqual([undefined, undefined, 'error']);
  });

  it('keeps a request whose own span failed, unless errors are of no interest', async () => {
    const keeping = await pipelineOf({ keep: { ratio: 0 } });
    fail(keeping.open('a')).end();
    expect(keeping.exported().map(({ attributes }) => attributes[reason])).toEqual(['error']);
    const other = await pipelineOf({ keep: { ratio: 0, errors: false } });
    fail(other.open('a')).end();
    expect(other.names()).toEqual([]);
  });

  it('keeps what takes at least so long, a second by default', async () => {
    const { request, exported } = await pipelineOf({ keep: { ratio: 0 } });
    request('fast', 999);
    request('slow', 1000);
    expect(exported().map(({ name, attributes }) => [name, attributes[reason]])).toEqual([['slow', 'slow']]);
  });

  it('asks a function what is slow for a route, and goes on if it throws', async () => {
    const limits: Readonly<Record<string, number | undefined>> = { 'GET /a': 10, 'GET /b': 1000 };
    const { request, names } = await pipelineOf({
      keep: {
        ratio: 0,
        slowerThanMs: route => {
          if (route === 'GET /broken') throw new Error('broken');
          return limits[route];
        },
      },
    });
    for (const route of ['GET /a', 'GET /b', 'GET /c', 'GET /broken']) request(route, 500);
    expect(names()).toEqual(['GET /a']);
    expect(said).toEqual([expect.stringContaining('"keep.slowerThanMs"')]);
  });

  it('learns what the slowest hundredth of a route is, each route by itself', async () => {
    const { request, names, exported } = await pipelineOf({ keep: { ratio: 0, slowerThanMs: 'p99' } });
    for (let count = 0; count < 200; count++) {
      request('GET /fast', 10 + (count % 10));
      request('GET /slow', 1000 + (count % 10));
    }
    expect(names()).toEqual([]);
    request('GET /fast', 100);
    request('GET /slow', 100);
    request('GET /slow', 5000);
    request('GET /new', 5000);
    expect(exported().map(({ name, attributes }) => [name, attributes[reason]])).toEqual([
      ['GET /fast', 'slow'],
      ['GET /slow', 'slow'],
    ]);
  });

  it('learns it also of jobs that take hours', async () => {
    const { request, names } = await pipelineOf({ keep: { ratio: 0, slowerThanMs: 'p99' } });
    const hour = 3_600_000;
    for (let count = 0; count < 200; count++) request('import', 3 * hour + count);
    expect(names()).toEqual([]);
    request('import', 5 * hour);
    expect(names()).toEqual(['import']);
  });

  it('follows a route that becomes slower for good', async () => {
    const { request, names } = await pipelineOf({ keep: { ratio: 0, slowerThanMs: 'p99' } });
    for (let count = 0; count < 5000; count++) request('GET /', 10);
    for (let count = 0; count < 15_000; count++) request('GET /', 1000);
    const before = names().length;
    for (let count = 0; count < 100; count++) request('GET /', 1000);
    expect(names().length - before).toBe(0);
  });

  it('keeps a ratio of the other requests by the last 56 bits of the trace id, as OpenTelemetry defines it', async () => {
    const { request, exported } = await pipelineOf({ keep: { ratio: 0.25 } });
    for (const random of ['bfffffffffffff', 'c0000000000000', 'ffffffffffffff', '00000000000000'])
      request('a', 1, caller(traceIdOf(random)));
    expect(exported().map(span => span.spanContext().traceId.slice(-14))).toEqual(['c0000000000000', 'ffffffffffffff']);
    expect(exported().map(({ attributes }) => attributes[reason])).toEqual(['ratio', 'ratio']);
    expect(exported().map(span => span.spanContext().traceState?.serialize())).toEqual(['ot=th:c', 'ot=th:c']);
  });

  it('keeps next to nothing with a ratio that is next to 0', async () => {
    const { request, names } = await pipelineOf({ keep: { ratio: 1e-17 } });
    for (const random of ['80000000000000', 'f0000000000000', 'ffffffffffff00']) request('a', 1, caller(traceIdOf(random)));
    expect(names()).toEqual([]);
  });

  it('keeps about that share of the traces that begin here', async () => {
    const { request, names } = await pipelineOf({ keep: { ratio: 0.1 } });
    for (let count = 0; count < 5000; count++) request('a', 1);
    expect(names().length).toBeGreaterThan(380);
    expect(names().length).toBeLessThan(630);
  });

  it('says in the tracestate how many traces one stands for, whatever it was kept for', async () => {
    const { open, request, exported } = await pipelineOf({ keep: { ratio: 0.05 } });
    fail(open('failed', caller(traceIdOf('00000000000000')))).end();
    request('usual', 1, caller(traceIdOf('fffffffffffff0')));
    const sender = createTraceState('a=1,ot=rv:f4000000000000;th:fa');
    request('by the random value', 1, caller(traceIdOf('00000000000000'), 1, sender));
    expect(exported().map(span => span.spanContext().traceState?.serialize())).toEqual([
      'ot=th:0',
      'ot=th:f3333',
      'ot=th:fa;rv:f4000000000000,a=1',
    ]);
  });

  it('says nothing there if the sampler already left traces out', async () => {
    const { open, exported } = await pipelineOf({ keep: {}, sampler: 0.5 });
    fail(open('failed', caller(traceIdOf('00000000000000')))).end();
    expect(exported().map(span => span.spanContext().traceState)).toEqual([undefined]);
  });

  it('records nothing for a caller that does not sample', async () => {
    const { open, names } = await pipelineOf({ keep: { ratio: 1 } });
    const root = open('a', caller(traceIdOf('ffffffffffffff'), 0));
    expect(root.isRecording()).toBe(false);
    fail(root).end();
    expect(names()).toEqual([]);
  });

  it('tells the next service that the trace is sampled, because it may still be kept', async () => {
    const { open, propagator } = await pipelineOf({ keep: nothing });
    const root = open('a');
    const headers: Record<string, string> = {};
    propagator.inject(trace.setSpan(ROOT_CONTEXT, root), headers, { set: (carrier, key, value) => (carrier[key] = value) });
    expect(headers['traceparent']).toMatch(/-03$/);
    root.end();
  });

  it('lets spans that end later follow the decision', async () => {
    const { open, names } = await pipelineOf({ keep: { ratio: 0 } });
    const [failed, fine] = [open('failed'), open('fine')];
    const late = [open('late, kept', failed), open('late, dropped', fine)];
    fail(failed).end();
    fine.end();
    const later = late.map(span => open('below it', span));
    fail(late[1]!);
    for (const span of [...late, ...later]) span.end();
    expect(names()).toEqual(['failed', 'late, kept', 'below it']);
  });

  it('sends no threshold with calls that are made after the decision: the next service decides by itself', async () => {
    const { open, tracer, exported } = await pipelineOf({ keep: { ratio: 0.5 } });
    for (const [received, sent] of [
      [undefined, undefined],
      ['a=1,ot=th:c', 'ot=th:c,a=1'],
    ] as const) {
      const state = received === undefined ? undefined : createTraceState(received);
      const root = open('root', caller(traceIdOf('ffffffffffffff'), 1, state));
      root.end();
      const late = open('late', root);
      const message = tracer.startSpan('message', { kind: SpanKind.CONSUMER }, trace.setSpan(ROOT_CONTEXT, root));
      for (const span of [late, message]) {
        expect(span.spanContext().traceState?.serialize()).toBe(received);
        span.end();
      }
      const states = exported().slice(-3).map(span => span.spanContext().traceState?.serialize()); // prettier-ignore
      expect(states).toEqual(Array.from({ length: 3 }, () => sent ?? 'ot=th:8'));
    }
  });

  it('decides by itself on a message that comes after the end of the request that caused it', async () => {
    const { open, tracer, exported } = await pipelineOf({ keep: { ratio: 0 } });
    const root = open('root');
    root.end();
    const after = trace.setSpan(ROOT_CONTEXT, root);
    for (const name of ['fine', 'failed']) {
      const message = tracer.startSpan(name, { kind: SpanKind.CONSUMER }, after);
      const inside = open(`in ${name}`, message);
      if (name === 'failed') fail(inside);
      inside.end();
      message.end();
    }
    expect(exported().map(({ name, attributes }) => [name, attributes[reason]])).toEqual([
      ['in failed', undefined],
      ['failed', 'error'],
    ]);
  });

  it('keeps further requests of a trace of which it kept one', async () => {
    const { open, exported } = await pipelineOf({ keep: { ratio: 0 } });
    const trace = caller(traceIdOf('00000000000000'));
    const [before, after] = [open('before', trace), open('after', trace)];
    before.end();
    fail(open('failed', trace)).end();
    after.end();
    expect(exported().map(({ name, attributes }) => [name, attributes[reason]])).toEqual([
      ['failed', 'error'],
      ['after', 'trace'],
    ]);
  });

  it('tells 100 requests apart that are in flight at once', async () => {
    const { open, exported } = await pipelineOf({ keep: { ratio: 0 } });
    const roots = Array.from({ length: 100 }, (_, index) => open(`request ${index}`));
    await Promise.all(
      roots.map(async (root, index) => {
        const child = open(`child of ${index}`, root);
        await pause(index % 7);
        const inner = open(`inner of ${index}`, child);
        await pause(index % 3);
        if (index % 10 === 0) fail(inner);
        for (const span of [inner, child, root]) span.end();
      }),
    );
    const expected = roots.flatMap((_, index) => (index % 10 === 0 ? [`child of ${index}`, `inner of ${index}`, `request ${index}`] : []));
    expect(
      exported()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(expected.sort());
  });

  it('shows span processors every span, kept or not', async () => {
    const seen: string[] = [];
    const processor: SpanProcessor = {
      onStart: () => undefined,
      onEnd: ({ name }) => void seen.push(name),
      forceFlush: () => Promise.resolve(),
      shutdown: () => Promise.resolve(),
    };
    const { request, names } = await pipelineOf({ keep: nothing, spanProcessors: [processor] });
    request('a', 1);
    expect(seen).toEqual(['a']);
    expect(names()).toEqual([]);
  });

  it('lets a recorder wait for complete traces, though it never gets some spans', async () => {
    const recorder = new TraceRecorder();
    const { tracer } = await startPipeline({ keep: { ratio: 0 }, exporter: recorder });
    const root = tracer.startSpan('dropped');
    tracer.startSpan('child', {}, trace.setSpan(ROOT_CONTEXT, root)).end();
    root.end();
    const failed = tracer.startSpan(
      'kept',
      {},
      trace.setSpan(ROOT_CONTEXT, trace.wrapSpanContext({ ...root.spanContext(), isRemote: true })),
    );
    fail(failed).end();
    const spans = await recorder.waitForTrace(root.spanContext().traceId);
    expect(spans.map(({ name }) => name)).toEqual(['kept']);
  });
});

describe('what is held by the option keep', () => {
  it('is limited in number: the oldest request is decided first, and this is said at the end', async () => {
    const { open, names, exported, shutdown } = await pipelineOf({ keep: { ratio: 0, maxSpans: 10 } });
    const [oldest, failing, newest] = [open('oldest'), open('failing'), open('newest')];
    for (let count = 0; count < 4; count++)
      for (const root of [oldest, newest]) open(`child of ${root === oldest ? 'oldest' : 'newest'}`, root).end();
    fail(open('child of failing', failing)).end();
    open('the tenth', newest).end();
    expect(names()).toEqual([]);
    open('one more', newest).end();
    for (const root of [fail(oldest), failing, newest]) root.end();
    // The four spans of the oldest one were dropped before it failed.
    expect(names()).toEqual(['oldest', 'child of failing', 'failing']);
    expect(exported()[0]?.attributes).toMatchObject({ [reason]: 'error', 'nestjs.keep.discarded': 4 });
    await shutdown();
    expect(said).toEqual([expect.stringContaining('decided on 1 request before the end')]);
    expect(said[0]).toContain('4 spans');
  });

  it('is limited in bytes', async () => {
    const { open, names } = await pipelineOf({ keep: { ratio: 1, maxMemoryMb: 1 } });
    const root = open('root');
    const text = 'x'.repeat(100_000);
    for (let count = 0; count < 9; count++) open('child', root).setAttribute('text', text).end();
    expect(names()).toEqual([]);
    for (let count = 0; count < 2; count++) open('child', root).setAttribute('text', text).end();
    expect(names()).toHaveLength(11);
    root.end();
    expect(names()).toHaveLength(12);
  });

  it('waits for the end of its request only for a limited time', async () => {
    const { open, names, exported } = await pipelineOf({ keep: { ratio: 0, slowerThanMs: 1, maxWaitMs: 20 } });
    const root = open('lasting', ROOT_CONTEXT, Date.now() - 5000);
    open('child', root).end();
    expect(names()).toEqual([]);
    while (names().length === 0) await pause(5);
    open('later child', root).end();
    expect(names()).toEqual(['child', 'later child']);
    root.end();
    expect(exported()[2]?.attributes[reason]).toBe('slow');
  });

  it('is decided by a flush: what is kept by then is exported', async () => {
    const { open, names, forceFlush } = await pipelineOf({ keep: { ratio: 0 } });
    const [failing, fine] = [open('failing'), open('fine')];
    fail(open('failed child', failing)).end();
    open('child', fine).end();
    await forceFlush();
    expect(names()).toEqual(['failed child']);
    for (const root of [failing, fine]) root.end();
    expect(names()).toEqual(['failed child', 'failing']);
  });

  it('is decided at the end of the application', async () => {
    const { open, shutdown, names } = await pipelineOf({ keep: { ratio: 0 } });
    open('child', open('never ends')).end();
    fail(open('failed child', open('never ends'))).end();
    expect(names()).toEqual([]);
    await shutdown();
    expect(names()).toEqual(['failed child']);
    expect(said).toEqual([]);
  });

  it('is let go with each decision', async () => {
    const { open, exported } = await pipelineOf({ keep: { ratio: 0, maxSpans: 100 } });
    for (let round = 0; round < 50; round++) {
      const root = open('root');
      for (let count = 0; count < 20; count++) open('child', root).end();
      if (round === 49) fail(root);
      root.end();
    }
    expect(exported()).toHaveLength(21);
    expect(said).toEqual([]);
  });
});
