/** @Span() on methods that return something that can be iterated and is no generator, like the streams of language models. */
import { Readable } from 'node:stream';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { SpanStatusCode, trace } from '@opentelemetry/api';
import { Span } from '../../lib/api/span.decorator.js';
import { Tracer } from '../../lib/api/tracer.js';
import { applicationOfSpec } from './application-of-spec.js';

const app = applicationOfSpec();
const tracer = new Tracer(app);

/** As the clients of language models return it. */
class TokenStream implements AsyncIterable<string> {
  readonly controller = new AbortController();
  usage = 0;
  #isConsumed = false;
  constructor(private readonly tokens: readonly unknown[]) {}

  get isConsumed(): boolean {
    return this.#isConsumed;
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    if (this.#isConsumed) throw new Error('already consumed');
    this.#isConsumed = true;
    try {
      for (const token of this.tokens) {
        await turn();
        trace.getActiveSpan()?.addEvent('received');
        if (token instanceof Error) throw token;
        this.usage += 1;
        yield String(token);
      }
    } finally {
      trace.getActiveSpan()?.addEvent('closed');
    }
  }
}

/** A promise that knows more, as theirs do. */
class StreamPromise<T> extends Promise<T> {
  readonly requestId = 'r1';
}

class Model {
  @Span() ask(stream: AsyncIterable<string>): AsyncIterable<string> {
    return stream;
  }
  @Span() async askLater(stream: AsyncIterable<string>): Promise<AsyncIterable<string>> {
    await turn();
    return stream;
  }
  @Span() askWithMore(stream: AsyncIterable<string>): Promise<AsyncIterable<string>> {
    return new StreamPromise(resolve => setImmediate(() => resolve(stream)));
  }
  @Span({ resultAttributes: ({ usage }: TokenStream) => ({ usage }) })
  counted(stream: TokenStream): TokenStream {
    return stream;
  }
  @Span() outer(stream: AsyncIterable<string>): Promise<AsyncIterable<string>> {
    return this.askLater(stream);
  }
  @Span() returning<T>(value: T): T {
    return value;
  }
}
const model = new Model();
const ways: [string, (stream: AsyncIterable<string>) => AsyncIterable<string> | Promise<AsyncIterable<string>>][] = [
  ['ask', stream => model.ask(stream)],
  ['askLater', stream => model.askLater(stream)],
  ['askWithMore', stream => model.askWithMore(stream)],
];
const events = (name: string) => app.span(name).events.map(event => event.name);

describe.each(ways)('what Model.%s returns', (method, call) => {
  const name = `Model.${method}`;

  it('has its span last until it has been iterated, and run inside', async () => {
    const stream = new TokenStream(['a', 'b']);
    const seen: unknown[] = [];
    await tracer.span('caller', async caller => {
      const returned = await call(stream);
      expect(returned).toBe(stream);
      await turn();
      for await (const token of returned) {
        seen.push(token, trace.getActiveSpan() === caller, app.names);
        await turn();
        expect(trace.getActiveSpan()).toBe(caller);
      }
    });
    expect(seen).toEqual(['a', true, [], 'b', true, []]);
    expect(app.tree().split('\n')).toEqual(['caller', `  ${name}`]);
    expect(events(name)).toEqual(['received', 'received', 'closed']);
    expect(stream).toBeInstanceOf(TokenStream);
    expect([stream.isConsumed, stream.controller.signal.aborted, Object.keys(stream)]).toEqual([
      true,
      false,
      Object.keys(new TokenStream([])),
    ]);
  });

  it('fails its span where the iteration does', async () => {
    const lost = new RangeError('connection lost');
    const returned = await call(new TokenStream(['a', lost]));
    await expect(
      (async () => {
        for await (const _ of returned);
      })(),
    ).rejects.toBe(lost);
    const { status, attributes } = app.span(name);
    expect([status.code, attributes['error.type']]).toEqual([SpanStatusCode.ERROR, 'RangeError']);
  });

  it('has its span end when the loop is left', async () => {
    for await (const token of await call(new TokenStream(['a', 'b', 'c']))) if (token === 'b') break;
    expect(app.span(name).status.code).toBe(SpanStatusCode.UNSET);
    expect(events(name)).toEqual(['received', 'received', 'closed']);
  });
});

describe('something that can be iterated', () => {
  it('may be so by hand, and more than once', async () => {
    const stream = model.ask(new TokenStream(['a']));
    const iterator = stream[Symbol.asyncIterator]() as AsyncGenerator<string>;
    expect(Object.prototype.toString.call(iterator)).toBe('[object AsyncGenerator]');
    expect(iterator[Symbol.asyncIterator]()).toBe(iterator);
    expect(await iterator.next()).toEqual({ done: false, value: 'a' });
    expect(await iterator.return('enough')).toEqual({ done: true, value: 'enough' });
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    expect(app.names).toEqual(['Model.ask']);
    await expect(stream[Symbol.asyncIterator]().next()).rejects.toThrow('already consumed');
    expect(app.spans.map(({ status }) => status.code)).toEqual([SpanStatusCode.UNSET, SpanStatusCode.ERROR]);
    expect(app.openSpans).toBe(0);
  });

  it('may have an iterator that can do nothing but go on', async () => {
    let left = 2;
    const next = () => Promise.resolve(left-- > 0 ? { done: false, value: left } : { done: true, value: undefined });
    const iterable = { [Symbol.asyncIterator]: () => ({ next }) };
    const seen = [];
    for await (const value of model.returning(iterable)) seen.push(value);
    expect(seen).toEqual([1, 0]);
    for await (const _ of { [Symbol.asyncIterator]: () => model.returning(iterable)[Symbol.asyncIterator]() }) break;
    expect(app.names).toEqual(['Model.returning', 'Model.returning']);
  });

  it('has its span end when a loop is left whose iterator is not told', async () => {
    let count = 0;
    const iterable = { [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: false, value: count++ }) }) };
    for await (const value of model.returning(iterable)) if (value === 1) break;
    expect(app.names).toEqual(['Model.returning']);
    const failing = async () => {
      for await (const value of model.returning(model.returning(iterable))) throw new Error(String(value));
    };
    await expect(failing()).rejects.toThrow('2');
    expect(app.names).toEqual(['Model.returning', 'Model.returning', 'Model.returning']);
    expect(app.openSpans).toBe(0);
    expect(count).toBe(3);
  });

  it('has the attributes of its result recorded when it is over', async () => {
    for await (const _ of model.counted(new TokenStream(['a', 'b', 'c'])));
    expect(app.span('Model.counted').attributes['usage']).toBe(3);
  });

  it('that several methods pass on has the span of each last', async () => {
    for await (const _ of await model.outer(new TokenStream(['a']))) expect(app.names).toEqual([]);
    expect(app.tree().split('\n')).toEqual(['Model.outer', '  Model.askLater']);
    expect(events('Model.askLater')).toEqual(['received', 'closed']);
  });

  it('that is returned again and again is followed once at a time', async () => {
    const stream = new TokenStream(['a']);
    let count = 0;
    const iterate = stream[Symbol.asyncIterator].bind(stream);
    stream[Symbol.asyncIterator] = () => {
      count += 1;
      return iterate();
    };
    for (let time = 0; time < 100; time++) model.ask(stream);
    for await (const _ of stream);
    expect(count).toBe(1);
    expect(app.openSpans).toBe(0);
  });

  it('that nobody iterates has its span end with the call', async () => {
    model.ask(new TokenStream(['a']));
    await model.askLater(new TokenStream(['a']));
    expect(app.names).toEqual([]);
    const began = Date.now();
    while (app.openSpans > 0) await delay(20);
    expect(Date.now() - began).toBeGreaterThan(500);
    for (const { duration } of app.spans) expect(duration[0] * 1e3 + duration[1] / 1e6).toBeLessThan(500);
  });

  it('that cannot be changed is a value', async () => {
    const frozen = Object.freeze(new TokenStream(['a']));
    expect(model.returning(frozen)).toBe(frozen);
    expect(app.names).toEqual(['Model.returning']);
    const hostile = new Proxy(new TokenStream([]), { defineProperty: () => false });
    expect(model.returning(hostile)).toBe(hostile);
    expect(app.openSpans).toBe(0);
  });

  it.each<[string, unknown]>([
    ['an array', ['a']],
    ['a set', new Set(['a'])],
    ['a map', new Map([['a', 1]])],
    ['a text', 'abc'],
    ['a typed array', new Uint8Array(2)],
  ])('at once is a value: %s', (_, value) => {
    expect(model.returning(value)).toBe(value);
    expect(app.names).toEqual(['Model.returning']);
  });
});

describe('a stream', () => {
  const made: [string, () => AsyncIterable<string>][] = [
    ['of Node', () => Readable.from(['a', 'b'])],
    ['of the web', () => new Blob(['ab']).stream() as never],
  ];
  it.each(made)('%s that is iterated right away has its span last', async (_, make) => {
    let count = 0;
    for await (const _ of await model.askLater(make())) {
      count += 1;
      expect(app.names).toEqual([]);
    }
    expect(count).toBeGreaterThan(0);
    expect(app.names).toEqual(['Model.askLater']);
  });

  it('of Node that is consumed otherwise has its span end with the call, and nothing else changed', async () => {
    const stream = Readable.from(['a', 'b']);
    const names = stream.eventNames();
    expect(model.ask(stream)).toBe(stream);
    expect(stream.eventNames()).toEqual(names);
    await turn();
    expect(app.names).toEqual(['Model.ask']);
    expect(Buffer.concat(await stream.map(Buffer.from).toArray()).toString()).toBe('ab');
  });

  it('of the web is still one to those who consume it', async () => {
    expect(await new Response(model.ask(made[1]![1]()) as never).text()).toBe('ab');
    await turn();
    expect(app.names).toEqual(['Model.ask']);
  });
});
