/** @Span() on methods that return a value or a promise. */
import { setImmediate as turn } from 'node:timers/promises';
import { context, SpanStatusCode, trace } from '@opentelemetry/api';
import { Span } from '../../lib/api/span.decorator.js';
import { applicationOfSpec } from './application-of-spec.js';

const app = applicationOfSpec();

class Orders {
  @Span()
  add(a: number, b: number): number {
    this.inner();
    return a + b;
  }

  @Span()
  inner() {
    trace.getActiveSpan()?.addEvent('worked');
  }

  @Span()
  async load(id: string) {
    await turn();
    this.inner();
    await turn();
    trace.getActiveSpan()?.addEvent('loaded');
    return { id };
  }

  @Span()
  call<T>(fn: () => T): T {
    return fn();
  }

  @Span()
  async callAsync<T>(fn: () => T): Promise<T> {
    await turn();
    return fn();
  }
}

const orders = new Orders();
const thrown = [new Error('boom'), new TypeError('odd'), 'a string', null, undefined, 42, { code: 'ECONNREFUSED' }, Object.create(null)];
const typeOf = new Map<unknown, string>([
  [thrown[0], 'Error'],
  [thrown[1], 'TypeError'],
  [thrown[6], 'ECONNREFUSED'],
]);

describe('@Span() on a synchronous method', () => {
  it('makes one span around the call and passes the result on', () => {
    expect(orders.add(1, 2)).toBe(3);
    expect(app.names).toEqual(['Orders.inner', 'Orders.add']);
    expect(app.childrenOf(app.span('Orders.add'))).toEqual(['Orders.inner']);
    expect(app.span('Orders.inner').events.map(({ name }) => name)).toEqual(['worked']);
    expect(trace.getActiveSpan()).toBeUndefined();
  });

  it.each(thrown)('records and rethrows unchanged what is thrown: %p', reason => {
    const box: { caught?: unknown } = {};
    try {
      orders.call(() => {
        throw reason;
      });
    } catch (caught) {
      box.caught = caught;
    }
    expect('caught' in box).toBe(true);
    expect(box.caught).toBe(reason);
    const { status, events, attributes } = app.span('Orders.call');
    expect(status.code).toBe(SpanStatusCode.ERROR);
    expect(events.map(({ name }) => name)).toEqual(['exception']);
    expect(attributes['error.type']).toBe(typeOf.get(reason) ?? '_OTHER');
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['a function', () => 1],
    ['an array', [1, 2]],
    ['a class', Orders],
    ['an iterator that is no generator', [1, 2].values()],
    ['an object with a `then` that is no function', { then: 7 }],
    ['an object that cannot be looked at', new Proxy({}, { get: () => fail(), getPrototypeOf: () => fail() })],
  ])('returns %s as it is and ends at once', (_, result) => {
    expect(orders.call(() => result) === result).toBe(true);
    expect(app.names).toEqual(['Orders.call']);
  });

  it('still makes one span a call when the first calls were not traced', () => {
    for (let call = 0; call < 3; call++) orders.add(call, 1);
    expect(app.names.filter(name => name === 'Orders.add')).toHaveLength(3);
    expect(app.openSpans).toBe(0);
  });
});

describe('@Span() on an asynchronous method', () => {
  it('keeps the span active across awaits and ends it when the promise settles', async () => {
    const promise = orders.load('7');
    expect(app.names).toEqual([]);
    expect(trace.getActiveSpan()).toBeUndefined();
    expect(promise).toBeInstanceOf(Promise);
    await expect(promise).resolves.toEqual({ id: '7' });
    expect(app.names).toEqual(['Orders.inner', 'Orders.load']);
    expect(app.childrenOf(app.span('Orders.load'))).toEqual(['Orders.inner']);
    expect(app.span('Orders.load').events.map(({ name }) => name)).toEqual(['loaded']);
  });

  it.each(thrown)('rejects with the very reason: %p', async reason => {
    const settled = await Promise.allSettled([
      orders.callAsync(() => {
        throw reason;
      }),
    ]);
    expect(settled[0].status === 'rejected' && settled[0].reason === reason).toBe(true);
    const { status, events } = app.span('Orders.callAsync');
    expect(status.code).toBe(SpanStatusCode.ERROR);
    expect(events).toHaveLength(1);
  });

  it('keeps apart the spans of calls that overlap', async () => {
    await Promise.all(['1', '2', '3'].map(id => orders.load(id)));
    const loads = app.spans.filter(({ name }) => name === 'Orders.load');
    expect(loads.map(span => app.childrenOf(span))).toEqual([['Orders.inner'], ['Orders.inner'], ['Orders.inner']]);
    expect(new Set(loads.map(span => span.spanContext().traceId)).size).toBe(3);
  });

  it('returns the same promise where somebody put members on it', async () => {
    const plain = Object.assign(Promise.resolve(5), { pid: 17 });
    expect(orders.call(() => plain)).toBe(plain);
    await expect(plain).resolves.toBe(5);
    expect(app.openSpans).toBe(0);
    const reason = new Error('exit 1');
    const failing = Object.assign(Promise.reject(reason), { pid: 18 });
    await expect(orders.call(() => failing)).rejects.toBe(reason);
    expect(app.spans.map(({ status }) => status.code)).toEqual([SpanStatusCode.UNSET, SpanStatusCode.ERROR]);
  });

  it('returns the same object for a promise subclass', async () => {
    class Cancelable<T> extends Promise<T> {
      cancel() {
        return 'cancelled';
      }
    }
    const promise = new Cancelable<string>(resolve => setImmediate(resolve, 'done'));
    const returned = orders.call(() => promise);
    expect(returned).toBe(promise);
    expect(returned.cancel()).toBe('cancelled');
    const chained = returned.then(value => value + '!');
    expect(chained).toBeInstanceOf(Cancelable);
    await expect(chained).resolves.toBe('done!');
    expect(app.names).toEqual(['Orders.call']);
    await expect(orders.call(() => Cancelable.reject(new Error('x'))).catch(String)).resolves.toBe('Error: x');
    await orders.call(() => Cancelable.resolve(1)).finally(() => {});
    expect(app.openSpans).toBe(0);
  });
});

describe('@Span() where nothing is active', () => {
  it('does not leave its span active for whoever comes next', async () => {
    await orders.load('1');
    expect(context.active()).toBe((await import('@opentelemetry/api')).ROOT_CONTEXT);
  });
});
