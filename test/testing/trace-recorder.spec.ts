/** What a user's test can ask a recorder. */
import { context, type Span, SpanKind, SpanStatusCode, trace, type Tracer } from '@opentelemetry/api';
import {
  BasicTracerProvider,
  SamplingDecision,
  SimpleSpanProcessor,
  type SpanExporter,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-node';
import { jest } from '@jest/globals';
import { TraceRecorder } from '../../lib/testing/index.js';

type Entry = 'exporter' | 'span processor';

function setUp(entry: Entry = 'exporter') {
  const recorder = new TraceRecorder();
  // The recorder is both, in the words of the SDK.
  const processor: SpanProcessor = entry === 'exporter' ? new SimpleSpanProcessor(recorder satisfies SpanExporter) : recorder;
  const provider = new BasicTracerProvider({ spanProcessors: [processor] });
  return { recorder, provider, tracer: provider.getTracer('spec') };
}

function start(tracer: Tracer, name: string, parent?: Span, kind?: SpanKind): Span {
  return tracer.startSpan(
    name,
    { ...(kind !== undefined && { kind }) },
    parent ? trace.setSpan(context.active(), parent) : context.active(),
  );
}

/** An order request with two spans side by side below it. */
function orderRequest(tracer: Tracer): Span {
  const root = start(tracer, 'GET /orders/:id', undefined, SpanKind.SERVER);
  const load = start(tracer, 'OrdersService.load', root);
  const call = start(tracer, 'GET', root, SpanKind.CLIENT).setAttribute('http.response.status_code', 404).setAttribute('error.type', '404');
  call.setStatus({ code: SpanStatusCode.ERROR }).end();
  load.end();
  root.setStatus({ code: SpanStatusCode.OK }).end();
  return root;
}

describe.each<Entry>(['exporter', 'span processor'])('A TraceRecorder used as %s', entry => {
  it('holds finished spans in the order of their ends', () => {
    const { recorder, tracer } = setUp(entry);
    orderRequest(tracer);
    start(tracer, 'never ended');
    expect(recorder.spans.map(span => span.name)).toEqual(['GET', 'OrdersService.load', 'GET /orders/:id']);
    expect(recorder.roots.map(span => span.name)).toEqual(['GET /orders/:id']);
  });

  it('finds a span by name or by function, and its parent', () => {
    const { recorder, tracer } = setUp(entry);
    orderRequest(tracer);
    const call = recorder.find(span => span.kind === SpanKind.CLIENT);
    expect(call?.name).toBe('GET');
    expect(call && recorder.parentOf(call)).toBe(recorder.find('GET /orders/:id'));
    expect(recorder.find('nothing')).toBeUndefined();
  });

  it('keeps its spans readable after shutdown, and forgets them on clear()', async () => {
    const { recorder, provider, tracer } = setUp(entry);
    orderRequest(tracer);
    await provider.shutdown();
    expect(recorder.spans).toHaveLength(3);
    recorder.clear();
    expect(recorder.spans).toEqual([]);
    expect(recorder.tree()).toBe('');
  });

  it('resolves a wait when the span finishes, or at once', async () => {
    const { recorder, tracer } = setUp(entry);
    const waiting = recorder.waitForSpan('later');
    const span = start(tracer, 'later');
    span.end();
    await expect(waiting).resolves.toMatchObject({ name: 'later' });
    await expect(recorder.waitForSpan(({ name }) => name === 'later', { timeoutMs: 0 })).resolves.toBe(recorder.spans[0]);
  });

  it('resolves a wait for many spans when there are enough', async () => {
    const { recorder, tracer } = setUp(entry);
    const three = recorder.waitForSpans(3);
    const withCall = recorder.waitForSpans(spans => spans.some(span => span.kind === SpanKind.CLIENT));
    orderRequest(tracer);
    expect((await three).length).toBe(3);
    expect((await withCall).length).toBe(1);
  });

  it('resolves a wait for a trace with all its spans when the first one has finished', async () => {
    const { recorder, tracer } = setUp(entry);
    const waiting = recorder.waitForTrace();
    const { traceId } = orderRequest(tracer).spanContext();
    orderRequest(tracer);
    expect((await waiting).map(span => span.name)).toEqual(['GET', 'OrdersService.load', 'GET /orders/:id']);
    expect((await recorder.waitForTrace(traceId)).every(span => span.spanContext().traceId === traceId)).toBe(true);
  });

  it('takes a request from another process for the first span of its trace', async () => {
    const { recorder, tracer } = setUp(entry);
    const caller = trace.setSpanContext(context.active(), {
      traceId: 'a'.repeat(32),
      spanId: 'b'.repeat(16),
      traceFlags: 1,
      isRemote: true,
    });
    tracer.startSpan('GET /users/:id', {}, caller).end();
    await expect(recorder.waitForTrace('a'.repeat(32))).resolves.toHaveLength(1);
  });

  it('fails a wait with the tree of what was recorded', async () => {
    const { recorder, tracer } = setUp(entry);
    orderRequest(tracer);
    const error = await recorder.waitForSpan('GET /users/:id', { timeoutMs: 1 }).catch((reason: unknown) => reason as Error);
    expect(error).toBeInstanceOf(Error);
    expect((error as Error).message).toContain('waited 1 ms for a span "GET /users/:id"');
    expect((error as Error).message).toContain(recorder.tree());
    await expect(recorder.waitForSpans(9, { timeoutMs: 1 })).rejects.toThrow('9 spans');
    await expect(recorder.waitForTrace('c'.repeat(32), { timeoutMs: 1 })).rejects.toThrow('c'.repeat(32));
  });

  it('fails a wait whose function throws', async () => {
    const { recorder, tracer } = setUp(entry);
    const waiting = recorder.waitForSpan(() => {
      throw new Error('my own mistake');
    });
    start(tracer, 'any').end();
    await expect(waiting).rejects.toThrow('my own mistake');
  });

  it('prints a tree without times and ids, with the attributes asked for', () => {
    const { recorder, tracer } = setUp(entry);
    orderRequest(tracer);
    const tree = recorder.tree({ attributes: ['http.response.status_code', 'missing'] });
    expect(tree.split('\n').sort()).toEqual([
      '  GET (client) error=404 http.response.status_code=404',
      '  OrdersService.load',
      'GET /orders/:id (server) ok',
    ]);
  });
});

describe('A TraceRecorder that sees spans start', () => {
  it('prints siblings in the order they started, however fast they follow each other', () => {
    for (let run = 0; run < 20; run += 1) {
      const { recorder, tracer } = setUp('span processor');
      orderRequest(tracer);
      expect(recorder.tree()).toBe('GET /orders/:id (server) ok\n  OrdersService.load\n  GET (client) error=404');
    }
  });

  it('waits until nothing of the trace is open, and names what is when it waited in vain', async () => {
    const { recorder, tracer } = setUp('span processor');
    const root = start(tracer, 'POST /orders');
    const late = start(tracer, 'MailService.send', root);
    root.end();
    await expect(recorder.waitForTrace(undefined, { timeoutMs: 1 })).rejects.toThrow('Started and not ended: MailService.send');
    late.end();
    await expect(recorder.waitForTrace()).resolves.toHaveLength(2);
  });

  it('forgets on clear() what has started, too: a trace is not held up by spans that an earlier test left open', async () => {
    const { recorder, tracer } = setUp('span processor');
    const root = start(tracer, 'POST /orders');
    start(tracer, 'abandoned', root);
    recorder.clear();
    await expect(recorder.waitForSpan('any', { timeoutMs: 1 })).rejects.not.toThrow('abandoned');
    root.end();
    await expect(recorder.waitForTrace()).resolves.toHaveLength(1);
  });

  it('records what an exporter would get: no span that is not sampled', async () => {
    const recorder = new TraceRecorder();
    const sampler = { shouldSample: () => ({ decision: SamplingDecision.RECORD }), toString: () => 'record only' };
    const tracer = new BasicTracerProvider({ sampler, spanProcessors: [recorder] }).getTracer('spec');
    tracer.startSpan('unsampled').end();
    tracer.startSpan('unsampled and open');
    expect(recorder.spans).toEqual([]);
    const failure = recorder.waitForSpan('unsampled', { timeoutMs: 1 });
    await expect(failure).rejects.toThrow('(no span)');
    await expect(failure).rejects.not.toThrow('unsampled and open');
  });

  it('records a span once although it is exporter and span processor of the same provider', () => {
    const recorder = new TraceRecorder();
    const provider = new BasicTracerProvider({ spanProcessors: [recorder, new SimpleSpanProcessor(recorder)] });
    provider.getTracer('spec').startSpan('once').end();
    expect(recorder.spans).toHaveLength(1);
  });
});

describe('Waits', () => {
  afterEach(() => jest.useRealTimers());

  it('end in time under fake timers', async () => {
    jest.useFakeTimers();
    await expect(new TraceRecorder().waitForSpan('never', { timeoutMs: 1 })).rejects.toThrow('never');
  });
});

describe('A recorded tree', () => {
  it('names services where a trace passes from one to another', async () => {
    const { finishedSpan } = await import('../viewer/finished-span.js');
    const recorder = new TraceRecorder();
    recorder.export([
      finishedSpan({ id: '3', name: 'GET /users/:id', parent: '2', service: 'users', kind: SpanKind.SERVER }),
      finishedSpan({ id: '2', name: 'GET', parent: '1', kind: SpanKind.CLIENT }),
      finishedSpan({ id: '1', name: 'GET /orders/:id', kind: SpanKind.SERVER }),
    ]);
    expect(recorder.tree()).toBe('orders: GET /orders/:id (server)\n  GET (client)\n    users: GET /users/:id (server)');
  });
});
