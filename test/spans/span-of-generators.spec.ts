/** @Span() on generators and async generators. */
import { setImmediate as turn } from 'node:timers/promises';
import { SpanStatusCode, trace } from '@opentelemetry/api';
import { Span } from '../../lib/api/span.decorator.js';
import { Tracer } from '../../lib/api/tracer.js';
import { applicationOfSpec } from './application-of-spec.js';

const app = applicationOfSpec();
const tracer = new Tracer(app);

const event = (name: string): unknown => trace.getActiveSpan()?.addEvent(name);

class Pages {
  @Span()
  inner() {
    event('worked');
  }

  @Span()
  *numbers(count: number): Generator<number, string, string | undefined> {
    try {
      for (let number = 1; number <= count; number++) {
        this.inner();
        const answer = yield number;
        event(`step ${answer ?? ''}`);
      }
    } finally {
      event('closed');
    }
    return 'done';
  }

  @Span()
  async *pages(count: number, failure?: unknown): AsyncGenerator<number, string, string | undefined> {
    try {
      for (let page = 1; page <= count; page++) {
        await turn();
        this.inner();
        const answer = yield page;
        event(`page ${answer ?? ''}`);
      }
      if (failure !== undefined) throw failure;
    } finally {
      await turn();
      event('closed');
    }
    return 'done';
  }

  @Span({ resultAttributes: (result: string) => ({ result: `a ${result}` }) })
  *returning(): Generator<number, string> {
    yield 1;
    return 'value';
  }

  @Span()
  delegating(count: number) {
    return this.numbers(count);
  }
}
const pages = new Pages();

describe('@Span() on a generator', () => {
  it('makes no span before the first value is asked for', () => {
    pages.numbers(3);
    expect(app.spans).toEqual([]);
    expect(app.openSpans).toBe(0);
  });

  it('makes one span from the first value to the end, each step inside it', () => {
    const seen: unknown[] = [];
    tracer.span('caller', caller => {
      for (const number of pages.numbers(2)) seen.push(number, trace.getActiveSpan() === caller);
    });
    expect(seen).toEqual([1, true, 2, true]);
    expect(app.tree().split('\n')).toEqual(['caller', '  Pages.numbers', '    Pages.inner', '    Pages.inner']);
    expect(app.span('Pages.numbers').events.map(({ name }) => name)).toEqual(['step ', 'step ', 'closed']);
  });

  it('passes arguments, results and errors through unchanged', () => {
    const generator = pages.numbers(3);
    expect(Object.prototype.toString.call(generator)).toBe('[object Generator]');
    expect(generator[Symbol.iterator]()).toBe(generator);
    expect(generator.next()).toEqual({ done: false, value: 1 });
    expect(generator.next('x')).toEqual({ done: false, value: 2 });
    const reason = new Error('stop');
    expect(() => generator.throw(reason)).toThrow(reason);
    expect(generator.next()).toEqual({ done: true, value: undefined });
    const span = app.span('Pages.numbers');
    expect(span.status.code).toBe(SpanStatusCode.ERROR);
    expect(span.events.map(({ name }) => name)).toEqual(['step x', 'closed', 'exception']);
  });

  it('ends the span when the loop is left', () => {
    for (const number of pages.numbers(9)) if (number === 2) break;
    const span = app.span('Pages.numbers');
    expect(span.status.code).toBe(SpanStatusCode.UNSET);
    expect(span.events.map(({ name }) => name)).toEqual(['step ', 'closed']);
  });

  it('makes no span for one that is closed before it began', () => {
    const generator = pages.numbers(3);
    expect(generator.return('early')).toEqual({ done: true, value: 'early' });
    expect(generator.next()).toEqual({ done: true, value: undefined });
    expect(() => pages.numbers(1).throw(new Error('early'))).toThrow('early');
    expect(app.spans).toEqual([]);
  });

  it('makes a span for each generator, also for those that run at the same time', () => {
    const [a, b] = [pages.numbers(1), pages.numbers(1)];
    a.next();
    b.next();
    a.next();
    b.next();
    const spans = app.spans.filter(({ name }) => name === 'Pages.numbers');
    expect(spans.map(span => app.childrenOf(span))).toEqual([['Pages.inner'], ['Pages.inner']]);
  });

  it('records attributes of the return value, unless the loop is left', () => {
    expect([...pages.returning()]).toEqual([1]);
    for (const _ of pages.returning()) break;
    expect(app.spans.map(({ attributes }) => attributes['result'])).toEqual(['a value', undefined]);
  });

  it('follows a generator that a plain method hands on', () => {
    expect([...pages.delegating(1)]).toEqual([1]);
    expect([...pages.delegating(1)]).toEqual([1]);
    const expected = ['Pages.delegating', '  Pages.numbers', '    Pages.inner'];
    expect(app.tree().split('\n')).toEqual([...expected, ...expected]);
    expect(app.openSpans).toBeLessThanOrEqual(1);
  });
});

describe('@Span() on an async generator', () => {
  it('makes one span from the first value to the end, each step inside it', async () => {
    const seen: unknown[] = [];
    await tracer.span('caller', async caller => {
      for await (const page of pages.pages(2)) seen.push(page, trace.getActiveSpan() === caller);
    });
    expect(seen).toEqual([1, true, 2, true]);
    expect(app.tree().split('\n')).toEqual(['caller', '  Pages.pages', '    Pages.inner', '    Pages.inner']);
    expect(app.span('Pages.pages').events.map(({ name }) => name)).toEqual(['page ', 'page ', 'closed']);
  });

  it('passes arguments and results through unchanged, also for steps that wait in line', async () => {
    const generator = pages.pages(1);
    expect(generator[Symbol.asyncIterator]()).toBe(generator);
    const steps = await Promise.all([generator.next(), generator.next('x'), generator.next()]);
    expect(steps).toEqual([
      { done: false, value: 1 },
      { done: true, value: 'done' },
      { done: true, value: undefined },
    ]);
    expect(app.span('Pages.pages').events.map(({ name }) => name)).toEqual(['page x', 'closed']);
  });

  it('fails the span with the error and rejects with it', async () => {
    const reason = new Error('page lost');
    const read = async (): Promise<void> => {
      for await (const _ of pages.pages(1, reason));
    };
    await expect(read()).rejects.toBe(reason);
    expect(app.span('Pages.pages').status.message).toBe('page lost');
  });

  it('ends the span when the loop is left', async () => {
    for await (const page of pages.pages(9)) if (page === 2) break;
    expect(app.span('Pages.pages').status.code).toBe(SpanStatusCode.UNSET);
    expect(app.span('Pages.pages').events.map(({ name }) => name)).toEqual(['page ', 'closed']);
  });
});
