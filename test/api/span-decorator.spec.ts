/** What @Span() calls its spans and puts on them, and that its callbacks cannot hurt the method. */
import { Logger } from '@nestjs/common';
import { context, type Link, ROOT_CONTEXT, SpanKind } from '@opentelemetry/api';
import { SamplingDecision } from '@opentelemetry/sdk-trace-node';
import { jest } from '@jest/globals';
import { Span } from '../../lib/api/span.decorator.js';
import { SpanAttribute } from '../../lib/api/span-attribute.decorator.js';
import { Tracer } from '../../lib/api/tracer.js';
import { withWork } from '../../lib/spans/work.js';
import { TestApplication } from '../application.js';

const app = new TestApplication();
const tracer = new Tracer(app);
const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
afterEach(() => {
  warn.mockClear();
  expect(app.reset()).toEqual([]);
});
afterAll(() => app.close());

const link: Link = { context: { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1 } };

class Base {
  @Span()
  inherited() {
    return this.constructor.name;
  }

  @Span()
  overridden() {}

  @Span()
  static make() {
    return this;
  }
}
class Derived extends Base {
  override overridden() {
    super.overridden();
  }
}

class Orders {
  readonly prefix = 'order';

  @Span('orders.find')
  named() {}

  @Span((id: string) => `find ${id.length}`)
  namedByArguments(_id: string) {}

  @Span({ name: (id: string) => `find ${id}`, kind: SpanKind.CLIENT })
  namedByOption(_id: string) {}

  @Span('orders.with', { attributes: { 'order.kind': 'web', skipped: { not: 'a scalar' } }, kind: SpanKind.PRODUCER })
  withAttributes() {}

  @Span({ attributes: (id: string, count: number) => ({ 'order.id': id, 'order.count': count }) })
  attributesOfArguments(_id: string, _count: number) {}

  @Span({ resultAttributes: (result: string[]) => ({ 'result.count': result.length }) })
  async load(ids: string[]) {
    return ids;
  }

  @Span({ resultAttributes: (count: number) => ({ count }) })
  count() {
    return this.prefix.length;
  }

  @Span({ root: true, links: [link] })
  root() {}

  @Span({ links: (traceId: string) => [{ context: { ...link.context, traceId } }] })
  linked(_traceId: string) {}

  @Span('orders.per-call', (id: string) => ({ attributes: { 'order.id': id }, kind: SpanKind.CLIENT, links: [link] }))
  perCall(_id: string) {}

  @Span(undefined, id => ({ attributes: { 'order.id': id } }))
  perCallUnnamed(_id: string, @SpanAttribute('order.count') _count: number) {}

  @Span('broken', (_: string) => {
    throw new Error('options');
  })
  perCallBroken(id: string) {
    return id;
  }

  @Span({
    name: (_: string): string => {
      throw new Error('name');
    },
    attributes: (_: string): Record<string, unknown> => {
      throw new Error('attributes');
    },
    resultAttributes: (_: string): Record<string, unknown> => {
      throw new Error('result');
    },
    links: (_: string): Link[] => {
      throw new Error('links');
    },
  })
  withBrokenCallbacks(@SpanAttribute('order.id') id: string) {
    return id;
  }

  @Span({ name: (() => undefined) as unknown as () => string, links: (() => 5) as unknown as () => Link[] })
  withSenselessCallbacks() {
    return 1;
  }

  @Span({ attributes: (async () => Promise.reject(new Error('late'))) as unknown as () => Record<string, unknown> })
  withAsynchronousCallback() {
    return 2;
  }

  @Span()
  [Symbol.for('secret')]() {}
}
const orders = new Orders();

describe('the name of a @Span()', () => {
  it('is Class.method with the class of the instance', () => {
    expect(new Base().inherited()).toBe('Base');
    expect(new Derived().inherited()).toBe('Derived');
    new Derived().overridden();
    expect(app.names).toEqual(['Base.inherited', 'Derived.inherited', 'Derived.overridden']);
    expect(app.spans.map(({ attributes }) => attributes['code.function.name'])).toEqual(app.names);
  });

  it('is that of the class a static method is called on', () => {
    expect(Base.make()).toBe(Base);
    expect(Derived.make()).toBe(Derived);
    expect(app.names).toEqual(['Base.make', 'Derived.make']);
  });

  it('is that of the declaring class for a method that has been taken out of it', () => {
    const { inherited } = Base.prototype;
    expect(() => (inherited as () => void)()).toThrow(TypeError);
    const { make } = Base as { make: (this: unknown) => unknown };
    expect(make.call(undefined)).toBeUndefined();
    expect(make.call(orders)).toBe(orders);
    expect(app.names).toEqual(['Base.inherited', 'Base.make', 'Base.make']);
  });

  it('falls back to what has a name where a class has none', () => {
    new (class extends Base {})().inherited();
    class Misleading {
      static readonly name = 7;
      @Span()
      run() {}
    }
    new Misleading().run();
    expect(app.names).toEqual(['Base.inherited', 'run']);
  });

  it('is the given one, or made from the arguments', () => {
    orders.named();
    orders.namedByArguments('abc');
    orders.namedByOption('7');
    orders[Symbol.for('secret') as unknown as 'named']();
    expect(app.names).toEqual(['orders.find', 'find 3', 'find 7', 'Orders.Symbol(secret)']);
    expect(app.span('orders.find').attributes['code.function.name']).toBe('Orders.named');
    expect(app.span('find 7').kind).toBe(SpanKind.CLIENT);
  });
});

describe('a @Span() whose name is empty', () => {
  it('has the default one', () => {
    class Nameless {
      @Span('') first() {}
      @Span({ name: '' }) second() {}
      @Span(() => '') third() {}
    }
    const nameless = new Nameless();
    nameless.first();
    nameless.second();
    nameless.third();
    expect(app.names).toEqual(['Nameless.first', 'Nameless.second', 'Nameless.third']);
  });
});

describe('the options of @Span()', () => {
  it('record fixed attributes, attributes of the arguments and of the result', async () => {
    orders.withAttributes();
    orders.attributesOfArguments('7', 3);
    await orders.load(['a', 'b']);
    orders.count();
    expect(app.spans.map(({ attributes }) => attributes)).toEqual([
      { 'code.function.name': 'Orders.withAttributes', 'order.kind': 'web' },
      { 'code.function.name': 'Orders.attributesOfArguments', 'order.id': '7', 'order.count': 3 },
      { 'code.function.name': 'Orders.load', 'result.count': 2 },
      { 'code.function.name': 'Orders.count', count: 5 },
    ]);
    expect(app.span('orders.with').kind).toBe(SpanKind.PRODUCER);
  });

  it('show attributes to the sampler', async () => {
    const seen: unknown[] = [];
    const asking = new TestApplication({
      sampler: {
        shouldSample: (_ctx, _traceId, name, _kind, attributes) => {
          seen.push([name, attributes['order.id']]);
          return { decision: SamplingDecision.RECORD };
        },
      },
    });
    context.with(withWork(ROOT_CONTEXT, { application: asking }), () => orders.attributesOfArguments('7', 3));
    expect(seen).toEqual([['Orders.attributesOfArguments', '7']]);
    await asking.close();
  });

  it('begin a new trace with `root`, linked to the span that was active', () => {
    tracer.span('request', () => orders.root());
    const [root, request] = [app.span('Orders.root'), app.span('request')];
    expect(root.parentSpanContext).toBeUndefined();
    expect(root.spanContext().traceId).not.toBe(request.spanContext().traceId);
    expect(root.links.map(({ context: { spanId } }) => spanId)).toEqual([link.context.spanId, request.spanContext().spanId]);
    orders.root();
    expect(app.spans[2]!.links).toHaveLength(1);
  });

  it('link to what the arguments say', () => {
    orders.linked('c'.repeat(32));
    expect(app.span('Orders.linked').links.map(({ context: { traceId } }) => traceId)).toEqual(['c'.repeat(32)]);
  });

  it('may come from one function of the arguments, as in nestjs-otel', () => {
    orders.perCall('7');
    orders.perCallUnnamed('8', 2);
    expect(orders.perCallBroken('9')).toBe('9');
    expect(app.names).toEqual(['orders.per-call', 'Orders.perCallUnnamed', 'broken']);
    expect(app.spans[0]).toMatchObject({ kind: SpanKind.CLIENT, attributes: { 'order.id': '7' }, links: [{ context: link.context }] });
    expect(app.spans[1]?.attributes).toMatchObject({ 'order.id': '8', 'order.count': 2 });
    expect(String(warn.mock.lastCall)).toContain('@Span options of Orders.perCallBroken');
  });

  it('never break the method, and say once what failed', () => {
    expect(orders.withBrokenCallbacks('7')).toBe('7');
    expect(orders.withBrokenCallbacks('8')).toBe('8');
    expect(app.names).toEqual(['Orders.withBrokenCallbacks', 'Orders.withBrokenCallbacks']);
    expect(app.spans.map(({ attributes }) => attributes['order.id'])).toEqual(['7', '8']);
    const said = warn.mock.calls.map(([message]) => /The callback "([^"]*)" threw.*\((.*)\)$/.exec(String(message))?.slice(1));
    expect(said).toEqual([
      ['@Span name of Orders.withBrokenCallbacks', 'Error: name'],
      ['@Span attributes of Orders.withBrokenCallbacks', 'Error: attributes'],
      ['@Span links of Orders.withBrokenCallbacks', 'Error: links'],
      ['@Span resultAttributes of Orders.withBrokenCallbacks', 'Error: result'],
    ]);
  });

  it('are ignored where a callback returns nonsense, or a promise', async () => {
    expect([orders.withSenselessCallbacks(), orders.withAsynchronousCallback()]).toEqual([1, 2]);
    expect(app.span('Orders.withSenselessCallbacks').links).toEqual([]);
    await new Promise(setImmediate);
    expect(String(warn.mock.lastCall)).toContain('@Span attributes of Orders.withAsynchronousCallback');
  });
});

describe('@Span() in the wrong place', () => {
  it('says so, and where', () => {
    const decorate = Span() as (...args: unknown[]) => void;
    expect(() => decorate(Orders.prototype, 'prefix')).toThrow('@Span() stands on "Orders.prefix", which is not a method');
    expect(() => decorate(Orders.prototype, 'total', { get: () => 1 })).toThrow('"Orders.total"');
    expect(() => decorate(Orders)).toThrow('experimentalDecorators');
    expect(() => decorate(() => 1, { kind: 'method', name: 'load' })).toThrow('experimentalDecorators');
  });
});
