/** An exception has one event per trace, on the innermost span that saw it; the spans around it have status and `error.type`. */
import { setImmediate as turn } from 'node:timers/promises';
import { SpanStatusCode } from '@opentelemetry/api';
import { lastValueFrom, Observable, throwError } from 'rxjs';
import { Span } from '../../lib/api/span.decorator.js';
import { Tracer } from '../../lib/api/tracer.js';
import { applicationOfSpec } from './application-of-spec.js';

const app = applicationOfSpec();
const tracer = new Tracer(app);

class Orders {
  @Span() failing(thrown: unknown): void {
    throw thrown;
  }
  @Span() async failingLater(thrown: unknown): Promise<void> {
    await turn();
    throw thrown;
  }
  @Span() failingInStream(thrown: unknown): Observable<never> {
    return throwError(() => thrown);
  }
  @Span() *failingInSteps(thrown: unknown): Generator<number> {
    yield 1;
    throw thrown;
  }
  @Span() async outer(call: () => unknown): Promise<void> {
    const result = call();
    if (result instanceof Observable) await lastValueFrom(result);
    else if (typeof result === 'object' && result !== null && Symbol.iterator in result) for (const _ of result as Iterable<unknown>);
    else await result;
  }
}
const orders = new Orders();

const caught = async (call: () => unknown): Promise<unknown> => {
  try {
    await call();
    return 'nothing thrown';
  } catch (thrown) {
    return thrown;
  }
};
const exceptions = () => app.spans.map(({ name, events }) => [name, events.filter(({ name: event }) => event === 'exception').length]);

describe.each<[string, (thrown: unknown) => unknown]>([
  ['failing', thrown => orders.failing(thrown)],
  ['failingLater', thrown => orders.failingLater(thrown)],
  ['failingInStream', thrown => orders.failingInStream(thrown)],
  ['failingInSteps', thrown => orders.failingInSteps(thrown)],
])('what is thrown by Orders.%s', (name, call) => {
  it.each<[string, unknown, string]>([
    ['an error', new TypeError('odd'), 'TypeError'],
    ['a frozen error', Object.freeze(new RangeError('frozen')), 'RangeError'],
    ['data', { code: 'E_DATA', message: 'data' }, 'E_DATA'],
    ['a text', 'a text', '_OTHER'],
    ['nothing', undefined, '_OTHER'],
    ['NaN', NaN, '_OTHER'],
  ])('has one event, on the innermost span: %s', async (_, thrown, type) => {
    expect(await caught(() => tracer.span('job', () => orders.outer(() => orders.outer(() => call(thrown)))))).toBe(thrown);
    expect(exceptions()).toEqual([
      [`Orders.${name}`, 1],
      ['Orders.outer', 0],
      ['Orders.outer', 0],
      ['job', 0],
    ]);
    const [{ status }] = app.spans as [(typeof app.spans)[number]];
    expect(status.code).toBe(SpanStatusCode.ERROR);
    for (const span of app.spans) {
      expect(span.status).toEqual(status);
      expect(span.attributes['error.type']).toBe(type);
    }
  });
});

describe('an error', () => {
  it('has an event in each trace in which it is thrown, also where these overlap', async () => {
    const kept = Promise.reject(new Error('made once'));
    kept.catch(() => undefined);
    const waiting = () => tracer.span('trace', () => orders.outer(() => kept));
    await Promise.all([caught(waiting), caught(waiting), caught(waiting)]);
    for (let time = 0; time < 40; time++) await caught(waiting);
    const outer = app.spans.filter(({ name }) => name === 'Orders.outer');
    expect(outer.map(({ events }) => events.length)).toEqual(outer.map(() => 1));
    expect(app.spans.filter(({ name, events }) => name === 'trace' && events.length > 0)).toEqual([]);
  });

  it('that wraps another is one of its own', async () => {
    const inner = new Error('inner');
    const wrapping = () =>
      orders.outer(async () => {
        const cause = await caught(() => orders.failing(inner));
        throw new Error('outer', { cause });
      });
    await caught(wrapping);
    expect(app.spans.map(({ events }) => events.map(({ attributes }) => attributes!['exception.message']))).toEqual([['inner'], ['outer']]);
  });

  it('that the application has recorded is not recorded again', async () => {
    const thrown = new Error('known');
    await caught(() =>
      tracer.span('outer', () =>
        tracer.span('inner', () => {
          tracer.recordException(thrown);
          throw thrown;
        }),
      ),
    );
    expect(exceptions()).toEqual([
      ['inner', 1],
      ['outer', 0],
    ]);
  });

  it('is recorded by the application as often as it likes', () => {
    tracer.span('twice', () => {
      tracer.recordException('x');
      tracer.recordException('x');
    });
    expect(exceptions()).toEqual([['twice', 2]]);
  });

  it('that a span has recorded which records nothing counts as not recorded', async () => {
    const thrown = new Error('unseen');
    await caught(() =>
      tracer.span('seen', span => {
        span.end();
        orders.failing(thrown);
      }),
    );
    tracer.span('later', span => {
      span.end();
      tracer.recordException(thrown);
    });
    await caught(() => tracer.span('visible', () => orders.failing(thrown)));
    expect(exceptions()).toEqual([
      ['seen', 0],
      ['Orders.failing', 1],
      ['later', 0],
      ['Orders.failing', 1],
      ['visible', 0],
    ]);
  });
});

describe('a text that is thrown', () => {
  it('is a new one where it comes from elsewhere', async () => {
    await tracer.span('trace', async () => {
      await caught(() => orders.failing('refused'));
      await caught(() => orders.failing('refused'));
      await caught(() => orders.outer(() => orders.failing('refused')));
    });
    expect(exceptions()).toEqual([
      ['Orders.failing', 1],
      ['Orders.failing', 1],
      ['Orders.failing', 1],
      ['Orders.outer', 0],
      ['trace', 0],
    ]);
  });
});
