/** Specs of Nest's execution contexts for libraries that call handlers themselves: broker consumers, bots, CLIs. */
import { createParamDecorator, Injectable } from '@nestjs/common';
import { ExternalContextCreator } from '@nestjs/core';
import {
  context,
  createContextKey,
  propagation,
  ROOT_CONTEXT,
  type Context,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
} from '@opentelemetry/api';
import { suppressTracing } from '@opentelemetry/core';
import { finalize, type Observable, take, timer } from 'rxjs';
import { NoSpan, Span, SpanAttribute, Tracer } from '../../../lib/index.js';
import { TracedContext } from '../../traced-context.js';

const SYMBOL = Symbol('onSymbol');
const MARK = createContextKey('a value of the user');

/** A decorator that replaces the method by a function without a name, as many do. */
function Wrapped(): MethodDecorator {
  return (_target, _method, descriptor: PropertyDescriptor) => {
    const original = descriptor.value as (...args: unknown[]) => unknown;
    Object.defineProperty(descriptor, 'value', {
      value: function (this: unknown, ...args: unknown[]) {
        return original.apply(this, args);
      },
    });
    Object.defineProperty(descriptor.value, 'name', { value: '' });
    return descriptor;
  };
}

const Data = createParamDecorator((_key, execution) => execution.getArgByIndex<unknown>(0));

@Injectable()
class Work {
  readonly seen: { user: string | undefined; mark: unknown }[] = [];

  @Span() work(): void {
    const active = context.active();
    this.seen.push({ user: propagation.getBaggage(active)?.getEntry('user')?.value, mark: active.getValue(MARK) });
  }
}

@Injectable()
class Subs {
  constructor(private readonly service: Work) {}

  async onA(): Promise<string> {
    await Promise.resolve();
    this.service.work();
    return 'done';
  }

  onFailure(): Promise<never> {
    return Promise.reject(new RangeError('not today'));
  }

  onStream(): Observable<number> {
    return timer(0, 1).pipe(
      take(3),
      finalize(() => this.service.work()),
    );
  }

  @NoSpan() async quiet(): Promise<void> {
    await Promise.resolve();
    this.service.work();
  }

  @Wrapped() wrapped(): void {
    this.service.work();
  }

  [SYMBOL](): void {
    this.service.work();
  }

  @NoSpan() [Symbol.iterator](): void {
    this.service.work();
  }

  @Span() own(@SpanAttribute('data') _data: unknown): void {
    this.service.work();
  }

  decorated(@Data() data: unknown): unknown {
    return data;
  }
}

@NoSpan()
@Injectable()
class QuietSubs {
  constructor(private readonly service: Work) {}
  onA(): void {
    this.service.work();
  }
}

type Handler = (this: unknown, ...args: unknown[]) => unknown;

/** The different forms of handlers that libraries pass to Nest. */
const ways: [string, (instance: object, method: string | symbol) => Handler][] = [
  ['the method itself', (instance, method) => Reflect.get(instance, method) as Handler],
  ['a bound method', (instance, method) => (Reflect.get(instance, method) as Handler).bind(instance)],
  ['a method bound twice', (instance, method) => (Reflect.get(instance, method) as Handler).bind(instance).bind(undefined)],
  [
    'a function that calls it',
    (instance, method) =>
      (...args) =>
        (Reflect.get(instance, method) as Handler).apply(instance, args),
  ],
];
const [[, itself], [, bound]] = ways as [[string, (typeof ways)[0][1]], [string, (typeof ways)[0][1]]];

const remote = { traceId: '1'.repeat(32), spanId: '2'.repeat(16), traceFlags: TraceFlags.SAMPLED, isRemote: true };

describe('what Nest runs for another library', () => {
  let test: TracedContext;
  let service: Work;
  beforeAll(async () => {
    test = await TracedContext.start({ providers: [Subs, QuietSubs, Work] });
    service = test.context.get(Work);
  });
  afterAll(() => test.context.close());
  beforeEach(() => {
    test.recorder.clear();
    service.seen.length = 0;
  });

  /** Nest 12 accepts no symbols here. */
  function handlerOf(method: string | symbol, way = itself, type: new (service: Work) => object = Subs): Handler {
    const instance = test.context.get<object>(type);
    return test.context.get(ExternalContextCreator).create(instance, way(instance, method), String(method));
  }

  /** Calls the handler in an active span, as an instrumentation of the library would. */
  async function inForeignSpan(call: () => unknown, endsAtOnce = false): Promise<void> {
    const span = trace.getTracer('foreign').startSpan('queue process', { kind: SpanKind.CONSUMER }, ROOT_CONTEXT);
    const result = context.with(trace.setSpan(ROOT_CONTEXT, span), call);
    if (endsAtOnce) span.end();
    await Promise.resolve(result).catch(() => undefined);
    if (!endsAtOnce) span.end();
  }

  const kindOf = (name: string) => test.recorder.find(name)?.kind;

  it.each(ways)('is below the span that is active, and named by its method, where the handler is %s', async (_name, way) => {
    const onA = handlerOf('onA', way);
    await inForeignSpan(() => onA());
    expect(test.hops()).toEqual(['- > queue process', 'Subs.onA > Work.work', 'queue process > Subs.onA']);
    expect(kindOf('Subs.onA')).toBe(SpanKind.INTERNAL);
    expect(test.recorder.find('Subs.onA')!.attributes).toMatchObject({ 'code.function.name': 'Subs.onA' });
  });

  it.each(ways)('is a trace of its own where nothing is active, and the handler is %s', async (_name, way) => {
    await expect(handlerOf('onA', way)()).resolves.toBe('done');
    expect(test.hops()).toEqual(['- > Subs.onA', 'Subs.onA > Work.work']);
    expect(kindOf('Subs.onA')).toBe(SpanKind.SERVER);
  });

  it.each(ways)('is invisible below the span that is active where it has @NoSpan(), what it calls is not (%s)', async (_name, way) => {
    const quiet = handlerOf('quiet', way);
    await inForeignSpan(() => quiet());
    const inQuietClass = handlerOf('onA', way, QuietSubs);
    await inForeignSpan(() => inQuietClass());
    const iterator = handlerOf(Symbol.iterator, way);
    await inForeignSpan(() => iterator());
    expect(test.hops()).toEqual([
      ...Array.from({ length: 3 }, () => '- > queue process'),
      ...Array.from({ length: 3 }, () => 'queue process > Work.work'),
    ]);
  });

  it.each(ways)('is not traced, and neither is what it calls, where it has @NoSpan() and nothing is active (%s)', async (_name, way) => {
    await handlerOf('quiet', way)();
    await handlerOf('onA', way, QuietSubs)();
    expect(service.seen).toHaveLength(2);
    expect(test.recorder.spans).toEqual([]);
  });

  it('keeps baggage and whatever else is in the context, with a span and without, and with @NoSpan()', async () => {
    const baggage = propagation.createBaggage({ user: { value: 'ada' } });
    const given = propagation.setBaggage(ROOT_CONTEXT, baggage).setValue(MARK, 'kept');
    const contexts: Context[] = [given, trace.setSpan(given, trace.getTracer('foreign').startSpan('process', {}, ROOT_CONTEXT))];
    for (const ctx of contexts) {
      await context.with(ctx, handlerOf('onA', bound));
      await context.with(ctx, handlerOf('quiet', bound));
    }
    expect(service.seen).toEqual(Array.from({ length: 4 }, () => ({ user: 'ada', mark: 'kept' })));
  });

  it.each([
    ['a symbol', SYMBOL, 'Subs.Symbol(onSymbol)'],
    ['wrapped in a function without name', 'wrapped', 'Subs.wrapped'],
  ] as const)('has the name of its method where that is %s', async (_what, method, name) => {
    for (const [, way] of ways) {
      test.recorder.clear();
      const handler = handlerOf(method, way);
      await inForeignSpan(() => handler());
      expect(test.hops()).toEqual(['- > queue process', `${name} > Work.work`, `queue process > ${name}`]);
    }
  });

  it('has one span where the method has one by @Span()', async () => {
    const own = handlerOf('own', bound);
    await inForeignSpan(() => own('given'));
    expect(test.hops()).toEqual(['- > queue process', 'Subs.own > Work.work', 'queue process > Subs.own']);
    expect(test.recorder.find('Subs.own')!.attributes['data']).toBe('given');
  });

  it('is below a span that has ended: brokers take messages as handled that they have only handed over', async () => {
    const onA = handlerOf('onA', bound);
    await inForeignSpan(() => onA(), true);
    await test.recorder.waitForSpans(3);
    expect(test.hops()).toEqual(['- > queue process', 'Subs.onA > Work.work', 'queue process > Subs.onA']);
  });

  it('goes on with the trace of a sender that the library has read from its message', async () => {
    await context.with(trace.setSpanContext(ROOT_CONTEXT, remote), handlerOf('onA', bound));
    const handled = test.recorder.find('Subs.onA')!;
    expect([handled.kind, handled.parentSpanContext?.spanId]).toEqual([SpanKind.SERVER, remote.spanId]);
    expect(handled.spanContext().traceId).toBe(remote.traceId);
  });

  it('has no span below one that is not sampled, nor where tracing is suppressed', async () => {
    const local = { ...remote, traceFlags: TraceFlags.NONE, isRemote: false };
    const contexts = [local, { ...local, isRemote: true }].map(parent => trace.setSpanContext(ROOT_CONTEXT, parent));
    for (const ctx of [...contexts, suppressTracing(ROOT_CONTEXT)]) {
      await context.with(ctx, handlerOf('onA', bound));
      await context.with(ctx, handlerOf('quiet', bound));
    }
    expect(service.seen).toHaveLength(6);
    expect(test.recorder.spans).toEqual([]);
  });

  it('fails with what the handler throws, which the library gets', async () => {
    const failing = handlerOf('onFailure', bound);
    await expect(failing()).rejects.toThrow('not today');
    await inForeignSpan(() => failing());
    const [alone, below] = test.recorder.spans.filter(({ name }) => name === 'Subs.onFailure');
    for (const span of [alone!, below!]) {
      expect(span.status.code).toBe(SpanStatusCode.ERROR);
      expect(span.attributes['error.type']).toBe('RangeError');
    }
  });

  it('is left alone inside of what is traced already', async () => {
    const onA = handlerOf('onA', bound);
    await test.inRequest(async () => {
      const tracer = test.context.get(Tracer);
      await tracer.span('step', () => onA());
    });
    expect(test.hops()).toEqual(['- > request', 'request > step', 'step > Work.work']);
  });

  it('gives parameter decorators what they ask for', async () => {
    const instance = test.context.get(Subs);
    const factory = { exchangeKeyForValue: (_type: number, _data: unknown, args: unknown[]) => args[0] };
    const decorated = test.context
      .get(ExternalContextCreator)
      .create(instance, bound(instance, 'decorated'), 'decorated', '__routeArguments__', factory);
    await inForeignSpan(async () => expect(await decorated('data')).toBe('data'));
    expect(test.hops()).toEqual(['- > queue process', 'queue process > Subs.decorated']);
  });

  it('lasts as long as the stream that the handler returns', async () => {
    const onStream = handlerOf('onStream', bound);
    await inForeignSpan(async () => expect(await onStream()).toBe(2));
    expect(test.hops()).toEqual(['- > queue process', 'Subs.onStream > Work.work', 'queue process > Subs.onStream']);
  });
});

it('an ExternalContextCreator is as it was once its application is closed', async () => {
  const test = await TracedContext.start({ providers: [Subs, Work] });
  const contexts = test.context.get(ExternalContextCreator);
  await test.context.close();
  expect(contexts.create).toBe(ExternalContextCreator.prototype.create);
});
