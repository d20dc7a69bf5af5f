import { Inject, Injectable, Scope } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { EventEmitter2, EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { of } from 'rxjs';
import { NoSpan, Span, Tracer } from '../../../lib/index.js';
import { LazyQuery } from '../../lazy-query.js';
import { TracedContext } from '../../traced-context.js';

@Injectable()
class Work {
  readonly seen: unknown[] = [];
  readonly headers: object[] = [];
  constructor(readonly tracer: Tracer) {}
  @Span() do(data: unknown) {
    this.seen.push(data);
  }
}

@Injectable()
class Listeners {
  constructor(
    private readonly work: Work,
    private readonly emitter: EventEmitter2,
  ) {}

  @OnEvent('order.created') created(order: unknown, more?: unknown) {
    this.work.do([order, more]);
    return 'created';
  }

  @OnEvent('order.created') async createdToo(order: unknown) {
    await new Promise(resolve => setTimeout(resolve, 5));
    this.work.do(order);
    return 'created, too';
  }

  @OnEvent('user.*') @OnEvent('account.**') any(data: unknown) {
    this.work.do(data);
  }

  @OnEvent('later', { async: true }) later(data: unknown) {
    this.work.do(data);
  }

  @OnEvent('later.fails', { async: true }) laterFails() {
    throw new RangeError('late');
  }

  @OnEvent('fails.quietly') failsQuietly() {
    throw new RangeError('quiet');
  }

  @OnEvent('fails.loudly', { suppressErrors: false }) failsLoudly() {
    return Promise.reject(new RangeError('loud'));
  }

  @NoSpan() @OnEvent('hush') hush(data: unknown) {
    this.work.do(data);
    this.emitter.emit('inside', data);
  }

  @OnEvent('first') first(seen: string[]) {
    seen.push('first');
  }

  @OnEvent('first', { prependListener: true }) beforeFirst(seen: string[]) {
    seen.push('before');
  }

  @OnEvent(['part', 'of']) parts(data: unknown) {
    this.work.do(data);
  }

  @OnEvent('query') query(failure?: Error) {
    return new LazyQuery(() => {
      this.work.do('query');
      if (failure !== undefined) throw failure;
      return 'rows';
    });
  }

  @OnEvent('stream') stream() {
    return of('nobody takes it');
  }

  @OnEvent('inside') inside() {
    this.work.headers.push(this.work.tracer.inject({}));
  }
}

@Injectable({ scope: Scope.REQUEST })
class ScopedListener {
  constructor(
    private readonly work: Work,
    @Inject(REQUEST) private readonly request: unknown,
  ) {}
  @OnEvent('scoped') scoped(data: unknown) {
    if (data instanceof Error) throw data;
    this.work.do([data, this.request !== undefined]);
  }
}

describe('an event of the event emitter', () => {
  let application: TracedContext;
  let emitter: EventEmitter2;
  let work: Work;
  const start = async (options: Parameters<typeof TracedContext.start>[1] = {}, delimiter = '.') => {
    application = await TracedContext.start(
      { imports: [EventEmitterModule.forRoot({ wildcard: true, delimiter })], providers: [Work, Listeners, ScopedListener] },
      options,
    );
    emitter = application.context.get(EventEmitter2);
    work = application.context.get(Work);
  };
  afterEach(() => application.context.close());

  it('has a span per listener below the span that emitted it, whether anybody waits for them or not', async () => {
    await start();
    application.inRequest(() => emitter.emit('order.created', { id: 7 }, 'more'));
    await application.recorder.waitForSpans(5);
    expect(application.hops()).toEqual([
      '- > request',
      'order.created > Work.do',
      'order.created > Work.do',
      'request > order.created',
      'request > order.created',
    ]);
    expect(work.seen).toEqual([[{ id: 7 }, 'more'], { id: 7 }]);
    const listeners = application.recorder.spans.filter(({ name }) => name === 'order.created');
    expect(listeners.map(({ kind }) => kind)).toEqual([SpanKind.INTERNAL, SpanKind.INTERNAL]);
    expect(listeners.map(({ attributes }) => attributes)).toEqual([
      { 'nestjs.event.pattern': 'order.created', 'nestjs.event.name': 'order.created', 'code.function.name': 'Listeners.created' },
      { 'nestjs.event.pattern': 'order.created', 'nestjs.event.name': 'order.created', 'code.function.name': 'Listeners.createdToo' },
    ]);
  });

  it('has a span below the span that emitted it where the listener is called later', async () => {
    await start();
    application.inRequest(() => emitter.emit('later', 7));
    expect(work.seen).toEqual([]);
    await application.recorder.waitForSpans(3);
    expect(application.hops()).toEqual(['- > request', 'later > Work.do', 'request > later']);
  });

  it('gives who waits for its listeners what they return', async () => {
    await start();
    const results = await application.inRequest(() => emitter.emitAsync('order.created', {}));
    expect(results).toEqual(['created', 'created, too']);
    expect(application.hops().filter(hop => hop === 'request > order.created')).toHaveLength(2);
  });

  it('is called by the pattern that the listener declares', async () => {
    await start();
    await application.inRequest(() => emitter.emitAsync('user.removed', 1));
    await application.inRequest(() => emitter.emitAsync('account.7.closed', 2));
    const names = application.recorder.spans.filter(({ attributes }) => 'nestjs.event.pattern' in attributes);
    expect(names.map(({ name }) => name)).toEqual(['user.*', 'account.**']);
    expect(names.map(({ attributes }) => attributes['nestjs.event.name'])).toEqual(['user.removed', 'account.7.closed']);
    expect(application.hops()).toEqual([
      '- > request',
      '- > request',
      'account.** > Work.do',
      'request > account.**',
      'request > user.*',
      'user.* > Work.do',
    ]);
  });

  it('whose name is a list of parts is called as the emitter writes it', async () => {
    await start({}, '::');
    await application.inRequest(() => emitter.emitAsync('part::of', 1));
    expect(application.recorder.find('part::of')!.attributes).toMatchObject({
      'nestjs.event.pattern': 'part::of',
      'nestjs.event.name': 'part::of',
    });
    expect(application.hops()).toEqual(['- > request', 'part::of > Work.do', 'request > part::of']);
  });

  it('reaches its listeners in the order that they ask for, each in its span', async () => {
    await start();
    const seen: string[] = [];
    application.inRequest(() => emitter.emit('first', seen));
    expect(seen).toEqual(['before', 'first']);
    await application.recorder.waitForSpans(3);
    const listeners = application.recorder.spans.filter(({ name }) => name === 'first');
    expect(listeners.map(({ attributes }) => attributes['code.function.name'])).toEqual(['Listeners.beforeFirst', 'Listeners.first']);
  });

  it('whose listener returns a query has it run in its span, which fails where the query does', async () => {
    await start();
    expect(await application.inRequest(() => emitter.emitAsync('query'))).toEqual(['rows']);
    await application.inRequest(() => emitter.emitAsync('query', new RangeError('no rows')));
    expect(application.hops().filter(hop => hop.endsWith('Work.do'))).toEqual(['query > Work.do', 'query > Work.do']);
    const queries = application.recorder.spans.filter(({ name }) => name === 'query');
    expect(queries.map(({ status }) => status.message)).toEqual([undefined, 'no rows']);
  });

  it('whose listener returns a stream that nobody takes has its span end with the listener', async () => {
    await start();
    application.inRequest(() => emitter.emit('stream'));
    expect((await application.recorder.waitForSpan('stream')).status.code).toBe(SpanStatusCode.UNSET);
  });

  it('whose listener fails fails its span, and nothing else where Nest keeps the error to itself', async () => {
    await start();
    await application.inRequest(() => emitter.emitAsync('fails.quietly'));
    const listener = application.recorder.find('fails.quietly')!;
    expect(listener.status).toEqual({ code: SpanStatusCode.ERROR, message: 'quiet' });
    expect(listener.attributes['error.type']).toBe('RangeError');
    expect(application.recorder.find('request')!.status.code).toBe(SpanStatusCode.UNSET);
  });

  it('whose listener fails later, or is made for it alone and fails, fails its span', async () => {
    await start();
    application.inRequest(() => emitter.emit('later.fails'));
    expect((await application.recorder.waitForSpan('later.fails')).status.message).toBe('late');
    await application.inRequest(() => emitter.emitAsync('scoped', new RangeError('alone')));
    expect(application.recorder.find('scoped')!.status.message).toBe('alone');
  });

  it('whose listener fails for all to see throws as it does without tracing', async () => {
    await start();
    await expect(application.inRequest(() => emitter.emitAsync('fails.loudly'))).rejects.toThrow('loud');
    expect(application.recorder.find('fails.loudly')!.status.message).toBe('loud');
    expect(application.recorder.find('request')!.status.message).toBe('loud');
  });

  it('reaches a listener that is made for it inside its span', async () => {
    await start();
    await application.inRequest(() => emitter.emitAsync('scoped', { id: 7 }));
    expect(application.hops()).toEqual(['- > request', 'request > scoped', 'scoped > Work.do']);
    expect(work.seen).toEqual([[{ id: 7 }, true]]);
  });

  it('that nobody emits from a span begins a trace', async () => {
    await start();
    await emitter.emitAsync('user.created', {});
    expect(application.hops()).toEqual(['- > user.*', 'user.* > Work.do']);
  });

  it('begins a trace per listener, linked to the span that emitted it, where the options say so', async () => {
    await start({ inbound: { eventOrigin: 'link' } });
    await application.inRequest(() => emitter.emitAsync('user.created', {}));
    expect(application.hops()).toEqual(['- > request', '- > user.*', 'user.* > Work.do']);
    const request = application.recorder.find('request')!.spanContext();
    expect(application.recorder.find('user.*')!.links.map(({ context }) => context.spanId)).toEqual([request.spanId]);
  });

  it('makes no span for a listener that wants none, nor for an event that the options ignore', async () => {
    await start({ inbound: { ignoreMessages: 'user.*' } });
    await application.inRequest(() => emitter.emitAsync('hush', 1));
    await application.inRequest(() => emitter.emitAsync('user.created', 2));
    expect(application.hops()).toEqual(['- > request', '- > request']);
    expect(work.seen).toEqual([1, 2]);
  });

  it('hands on the context of the caller where it is emitted by what is not traced', async () => {
    await start();
    const { tracer } = work;
    const traceparent = '00-11111111111111111111111111111111-2222222222222222-01';
    await tracer.with(tracer.extract({ traceparent }), () => emitter.emitAsync('hush', 1));
    expect(work.headers).toEqual([expect.objectContaining({ traceparent })]);
    expect(application.recorder.spans).toEqual([]);
  });

  it('is a plain call where the method is called by hand', async () => {
    await start();
    expect(application.inRequest(() => application.context.get(Listeners).created('by hand'))).toBe('created');
    expect(application.hops()).toEqual(['- > request', 'request > Work.do']);
  });

  it('is not mixed up with a thousand others that are under way', async () => {
    await start();
    await Promise.all(Array.from({ length: 1000 }, (_, n) => application.inRequest(() => emitter.emitAsync('order.created', n))));
    expect(application.recorder.roots).toHaveLength(1000);
    const traces = new Map<string, number>();
    for (const span of application.recorder.spans) {
      const { traceId } = span.spanContext();
      traces.set(traceId, (traces.get(traceId) ?? 0) + 1);
    }
    expect(new Set(traces.values())).toEqual(new Set([5]));
  });

  it('is untouched where tracing is off', async () => {
    await start({ enabled: false });
    expect(await emitter.emitAsync('order.created', {})).toEqual(['created', 'created, too']);
    expect(application.recorder.spans).toEqual([]);
  });
});
