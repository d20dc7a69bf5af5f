/** Many similar spans below one parent leave the process as one. */
import { describe, expect, it } from '@jest/globals';
import { type Attributes, ROOT_CONTEXT, type Span, SpanKind, trace } from '@opentelemetry/api';
import { resolveOptions } from '../../../lib/options/resolved-options.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { startPipeline } from '../pipelines.js';
import { fail, pipelineOf, type TestPipeline, traceIdOf } from './local-roots.js';

const BEGIN = 1_000_000_000_000;

/** Opens and ends a span below `parent`, which begins `at` milliseconds and takes `ms`. */
function child(
  { tracer }: TestPipeline,
  parent: Span,
  name: string,
  at: number,
  ms: number,
  more: { kind?: SpanKind; attributes?: Attributes } = {},
): Span {
  const span = tracer.startSpan(name, { startTime: BEGIN + at, ...more }, trace.setSpan(ROOT_CONTEXT, parent));
  span.end(BEGIN + at + ms);
  return span;
}

describe('the option fold', () => {
  it('is off, and on with its defaults where it is true or where methods have spans', () => {
    expect(resolveOptions({}).fold).toBeUndefined();
    expect(resolveOptions({ methods: true }).fold).toEqual({ over: 20, keepSlowest: 3 });
    expect(resolveOptions({ methods: true, fold: false }).fold).toBeUndefined();
    expect(resolveOptions({ fold: true }).fold).toEqual({ over: 20, keepSlowest: 3 });
    expect(resolveOptions({ fold: { over: 5 } }).fold).toEqual({ over: 5, keepSlowest: 3 });
  });

  it('turns more than 20 similar spans into the slowest three and one that stands for the others', async () => {
    const pipeline = await pipelineOf({ fold: true });
    const root = pipeline.open('root');
    for (let index = 0; index < 25; index++)
      child(pipeline, root, 'load', index * 100, index + 1, { attributes: { same: 'x', own: index } });
    root.end();
    const loads = pipeline.exported().filter(({ name }) => name === 'load');
    expect(loads).toHaveLength(4);
    expect(loads.slice(0, 3).map(({ attributes }) => attributes)).toEqual([22, 23, 24].map(own => ({ same: 'x', own })));
    const { attributes, startTime, endTime, duration, parentSpanContext, kind } = loads[3]!;
    expect(attributes).toEqual({ same: 'x', 'nestjs.folded.count': 22, 'nestjs.folded.sum_ms': 253, 'nestjs.folded.slowest_ms': 22 });
    expect({ startTime, endTime, duration, kind }).toEqual({
      startTime: [1e9, 0],
      endTime: [1e9 + 2, 122e6],
      duration: [2, 122e6],
      kind: SpanKind.INTERNAL,
    });
    expect(parentSpanContext?.spanId).toBe(root.spanContext().spanId);
    expect(pipeline.names().at(-1)).toBe('load');
  });

  it('leaves 20 of them alone, and others beside them', async () => {
    const pipeline = await pipelineOf({ fold: true });
    const root = pipeline.open('root');
    for (let index = 0; index < 20; index++) child(pipeline, root, 'load', 0, 1);
    for (let index = 0; index < 15; index++) child(pipeline, root, 'save', 0, 1);
    for (let index = 0; index < 15; index++) child(pipeline, root, 'save', 0, 1, { kind: SpanKind.CONSUMER });
    root.end();
    expect(pipeline.names()).toHaveLength(51);
  });

  it('keeps what failed, and what a failed span is below', async () => {
    const pipeline = await pipelineOf({ fold: { over: 5, keepSlowest: 0 } });
    const root = pipeline.open('root');
    for (let index = 0; index < 10; index++) {
      const load = pipeline.open('load', root);
      if (index === 3) fail(load);
      const inner = pipeline.open('inner', load);
      if (index === 7) fail(inner);
      inner.end();
      load.end();
    }
    root.end();
    expect(pipeline.names().sort()).toEqual(['inner', 'inner', 'load', 'load', 'load', 'root']);
    const folded = pipeline.exported().find(({ attributes }) => 'nestjs.folded.count' in attributes);
    expect(folded?.attributes).toMatchObject({ 'nestjs.folded.count': 8, 'nestjs.folded.descendants': 8 });
  });

  it('keeps what has an exception that was handled, or a link to another trace', async () => {
    const pipeline = await pipelineOf({ fold: { over: 5, keepSlowest: 0 } });
    const root = pipeline.open('root');
    for (let index = 0; index < 10; index++) {
      const span = pipeline.open('load', root);
      if (index === 3) span.recordException(new Error('handled'));
      if (index === 4) span.addLink({ context: { traceId: traceIdOf('ffffffffffffff'), spanId: 'b7ad6b7169203331', traceFlags: 1 } });
      span.end();
    }
    root.end();
    const loads = pipeline.exported().filter(({ name }) => name === 'load');
    expect(loads.map(({ events, links, attributes }) => [events.length, links.length, attributes['nestjs.folded.count']])).toEqual([
      [1, 0, undefined],
      [0, 1, undefined],
      [0, 0, 8],
    ]);
  });

  it('adds up what the folded spans have counted', async () => {
    const pipeline = await pipelineOf({ fold: { over: 5, keepSlowest: 0 } });
    const root = pipeline.open('root');
    for (let index = 0; index < 10; index++)
      child(pipeline, root, 'load', index, 1, {
        attributes: { 'nestjs.calls.A.b.count': index, 'nestjs.calls.A.b.duration_ms': 0.5, 'nestjs.omitted.count': 1, rows: index },
      });
    root.end();
    expect(pipeline.exported().find(({ name }) => name === 'load')?.attributes).toEqual({
      'nestjs.calls.A.b.count': 45,
      'nestjs.calls.A.b.duration_ms': 5,
      'nestjs.omitted.count': 10,
      'nestjs.folded.count': 10,
      'nestjs.folded.sum_ms': 10,
      'nestjs.folded.slowest_ms': 1,
    });
  });

  it('keeps calls to other services, whose spans would lose their parent, but folds statements', async () => {
    const pipeline = await pipelineOf({ fold: { over: 5, keepSlowest: 1 } });
    const root = pipeline.open('root');
    for (let index = 0; index < 10; index++) {
      child(pipeline, root, 'GET', 0, 1, { kind: SpanKind.CLIENT });
      child(pipeline, root, 'SELECT users', 0, 1, { kind: SpanKind.CLIENT, attributes: { 'db.system.name': 'postgresql' } });
      const call = pipeline.open('call', root);
      child(pipeline, call, 'GET', 0, 1, { kind: SpanKind.CLIENT });
      call.end();
    }
    root.end();
    const counts = pipeline.names().reduce<Record<string, number>>((sum, name) => ({ ...sum, [name]: (sum[name] ?? 0) + 1 }), {});
    expect(counts).toEqual({ GET: 20, 'SELECT users': 2, call: 10, root: 1 });
  });

  it('folds below each parent by itself, also below those that stay of an outer group', async () => {
    const pipeline = await pipelineOf({ fold: { over: 5, keepSlowest: 1 } });
    const root = pipeline.open('root');
    for (let index = 0; index < 10; index++) {
      const page = pipeline.tracer.startSpan('page', { startTime: BEGIN }, trace.setSpan(ROOT_CONTEXT, root));
      for (let row = 0; row < 10; row++) child(pipeline, page, 'row', row, row);
      page.end(BEGIN + 100 + index);
    }
    root.end();
    expect(pipeline.names().sort()).toEqual(['page', 'page', 'root', 'row', 'row']);
    const folded = pipeline.exported().filter(({ attributes }) => 'nestjs.folded.count' in attributes);
    expect(
      folded.map(({ name, attributes }) => [name, attributes['nestjs.folded.count'], attributes['nestjs.folded.descendants']]),
    ).toEqual(
      expect.arrayContaining([
        ['page', 9, 90],
        ['row', 9, undefined],
      ]),
    );
    const ids = new Set(pipeline.exported().map(span => span.spanContext().spanId));
    expect(pipeline.exported().every(({ parentSpanContext }) => parentSpanContext === undefined || ids.has(parentSpanContext.spanId))).toBe(
      true,
    );
  });

  it('gives a span that ends late the folded span as parent', async () => {
    const pipeline = await pipelineOf({ fold: { over: 5, keepSlowest: 0 } });
    const root = pipeline.open('root');
    const loads = Array.from({ length: 10 }, (_, index) => child(pipeline, root, 'load', index, 1));
    const late = pipeline.open('late', loads[4]);
    root.end();
    late.end();
    const folded = pipeline.exported().find(({ name }) => name === 'load');
    expect(pipeline.names()).toEqual(['root', 'load', 'late']);
    expect(pipeline.exported()[2]?.parentSpanContext?.spanId).toBe(folded?.spanContext().spanId);
  });

  it('folds what a request has made so far, and again what it makes later, if it lasts very long', async () => {
    const pipeline = await pipelineOf({ fold: { over: 5, keepSlowest: 0 } });
    const root = pipeline.open('root');
    const loads = Array.from({ length: 10 }, (_, index) => child(pipeline, root, 'load', index, 1));
    const late = pipeline.open('late', loads[4]);
    await pipeline.forceFlush();
    expect(pipeline.names()).toEqual(['load']);
    late.end();
    for (let index = 0; index < 10; index++) child(pipeline, root, 'load', index, 1);
    root.end();
    expect(pipeline.names()).toEqual(['load', 'late', 'root', 'load']);
    expect(pipeline.exported()[1]?.parentSpanContext?.spanId).toBe(pipeline.exported()[0]?.spanContext().spanId);
  });

  it('folds what is kept by the option keep', async () => {
    const pipeline = await pipelineOf({ fold: { over: 5, keepSlowest: 0 }, keep: { ratio: 0 } });
    for (const root of [pipeline.open('fine'), fail(pipeline.open('failed'))]) {
      for (let index = 0; index < 10; index++) child(pipeline, root, 'load', index, 1);
      root.end();
    }
    expect(pipeline.names()).toEqual(['failed', 'load']);
    expect(pipeline.exported().map(span => span.spanContext().traceState?.serialize())).toEqual(['ot=th:0', 'ot=th:0']);
  });

  it('lets a recorder wait for the complete trace', async () => {
    const recorder = new TraceRecorder();
    const { tracer } = await startPipeline({ fold: { over: 5, keepSlowest: 0 }, exporter: recorder });
    const root = tracer.startSpan('root');
    for (let index = 0; index < 10; index++) tracer.startSpan('load', {}, trace.setSpan(ROOT_CONTEXT, root)).end();
    root.end();
    expect((await recorder.waitForTrace()).map(({ name }) => name).sort()).toEqual(['load', 'root']);
  });
});
