import { Injectable } from '@nestjs/common';
import { trace } from '@opentelemetry/api';
import { Tracer } from '../../../lib/index.js';
import { TracedContext } from '../../traced-context.js';

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

// The machine may be busy: nothing that is meant to be short takes that long.
const NEVER_MS = 10_000;
const SLOW_MS = 20;

/** Works without a pause. */
function busyFor(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

@Injectable()
class Prices {
  constructor(private readonly tracer: Tracer) {}
  small(n = 1): number {
    return n + 1;
  }
  nested(): number {
    return this.small() + this.small();
  }
  slow(): void {
    busyFor(SLOW_MS);
  }
  slowParent(): void {
    busyFor(SLOW_MS);
    this.small();
  }
  async of(): Promise<number> {
    await turn();
    return this.small() + this.nested();
  }
  withEvent(): void {
    this.tracer.addEvent('asked');
  }
  fails(): never {
    throw new TypeError('no price');
  }
  later(done: () => void): void {
    setImmediate(() => void this.of().then(done));
  }
  byHand(): number {
    return this.tracer.span('by hand', () => this.small());
  }
  fromOutside(): void {
    trace.getTracer('theirs').startActiveSpan('theirs', span => {
      this.small();
      span.end();
    });
  }
}

describe('methods.countBelowMs', () => {
  let app: TracedContext;
  let prices: Prices;

  beforeAll(async () => {
    app = await TracedContext.start({ providers: [Prices] }, { methods: { countBelowMs: NEVER_MS } });
    prices = app.context.get(Prices);
  });
  beforeEach(() => app.recorder.clear());
  afterAll(() => app.context.close());

  const attributesOf = (name: string) => app.recorder.find(name)?.attributes ?? {};

  it('counts short calls on the span around them, and makes no span of them', () => {
    app.inRequest(() => [prices.small(), prices.small(), prices.small()]);
    expect(app.hops()).toEqual(['- > request']);
    expect(attributesOf('request')['nestjs.calls.Prices.small.count']).toBe(3);
    expect(attributesOf('request')['nestjs.calls.Prices.small.duration_ms']).toBeLessThan(NEVER_MS);
  });

  it('counts short calls inside of short calls, too', () => {
    app.inRequest(() => prices.nested());
    expect(app.hops()).toEqual(['- > request']);
    expect(attributesOf('request')).toMatchObject({ 'nestjs.calls.Prices.small.count': 2, 'nestjs.calls.Prices.nested.count': 1 });
  });

  it('counts short calls on the span of the method that makes them', async () => {
    await app.inRequest(() => prices.of());
    expect(app.hops()).toEqual(['- > request', 'request > Prices.of']);
    expect(attributesOf('Prices.of')).toMatchObject({ 'nestjs.calls.Prices.small.count': 3, 'nestjs.calls.Prices.nested.count': 1 });
    expect(Object.keys(attributesOf('request')).filter(key => key.startsWith('nestjs.calls'))).toEqual([]);
  });

  it('counts on spans by hand, those of other tracers included', () => {
    app.inRequest(() => {
      prices.byHand();
      prices.fromOutside();
    });
    expect(attributesOf('by hand')['nestjs.calls.Prices.small.count']).toBe(1);
    expect(attributesOf('theirs')['nestjs.calls.Prices.small.count']).toBe(1);
    expect(app.hops()).toContain('Prices.byHand > by hand');
  });

  it('starts spans in whole microseconds, also those that open late, as Zipkin takes no parts of them', async () => {
    const strict = await TracedContext.start({ providers: [Prices] }, { methods: { countBelowMs: 0 } });
    const { context, recorder } = strict;
    const traced = context.get(Prices);
    strict.inRequest(() => {
      for (let i = 0; i < 5; i++) traced.slowParent();
      traced.byHand();
    });
    await strict.inRequest(() => traced.of());
    expect(recorder.spans.length).toBeGreaterThan(10);
    for (const { name, startTime } of recorder.spans) expect([name, startTime[1] % 1000]).toEqual([name, 0]);
    await context.close();
  });

  it('makes a span of a longer call, with its whole duration', async () => {
    const strict = await TracedContext.start({ providers: [Prices] }, { methods: { countBelowMs: SLOW_MS } });
    const { context, recorder } = strict;
    strict.inRequest(() => {
      context.get(Prices).slow();
      context.get(Prices).slowParent();
    });
    await context.close();
    expect(strict.hops()).toEqual(expect.arrayContaining(['request > Prices.slow', 'request > Prices.slowParent']));
    for (const { name, startTime, endTime } of recorder.spans.filter(span => span.name.startsWith('Prices.slow'))) {
      const ms = (endTime[0] - startTime[0]) * 1000 + (endTime[1] - startTime[1]) / 1e6;
      expect([name, ms >= SLOW_MS && ms < NEVER_MS]).toEqual([name, true]);
    }
  });

  it('makes a span of a short call that uses its span, or fails', () => {
    app.inRequest(() => prices.withEvent());
    expect(app.hops()).toEqual(['- > request', 'request > Prices.withEvent']);
    expect(app.recorder.find('Prices.withEvent')?.events.map(({ name }) => name)).toEqual(['asked']);
    app.recorder.clear();
    expect(() => app.inRequest(() => prices.fails())).toThrow(TypeError);
    expect(attributesOf('Prices.fails')['error.type']).toBe('TypeError');
  });

  it('hangs what a counted call has left behind below the span around it', async () => {
    await app.inRequest(() => new Promise<void>(done => prices.later(done)));
    expect(app.hops()).toEqual(['- > request', 'request > Prices.of']);
  });

  it('writes at most thirty names on a span, and the rest as one', async () => {
    const methods = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`m${i}`, () => i]));
    class Many {}
    Object.defineProperties(
      Many.prototype,
      Object.fromEntries(
        Object.entries(methods).map(([name, value]) => [name, { value, configurable: true, writable: true, enumerable: false }]),
      ),
    );
    const many = await TracedContext.start({ providers: [Many] }, { methods: { countBelowMs: 1000 } });
    const instance = many.context.get<Record<string, () => number>>(Many);
    many.inRequest(() => Object.keys(methods).forEach(name => instance[name]?.()));
    await many.context.close();
    const attributes = many.recorder.find('request')?.attributes ?? {};
    expect(Object.keys(attributes).filter(key => key.endsWith('.count'))).toHaveLength(31);
    expect(attributes['nestjs.calls.others.count']).toBe(10);
  });
});
