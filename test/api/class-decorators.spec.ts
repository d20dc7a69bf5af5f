/** @Traceable(), @NoSpan() and @SpanAttribute(), alone and together with @Span(). */
import { SpanKind, trace } from '@opentelemetry/api';
import { lastValueFrom, of } from 'rxjs';
import { isNoSpan, NoSpan } from '../../lib/api/no-span.decorator.js';
import { Span, Traceable } from '../../lib/api/span.decorator.js';
import { hasSpanAttributes, recordSpanAttributes, SpanAttribute } from '../../lib/api/span-attribute.decorator.js';
import { Tracer } from '../../lib/api/tracer.js';
import { wrapMethod } from '../../lib/wrapping/replace-method.js';
import { applicationOfSpec } from '../spans/application-of-spec.js';

const app = applicationOfSpec();
const tracer = new Tracer(app);

/** A decorator of somebody else that replaces the method and copies nothing. */
function Cached(): MethodDecorator {
  return (_target, _key, descriptor) => {
    const original = descriptor.value as unknown as (...args: unknown[]) => unknown;
    descriptor.value = function (this: unknown, ...args: unknown[]) {
      return original.apply(this, args);
    } as never;
  };
}

@Traceable({ kind: SpanKind.CLIENT, attributes: { team: 'orders' } })
class Orders {
  static readonly Row = class {};
  static readonly helper = (): string => 'help';
  readonly field = (): number => 1;

  constructor(readonly repository = new Repository()) {}

  static create(): Orders {
    return new this();
  }

  get total(): number {
    return 7;
  }

  load(@SpanAttribute('order.id') id: string) {
    return this.repository.find(id);
  }

  stream() {
    return of(1, 2);
  }

  @Span('orders.named')
  named() {}

  @Cached()
  @Span()
  cached() {}

  @NoSpan()
  hidden() {
    this.named();
  }

  inherited() {}
}

class SpecialOrders extends Orders {
  override named() {
    super.named();
  }
  own() {}
}

class Repository {
  @Span()
  find(id: string) {
    return id;
  }
}

describe('@Traceable()', () => {
  it('makes a span for each method the class declares, static ones included', async () => {
    const orders = Orders.create();
    expect(orders.load('7')).toBe('7');
    await lastValueFrom(orders.stream());
    expect(app.tree().split('\n')).toEqual(['Orders.create', 'Orders.load', '  Repository.find', 'Orders.stream']);
    expect(app.span('Orders.load')).toMatchObject({ kind: SpanKind.CLIENT, attributes: { team: 'orders', 'order.id': '7' } });
  });

  it('leaves accessors, functions in properties, classes and the constructor alone', () => {
    const orders = new Orders();
    expect([orders.total, orders.field(), Orders.helper()]).toEqual([7, 1, 'help']);
    expect(new Orders.Row()).toBeInstanceOf(Orders.Row);
    expect(app.names).toEqual([]);
  });

  it('makes one span for a method that has a @Span(), which is that one, also under the decorator of somebody else', () => {
    new Orders().named();
    new Orders().cached();
    expect(app.names).toEqual(['orders.named', 'Orders.cached']);
    expect(app.spans.map(({ kind }) => kind)).toEqual([SpanKind.INTERNAL, SpanKind.INTERNAL]);
  });

  it('traces inherited methods under the name of the subclass, and not what the subclass adds', () => {
    const special = new SpecialOrders();
    special.inherited();
    special.own();
    special.named();
    expect(app.names).toEqual(['SpecialOrders.inherited', 'orders.named']);
  });
});

class Mixed {
  @NoSpan()
  @Span()
  noSpanFirst() {
    return this.visible();
  }

  @Span()
  @NoSpan()
  spanFirst() {
    return this.visible();
  }

  @NoSpan()
  @Cached()
  @Span()
  apart() {}

  @Span()
  visible() {
    return trace.getActiveSpan();
  }
}

class Loud extends Mixed {
  override spanFirst() {
    return super.spanFirst();
  }

  @NoSpan()
  override visible() {
    return super.visible();
  }
}

@NoSpan()
class Silent {
  @Span()
  run() {
    return new Mixed().visible();
  }
  @Span()
  static run() {}
}
class SilentToo extends Silent {
  @Span()
  walk() {}
}
class Base {
  @Span()
  run() {}
}
@NoSpan()
class SilentHeir extends Base {}

describe('@NoSpan()', () => {
  it('makes the method invisible, in either order with @Span(), but not what it calls', () => {
    tracer.span('caller', () => {
      new Mixed().noSpanFirst();
      new Mixed().spanFirst();
      new Mixed().apart();
    });
    expect(app.tree().split('\n')).toEqual(['caller', '  Mixed.visible', '  Mixed.visible']);
  });

  it('on an override hides the override, not the method it calls', () => {
    new Loud().visible();
    expect(app.names).toEqual(['Loud.visible']);
  });

  it('on a class hides all its methods, inherited and static ones and those of subclasses, but not what they call', () => {
    new Silent().run();
    Silent.run();
    new SilentToo().walk();
    new SilentToo().run();
    new SilentHeir().run();
    expect(app.names).toEqual(['Mixed.visible', 'Mixed.visible']);
    new Base().run();
    expect(app.names).toContain('Base.run');
  });

  it('wins over @Traceable()', () => {
    new Orders().hidden();
    expect(app.names).toEqual(['orders.named']);
    @NoSpan()
    @Traceable()
    class Both {
      run() {}
    }
    new Both().run();
    expect(app.names).toEqual(['orders.named']);
  });

  it('can be asked for, by class and method name', () => {
    expect([isNoSpan(Mixed, 'noSpanFirst'), isNoSpan(Mixed, 'visible'), isNoSpan(Mixed, 'unknown')]).toEqual([true, false, false]);
    expect([isNoSpan(Loud, 'noSpanFirst'), isNoSpan(Loud, 'spanFirst'), isNoSpan(Loud, 'visible')]).toEqual([true, false, true]);
    expect([isNoSpan(SilentToo, 'walk'), isNoSpan(SilentHeir, 'run'), isNoSpan(Base, 'run')]).toEqual([true, true, false]);
  });

  it('is still found on an inherited method that has been wrapped on the subclass', () => {
    class Heir extends Mixed {}
    const inherited = Heir.prototype.noSpanFirst;
    const once = wrapMethod(inherited, function (this: Mixed) {
      return inherited.call(this);
    });
    Object.defineProperty(Heir.prototype, 'noSpanFirst', { value: wrapMethod(once, () => {}), configurable: true });
    expect(isNoSpan(Heir, 'noSpanFirst')).toBe(true);
    Object.defineProperty(Heir.prototype, 'noSpanFirst', { value: () => {} });
    expect(isNoSpan(Heir, 'noSpanFirst')).toBe(false);
  });
});

class Handler {
  @Span()
  spanned(@SpanAttribute('a') _a: unknown, _b: unknown, @SpanAttribute('c') _c: unknown) {}

  bare(_a: string, @SpanAttribute('b') _b: string) {}

  plain(_a: string) {}
}

describe('@SpanAttribute()', () => {
  it.each<[string, unknown, unknown]>([
    ['a string', 'x', 'x'],
    ['a number', 1.5, 1.5],
    ['a boolean', false, false],
    ['a bigint', 12n, '12'],
    ['a date', new Date(0), '1970-01-01T00:00:00.000Z'],
    ['a URL', new URL('http://a/b'), 'http://a/b'],
    ['an object with a scalar JSON form', { toJSON: () => '65f0c0ffee' }, '65f0c0ffee'],
    ['a list', ['a', 'b'], ['a', 'b']],
    ['a mixed list', ['a', 1, null, {}, true], ['a', '1', 'true']],
    ['a list of dates', [new Date(0)], ['1970-01-01T00:00:00.000Z']],
    ['an empty list', [], []],
  ])('records %s', (_, value, recorded) => {
    new Handler().spanned(value, 2, 'c');
    expect(app.span('Handler.spanned').attributes).toEqual({ 'code.function.name': 'Handler.spanned', a: recorded, c: 'c' });
  });

  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['NaN', NaN],
    ['infinity', Infinity],
    ['an object', { id: 7 }],
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['an invalid date', new Date(NaN)],
    ['an object with an object as JSON form', { toJSON: () => ({}) }],
    ['an object that cannot be looked at', new Proxy({}, { has: () => fail() })],
    ['a list of objects', [{}]],
  ])('leaves out %s', (_, value) => {
    new Handler().spanned(value, 2, 'c');
    expect(app.span('Handler.spanned').attributes).toEqual({ 'code.function.name': 'Handler.spanned', c: 'c' });
  });

  it('can be recorded on the span of a request by those who open it, unless the method has its own', () => {
    const { prototype } = Handler;
    expect(['spanned', 'bare', 'plain', 'unknown'].map(method => hasSpanAttributes(prototype, method))).toEqual([
      false,
      true,
      false,
      false,
    ]);
    class Heir extends Handler {}
    expect(hasSpanAttributes(Heir.prototype, 'bare')).toBe(true);
    tracer.span('request', span => recordSpanAttributes(span, Heir.prototype, 'bare', ['a', 'b']));
    tracer.span('other', span => recordSpanAttributes(span, prototype, 'plain', ['a']));
    expect(app.spans.map(({ attributes }) => attributes)).toEqual([{ b: 'b' }, {}]);
  });

  it('says so when it stands on a constructor', () => {
    expect(() => SpanAttribute('x')(Handler, undefined, 0)).toThrow(
      '@SpanAttribute("x") stands on a parameter of the constructor of Handler',
    );
  });
});

function fail(): never {
  throw new Error('hands off');
}
