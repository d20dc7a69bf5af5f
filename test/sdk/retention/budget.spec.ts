/** A request has a limited number of spans. */
import { describe, expect, it } from '@jest/globals';
import { ROOT_CONTEXT, type Span, SpanKind, trace } from '@opentelemetry/api';
import { said } from '../pipelines.js';
import { caller, pipelineOf, traceIdOf } from './local-roots.js';

describe('the budget of spans', () => {
  it('is 1000 for each request', async () => {
    const { open, names } = await pipelineOf({});
    for (const name of ['one', 'other']) {
      const root = open(name);
      for (let count = 0; count < 1200; count++) open('child', root).end();
      root.end();
    }
    expect(names()).toHaveLength(2000);
  });

  it('counts the calls beyond it on the span that they are made in, and on that of the request', async () => {
    const { open, exported } = await pipelineOf({ budget: 3 });
    const root = open('root');
    const [first, second] = [open('first', root), open('second', root)];
    const omitted = [open('a', first), open('b', first), open('c', root)];
    omitted.push(open('d', omitted[0]));
    expect(omitted.map(span => span.isRecording())).toEqual([false, false, false, false]);
    for (const span of [...omitted, second, first, root]) span.end();
    expect(exported().map(({ name, attributes }) => [name, attributes])).toEqual([
      ['second', {}],
      ['first', { 'nestjs.omitted.count': 3 }],
      ['root', { 'nestjs.omitted.count': 1, 'nestjs.omitted.total': 4, 'nestjs.omitted.budget': 3 }],
    ]);
  });

  it('lets calls beyond it continue the trace below the nearest span', async () => {
    const { open, propagator } = await pipelineOf({ budget: 2 });
    const root = open('root');
    const nearest = open('nearest', root);
    const deep = open('b', open('a', nearest));
    const headers: Record<string, string> = {};
    propagator.inject(trace.setSpan(ROOT_CONTEXT, deep), headers, { set: (carrier, key, value) => (carrier[key] = value) });
    const { traceId, spanId } = nearest.spanContext();
    expect(headers['traceparent']).toBe(`00-${traceId}-${spanId}-03`);
    for (const span of [nearest, root]) span.end();
  });

  it('leaves other requests of the same trace their own', async () => {
    const { open, names } = await pipelineOf({ budget: 2 });
    const from = caller(traceIdOf('ffffffffffffff'));
    const roots = [open('one', from), open('other', from)];
    for (const root of roots) for (let count = 0; count < 5; count++) open('child', root).end();
    for (const root of roots) root.end();
    expect(names()).toEqual(['child', 'child', 'one', 'other']);
  });

  it('is one of its own for a message that comes after the end of the request that caused it', async () => {
    const { open, tracer, unsampledSpan, names } = await pipelineOf({ budget: 2 });
    const root = open('root');
    open('child', root).end();
    root.end();
    const after = trace.setSpan(ROOT_CONTEXT, root);
    expect(unsampledSpan(after, true)).toBeUndefined();
    const message = tracer.startSpan('message', { kind: SpanKind.CONSUMER }, after);
    for (const name of ['first', 'second']) open(name, message).end();
    message.end();
    expect(names()).toEqual(['child', 'root', 'first', 'message']);
  });

  it('says once that work goes on after the end of its request, and has no spans any more', async () => {
    const { open, names } = await pipelineOf({ budget: 2 });
    const root = open('GET /start');
    root.end();
    for (const name of ['a', 'b', 'c']) open(name, root).end();
    expect(names()).toEqual(['GET /start', 'a']);
    expect(said).toEqual([expect.stringContaining('"GET /start" has started goes on after its end')]);
  });

  it('may be switched off', async () => {
    const { open, names } = await pipelineOf({ budget: false });
    const root = open('root');
    for (let count = 0; count < 1500; count++) open('child', root).end();
    root.end();
    expect(names()).toHaveLength(1501);
  });

  it('counts 100 requests at once, each for itself', async () => {
    const { open, exported } = await pipelineOf({ budget: 5 });
    const roots = Array.from({ length: 100 }, () => open('root'));
    const ends: Span[] = [];
    for (let round = 0; round < 10; round++) {
      await Promise.resolve();
      for (const [index, root] of roots.entries()) if (round <= index % 10) ends.push(open('child', root));
    }
    for (const span of [...ends, ...roots]) span.end();
    const totals = exported()
      .filter(({ name }) => name === 'root')
      .map(({ attributes }) => attributes['nestjs.omitted.total'] ?? 0);
    expect(totals).toEqual(roots.map((_, index) => Math.max(0, (index % 10) + 1 - 4)));
    expect(exported()).toHaveLength(100 + roots.reduce((sum, _, index) => sum + Math.min(4, (index % 10) + 1), 0));
  });
});

describe('what has no span any more', () => {
  it('is also what the instrumentations of OpenTelemetry would open', async () => {
    const { open, provider, names } = await pipelineOf({ budget: 2 });
    const root = open('root');
    const other = provider.getTracer('@opentelemetry/instrumentation-pg');
    for (let count = 0; count < 3; count++) other.startSpan('SELECT', {}, trace.setSpan(ROOT_CONTEXT, root)).end();
    root.end();
    expect(names()).toEqual(['SELECT', 'root']);
  });
});
