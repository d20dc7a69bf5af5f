/** What calls in spans leave of the ten frames that Node keeps of an error's stack. */
import { setImmediate as turn } from 'node:timers/promises';
import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import { Span, Traceable } from '../../lib/api/span.decorator.js';
import { Tracer } from '../../lib/api/tracer.js';
import { applicationOfSpec } from './application-of-spec.js';

const app = applicationOfSpec();
const tracer = new Tracer(app);

class Orders {
  @Span() first(): string[] {
    return this.second();
  }
  @Span() second(): string[] {
    return this.third();
  }
  @Span({ attributes: (..._args: unknown[]) => ({}) }) third(): string[] {
    return frames();
  }
  @Span() async firstLater(): Promise<string[]> {
    return await this.secondLater();
  }
  @Span() async secondLater(): Promise<string[]> {
    await turn();
    return frames();
  }
  @Span() *steps(): Generator<string[]> {
    yield frames();
  }
  @Span() async *stepsLater(): AsyncGenerator<string[]> {
    yield frames();
  }
}

@Traceable()
class Prices {
  sum(): string[] {
    return frames();
  }
}

/** Where it is called, the innermost place first, as Node keeps it unless told otherwise. */
function frames(): string[] {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 11;
  const { stack = '' } = new Error('here');
  Error.stackTraceLimit = stackTraceLimit;
  return stack.split('\n').slice(2);
}

/** How many frames there are between a method and who called it, both of this file. */
function framesBetween([, ...above]: string[]): number {
  const written = above.filter(frame => !frame.includes('<anonymous>'));
  return written.findIndex(frame => frame.includes('stacks.spec'));
}

describe('the stack of an error', () => {
  const orders = new Orders();
  // The first calls find out what methods return.
  beforeEach(() => {
    orders.first();
    orders.first();
    new Prices().sum();
  });

  const kinds: [string, () => string[]][] = [
    ['@Span()', () => orders.third()],
    ['@Traceable()', () => new Prices().sum()],
    ['Tracer.span()', () => tracer.span('work', () => frames())],
    ['Tracer.startActiveSpan()', () => tracer.startActiveSpan('work', span => (span.end(), frames()))],
    ['Tracer.with()', () => tracer.with(ROOT_CONTEXT, () => frames())],
    ['Tracer.withBaggage()', () => tracer.withBaggage({ key: 'value' }, () => frames())],
    ['@Span() on a generator', () => [...orders.steps()][0]!],
  ];
  it.each(kinds)('has at most two frames of tracing for a call of %s', (_, call) => {
    const between = framesBetween(call());
    expect(between).toBeGreaterThan(0);
    expect(between).toBeLessThanOrEqual(2);
  });

  it('shows who called the first of three methods, within ten frames', () => {
    function theCaller(): string[] {
      return orders.first();
    }
    const stack = theCaller();
    expect(stack).toHaveLength(10);
    expect(
      stack
        .filter(frame => frame.includes('stacks.spec'))
        .map(nameOf)
        .slice(0, 4),
    ).toEqual(['Orders.third', 'Orders.second', 'Orders.first', 'theCaller']);
  });

  it('shows who awaited methods, after they have waited themselves', async () => {
    async function theCaller(): Promise<string[]> {
      return await orders.firstLater();
    }
    await theCaller();
    expect((await theCaller()).map(nameOf).slice(0, 3)).toEqual(['Orders.secondLater', 'Orders.firstLater', 'theCaller']);
  });

  it('is as short for an async generator', async () => {
    async function theCaller(): Promise<string[]> {
      for await (const stack of orders.stepsLater()) return stack;
      return [];
    }
    expect(framesBetween(await theCaller())).toBeLessThanOrEqual(2);
  });
});

describe('a span with another context manager', () => {
  it('is active around the method all the same', () => {
    const manager = (globalThis as never as Record<symbol, { context: { attach?: unknown } }>)[Symbol.for('opentelemetry.js.api.1')]!
      .context;
    manager.attach = undefined;
    try {
      tracer.span('outer', () => new Orders().first());
      expect(context.active()).toBe(ROOT_CONTEXT);
    } finally {
      delete manager.attach;
    }
    expect(app.tree().split('\n')).toEqual(['outer', '  Orders.first', '    Orders.second', '      Orders.third']);
  });
});

function nameOf(frame: string): string {
  return /at (?:async )?(?:new )?([\w.$<>]+) /.exec(frame)?.[1] ?? frame;
}
