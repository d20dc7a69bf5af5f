/** @Span() on methods that return something that is no promise and has a `then`. */
import { EventEmitter, once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { SpanStatusCode, trace } from '@opentelemetry/api';
import { Span } from '../../lib/api/span.decorator.js';
import { applicationOfSpec } from './application-of-spec.js';

const app = applicationOfSpec();

class Orders {
  @Span()
  inner() {
    trace.getActiveSpan()?.addEvent('worked');
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

/** Like knex and Prisma: nothing happens before somebody calls `then`, and each call runs the query again. */
class Query {
  runs = 0;
  readonly conditions: string[] = [];
  constructor(private readonly outcome: () => unknown = () => ['row']) {}

  where(condition: string): this {
    this.conditions.push(condition);
    return this;
  }

  then(onFulfilled?: (rows: unknown) => unknown, onRejected?: (reason: unknown) => unknown): Promise<unknown> {
    return this.execute().then(onFulfilled, onRejected);
  }

  catch(onRejected: (reason: unknown) => unknown): Promise<unknown> {
    return this.execute().catch(onRejected);
  }

  finally(then: () => void): Promise<unknown> {
    return this.execute().finally(then);
  }

  private async execute(): Promise<unknown> {
    this.runs++;
    await turn();
    trace.getActiveSpan()?.addEvent('query');
    orders.inner();
    return this.outcome();
  }
}

describe('@Span() on a method that returns a query builder', () => {
  it('returns the same object, does not run the query by itself, and ends without it', async () => {
    const query = new Query();
    expect(orders.call(() => query)).toBe(query);
    await turn();
    expect(query.runs).toBe(0);
    // One that is only a part of another query must not leave the span open.
    expect(app.names).toEqual(['Orders.call']);
  });

  it('runs the query inside the span, which ends with it', async () => {
    const query = new Query();
    await expect(orders.call(() => query).where('a = 1')).resolves.toEqual(['row']);
    expect(query.runs).toBe(1);
    expect(app.names).toEqual(['Orders.inner', 'Orders.call']);
    expect(app.childrenOf(app.span('Orders.call'))).toEqual(['Orders.inner']);
    expect(app.span('Orders.call').events.map(({ name }) => name)).toEqual(['query']);
  });

  it('fails the span with the query', async () => {
    const reason = new Error('syntax');
    const failing = (): Query =>
      orders.call(
        () =>
          new Query(() => {
            throw reason;
          }),
      );
    await expect(failing()).rejects.toBe(reason);
    await expect(failing().catch(caught => [caught])).resolves.toEqual([reason]);
    await expect(failing().finally(() => {})).rejects.toBe(reason);
    const spans = app.spans.filter(({ name }) => name === 'Orders.call');
    expect(spans.map(({ status }) => status.code)).toEqual([SpanStatusCode.ERROR, SpanStatusCode.ERROR, SpanStatusCode.ERROR]);
    expect(app.openSpans).toBe(0);
  });

  it.each<[string, (query: Query) => Promise<unknown>]>([
    ['awaited', async query => await query],
    ['run by catch()', query => query.catch(() => undefined)],
  ])('runs a query that is %s only later inside a span of its own, where it runs', async (_how, run) => {
    const query = orders.call(() => new Query());
    await turn();
    expect(app.names).toEqual(['Orders.call']);
    await orders.callAsync(async () => {
      await run(query);
    });
    await run(query);
    expect(app.names).toEqual(['Orders.call', 'Orders.inner', 'Orders.call', 'Orders.callAsync', 'Orders.inner']);
    expect(app.childrenOf(app.span('Orders.callAsync'))).toEqual(['Orders.call']);
    expect(app.childrenOf(app.spans[2]!)).toEqual(['Orders.inner']);
    expect(app.openSpans).toBe(0);
  });

  it('ends the span with the first run when the query runs again', async () => {
    const query = orders.call(() => new Query());
    await query;
    await query;
    expect(query.runs).toBe(2);
    expect(app.names).toEqual(['Orders.inner', 'Orders.call', 'Orders.inner']);
  });

  it('continues the caller in the context of the caller', async () => {
    await orders.callAsync(async () => {
      const outer = trace.getActiveSpan();
      await new Promise<void>(resolve => {
        void orders
          .call(() => new Query())
          .then(() => {
            expect(trace.getActiveSpan()).toBe(outer);
            trace.getActiveSpan()?.addEvent('continued');
            resolve();
          });
      });
    });
    expect(app.span('Orders.callAsync').events.map(({ name }) => name)).toEqual(['continued']);
  });

  it.each([
    ['frozen', Object.freeze({ then: (resolve: (value: string) => void) => resolve('row') })],
    ['a proxy that refuses', new Proxy({ then: (resolve: (value: string) => void) => resolve('row') }, { defineProperty: () => fail() })],
  ])('ends the span at once where the object does not let itself be observed: %s', async (_, query) => {
    const hidden = { query };
    expect(orders.call(() => hidden.query) === query).toBe(true);
    expect(app.names).toEqual(['Orders.call']);
    expect(await query).toBe('row');
  });

  it('fails the span and throws when `then` itself throws', () => {
    const reason = new Error('closed');
    const query = orders.call(() => ({
      then(): void {
        throw reason;
      },
    }));
    expect(() => query.then()).toThrow(reason);
    expect(app.span('Orders.call').status.code).toBe(SpanStatusCode.ERROR);
  });

  it('keeps a child process with promise methods a child process', async () => {
    const child = new EventEmitter();
    const done = once(child, 'exit').then(([code]) => code as number);
    const subprocess = Object.assign(child, { pid: 4711, then: done.then.bind(done), catch: done.catch.bind(done) });
    const returned = orders.call(() => subprocess);
    expect(returned).toBe(subprocess);
    expect(returned.pid).toBe(4711);
    setImmediate(() => child.emit('exit', 3));
    expect(await returned).toBe(3);
    expect(app.names).toEqual(['Orders.call']);
  });
});

function fail(): never {
  throw new Error('hands off');
}
