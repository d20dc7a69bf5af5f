/** @Span() on methods that return Observables. */
import { setImmediate as turn } from 'node:timers/promises';
import { SpanStatusCode, trace } from '@opentelemetry/api';
import {
  BehaviorSubject,
  concat,
  defer,
  finalize,
  firstValueFrom,
  from,
  isObservable,
  lastValueFrom,
  map,
  mergeMap,
  NEVER,
  Observable,
  of,
  range,
  retry,
  share,
  Subject,
  take,
  tap,
  throwError,
  toArray,
} from 'rxjs';
import { Span } from '../../lib/api/span.decorator.js';
import { Tracer } from '../../lib/api/tracer.js';
import { applicationOfSpec } from './application-of-spec.js';

const app = applicationOfSpec();
const tracer = new Tracer(app);

const event = (name: string): unknown => trace.getActiveSpan()?.addEvent(name);
const ticks = defer(() => from(Promise.resolve([1, 2, 3]))).pipe(mergeMap(values => values));

function makeFeed() {
  class Feed {
    @Span()
    declared<T>(source: Observable<T>): Observable<T> {
      return source;
    }

    @Span()
    undeclared<T>(source: T) {
      return source;
    }

    @Span({ resultAttributes: (last: number) => ({ last }) })
    counted(source: Observable<number>): Observable<number> {
      return source;
    }

    @Span()
    inner() {
      event('worked');
    }
  }
  return new Feed();
}
let feed = makeFeed();
beforeEach(() => (feed = makeFeed()));

describe.each(['declared', 'undeclared'] as const)('@Span() on a method that returns an Observable (return type %s)', method => {
  const watch = <T>(source: Observable<T>): Observable<T> => (feed[method] as <S>(source: S) => S)(source);
  const name = `Feed.${method}`;

  it('makes no span when nobody subscribes', async () => {
    const result = watch(of(1));
    await turn();
    expect(isObservable(result)).toBe(true);
    expect(result).toBeInstanceOf(Observable);
    expect(app.spans).toEqual([]);
  });

  it('makes a span from the subscription to completion', async () => {
    const called = process.hrtime();
    const result = watch(ticks);
    while (process.hrtime(called)[1] < 5e6) await turn();
    const [seconds, nanos] = epoch();
    await expect(lastValueFrom(result.pipe(toArray()))).resolves.toEqual([1, 2, 3]);
    const { startTime, status } = app.span(name);
    expect(startTime[0] > seconds || (startTime[0] === seconds && startTime[1] >= nanos)).toBe(true);
    expect(status.code).toBe(SpanStatusCode.UNSET);
    expect(app.names).toEqual([name]);
  });

  it('makes a span for each subscription', async () => {
    const result = watch(ticks);
    await Promise.all([lastValueFrom(result), lastValueFrom(result), lastValueFrom(result.pipe(map(value => value + 1)))]);
    expect(app.names).toEqual([name, name, name]);
  });

  it('fails the span with the error', async () => {
    for (const reason of [new Error('boom'), null, undefined, 'text']) {
      const settled = await Promise.allSettled([
        lastValueFrom(
          watch(
            concat(
              of(1),
              throwError(() => reason),
            ),
          ),
        ),
      ]);
      expect(settled[0].status === 'rejected' && settled[0].reason === reason).toBe(true);
    }
    expect(app.spans.map(({ status }) => status.code)).toEqual(Array(4).fill(SpanStatusCode.ERROR));
    expect(app.spans.map(({ events }) => events.length)).toEqual([1, 1, 1, 1]);
  });

  it('ends the span when the subscriber leaves, without calling it failed', () => {
    const subscription = watch(NEVER).subscribe();
    expect(app.spans).toEqual([]);
    subscription.unsubscribe();
    subscription.unsubscribe();
    expect(app.span(name).status.code).toBe(SpanStatusCode.UNSET);
    expect(app.span(name).events).toEqual([]);
  });

  it('stops a synchronous source together with the subscriber', async () => {
    let produced = 0;
    const source = range(1, 1e9).pipe(tap(() => produced++));
    await expect(lastValueFrom(watch(source).pipe(take(3), toArray()))).resolves.toEqual([1, 2, 3]);
    expect(produced).toBe(3);
    expect(app.names).toEqual([name]);
  });

  it('is active upstream, while the subscriber goes on in its own context', async () => {
    const source = new Observable<number>(subscriber => {
      event('subscribed');
      subscriber.next(1);
      setImmediate(() => {
        event('later');
        feed.inner();
        subscriber.next(2);
        subscriber.complete();
      });
      return () => event('torn down');
    });
    await tracer.span('caller', async caller => {
      const seen: unknown[] = [];
      await new Promise<void>(resolve => {
        watch(source).subscribe({
          next: () => seen.push(trace.getActiveSpan()),
          complete: () => {
            seen.push(trace.getActiveSpan());
            resolve();
          },
        });
      });
      expect(seen).toEqual([caller, caller, caller]);
    });
    expect(app.tree().split('\n')).toEqual(['caller', `  ${name}`, '    Feed.inner']);
    expect(app.span(name).events.map(e => e.name)).toEqual(['subscribed', 'later']);
    expect(app.span('caller').events.map(e => e.name)).toEqual(['torn down']);
  });

  it('tears the source down inside the span when the subscriber leaves', () => {
    watch(NEVER.pipe(finalize(() => event('released'))))
      .subscribe()
      .unsubscribe();
    expect(app.span(name).events.map(e => e.name)).toEqual(['released']);
  });

  it('is a child of the span that is active at the subscription, else of the one at the call', () => {
    const result = tracer.span('call', () => [watch(of(1))]);
    tracer.span('subscription', () => result[0]!.subscribe());
    expect(app.childrenOf(app.span('subscription'))).toEqual([name]);
    result[0]!.subscribe();
    expect(app.childrenOf(app.span('call'))).toEqual([name]);
  });

  it('makes a span for each attempt of a retry', async () => {
    let attempts = 0;
    const source = defer(() => (++attempts < 3 ? throwError(() => new Error('again')) : of('ok')));
    await expect(lastValueFrom(watch(source).pipe(retry(5)))).resolves.toBe('ok');
    expect(app.spans.map(({ status }) => status.code)).toEqual([SpanStatusCode.ERROR, SpanStatusCode.ERROR, SpanStatusCode.UNSET]);
  });

  it('makes one span for a source that subscribers share', async () => {
    const shared = watch(ticks).pipe(share());
    await Promise.all([lastValueFrom(shared), lastValueFrom(shared)]);
    expect(app.names).toEqual([name]);
  });

  it('makes one span of two decorated methods each', async () => {
    await lastValueFrom(watch(feed.counted(of(1, 2))));
    expect(app.tree().split('\n')).toEqual([name, '  Feed.counted']);
  });

  it('keeps what a BehaviorSubject can do', async () => {
    const subject = new BehaviorSubject('a');
    const result = watch(subject) as BehaviorSubject<string>;
    expect(result.value).toBe('a');
    const values: string[] = [];
    const subscription = result.subscribe(value => values.push(value));
    result.next('b');
    expect([result.getValue(), subject.value, values]).toEqual(['b', 'b', ['a', 'b']]);
    subject.complete();
    expect(subscription.closed).toBe(true);
    expect(app.names).toEqual([name]);
    expect(result).toBeInstanceOf(BehaviorSubject);
    await expect(lastValueFrom(result.asObservable(), { defaultValue: 'none' })).resolves.toBe('none');
    expect(app.names).toEqual([name, name]);
  });

  it('keeps what a subclass with private state can do', () => {
    class Counter extends Observable<number> {
      #count = 41;
      increment(): number {
        return ++this.#count;
      }
      get count(): number {
        return this.#count;
      }
      set count(count: number) {
        this.#count = count;
      }
    }
    const result = watch(new Counter()) as Counter;
    expect([result.increment(), result.count]).toEqual([42, 42]);
    result.count = 7;
    expect(result.count).toBe(7);
  });

  it('throws what a closed Subject throws at its subscriber', () => {
    const subject = new Subject<number>();
    subject.unsubscribe();
    expect(() => watch(subject).subscribe()).toThrow('object unsubscribed');
    expect(app.span(name).status.code).toBe(SpanStatusCode.ERROR);
  });

  it('passes on what the source throws while it is subscribed to', async () => {
    const reason = new Error('refused');
    const source = new Observable<number>(() => {
      throw reason;
    });
    await expect(firstValueFrom(watch(source))).rejects.toBe(reason);
    expect(app.span(name).status.message).toBe('refused');
  });

  it('works for an Observable that is not from this rxjs', () => {
    const observers: { next(value: number): void; complete(): void }[] = [];
    const foreign = {
      pipe: () => foreign,
      subscribe(observer: (typeof observers)[number]) {
        event('subscribed');
        observers.push(observer);
        observer.next(5);
        return { unsubscribe: () => event('unsubscribed') };
      },
    };
    const values: number[] = [];
    const result = watch(foreign as unknown as Observable<number>);
    result.subscribe(value => values.push(value)).unsubscribe();
    expect(values).toEqual([5]);
    expect(app.span(name).events.map(e => e.name)).toEqual(['subscribed', 'unsubscribed']);
    result.subscribe();
    observers[1]!.complete();
    expect(app.names).toEqual([name, name]);
  });
});

function epoch(): [number, number] {
  const now = Date.now();
  return [Math.floor(now / 1000), (now % 1000) * 1e6];
}
