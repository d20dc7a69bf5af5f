/** What methods with @Span() that return Observables do before anybody subscribes, and after the last value. */
import { setImmediate as turn } from 'node:timers/promises';
import { trace } from '@opentelemetry/api';
import { EMPTY, lastValueFrom, Observable, of, range, take } from 'rxjs';
import { Span } from '../../lib/api/span.decorator.js';
import { Tracer } from '../../lib/api/tracer.js';
import { applicationOfSpec } from '../spans/application-of-spec.js';

const app = applicationOfSpec();
const tracer = new Tracer(app);

const event = (name: string): unknown => trace.getActiveSpan()?.addEvent(name);

function makeFeed() {
  class Feed {
    @Span({ resultAttributes: (last: number) => ({ last }) })
    counted(source: Observable<number>): Observable<number> {
      return source;
    }

    @Span()
    inner() {
      event('worked');
    }

    @Span()
    throwing(): Observable<number> {
      throw new RangeError('before it began');
    }

    @Span()
    eventful(): Observable<number> {
      event('prepared');
      return of(1);
    }

    @Span()
    eventfulUndeclared() {
      event('prepared');
      this.inner();
      return of(1);
    }

    @Span()
    mixed(source: unknown): unknown {
      this.inner();
      return source;
    }
  }
  return new Feed();
}
let feed = makeFeed();
beforeEach(() => (feed = makeFeed()));

describe('@Span() and what an Observable method does before anybody subscribes', () => {
  it('fails a span when the method itself throws', () => {
    expect(() => feed.throwing()).toThrow(RangeError);
    expect(app.span('Feed.throwing').attributes['error.type']).toBe('RangeError');
  });

  it('gives events of the body to the span that was active then', async () => {
    await tracer.span('caller', () => lastValueFrom(feed.eventful()));
    expect(app.span('caller').events.map(e => e.name)).toEqual(['prepared']);
    expect(app.tree().split('\n')).toEqual(['caller', '  Feed.eventful']);
  });

  it('loses neither events nor children of a first call whose result nobody could know', async () => {
    await lastValueFrom(feed.eventfulUndeclared());
    expect(app.span('Feed.eventfulUndeclared').events.map(e => e.name)).toEqual(['prepared']);
    expect(app.tree().split('\n')).toEqual(['Feed.eventfulUndeclared', '  Feed.inner']);
    expect(app.openSpans).toBe(0);
  });

  it('follows a method that returns now this, now that', async () => {
    await lastValueFrom(feed.mixed(of(1)) as Observable<number>);
    await (feed.mixed(turn()) as Promise<void>);
    expect(feed.mixed(5)).toBe(5);
    await lastValueFrom(feed.mixed(of(1)) as Observable<number>);
    await (feed.mixed(turn()) as Promise<void>);
    // The call after an Observable is taken for another one: its body runs outside the span.
    const [inside, outside] = ['Feed.mixed\n  Feed.inner', 'Feed.inner\nFeed.mixed'];
    expect(app.tree()).toBe([inside, outside, inside, inside, inside].join('\n'));
  });

  it('records attributes of the last value', async () => {
    await lastValueFrom(feed.counted(of(1, 2, 3)));
    await lastValueFrom(feed.counted(range(1, 9)).pipe(take(4)));
    await lastValueFrom(feed.counted(EMPTY), { defaultValue: 0 });
    expect(app.spans.map(({ attributes }) => attributes['last'])).toEqual([3, 4, undefined]);
  });
});
