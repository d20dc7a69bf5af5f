/** Gives each subscription to an Observable its span: from subscribe to complete, error or unsubscribe; what is upstream runs inside. */
import { context } from '@opentelemetry/api';
import { Observable, type Subscriber, type Unsubscribable } from 'rxjs';
import type { ObservableLike } from './result-shape.js';
import type { RunningSpan } from './running-span.js';

/**
 * Follows an Observable; `open` opens the span of one subscription, `undefined` where nothing is traced. What comes back stands for the
 * source itself: the value and `next` of a BehaviorSubject, or a member of a subclass, are still there. @internal
 */
export function followObservable<T extends ObservableLike>(source: T, open: () => RunningSpan | undefined): T {
  const subscribe = (...observer: unknown[]): unknown => {
    const running = open();
    return running === undefined ? source.subscribe(...observer) : subscribeInSpan(source, running, observer);
  };
  return new Proxy(source, {
    get(target, key) {
      if (key === 'subscribe') return subscribe;
      const value: unknown = Reflect.get(target, key, target);
      // Methods that make another Observable must see the one with spans; all others may rely on private state and need the source.
      return typeof value === 'function' && isStateful(target, key) ? (value.bind(target) as unknown) : value;
    },
    set: (target, key, value) => Reflect.set(target, key, value, target),
  });
}

const DERIVING = new Set<PropertyKey>(['pipe', 'lift', 'forEach', 'toPromise', 'asObservable', '@@observable', 'constructor']);

function isStateful(target: object, key: PropertyKey): boolean {
  return typeof key === 'string' && !DERIVING.has(key) && !Object.hasOwn(target, key);
}

function subscribeInSpan(source: ObservableLike, running: RunningSpan, observer: unknown[]): unknown {
  const caller = context.active();
  const refusal: { thrown: unknown }[] = [];
  const traced = new Observable<unknown>(consumer => {
    let last: unknown;
    let isEmpty = true;
    const finish = (): void => {
      if (isEmpty) running.end();
      else running.succeed(last);
    };
    // A subscriber of its own that closes together with the consumer's, also in the middle of values that come synchronously.
    new Observable<unknown>(upstream => {
      // Who leaves early has the source torn down inside the span; after its end that is no part of it.
      consumer.add(() => {
        if (running.hasEnded) upstream.unsubscribe();
        else running.run(() => upstream.unsubscribe());
      });
      attach(source, upstream, running, refusal);
      upstream.add(finish);
    }).subscribe({
      // The consumer goes on in its own context, and after the span has ended: it is no part of the operation.
      next(value) {
        last = value;
        isEmpty = false;
        context.with(caller, () => consumer.next(value));
      },
      error(thrown) {
        running.fail(thrown);
        context.with(caller, () => consumer.error(thrown));
      },
      complete() {
        finish();
        context.with(caller, () => consumer.complete());
      },
    });
  });
  const subscription = (traced as ObservableLike).subscribe(...observer);
  const [refused] = refusal;
  if (refused !== undefined) throw refused.thrown;
  return subscription;
}

/** A closed Subject, for one, throws where other sources report an error: so does the Observable that stands for it. */
function attach(source: ObservableLike, upstream: Subscriber<unknown>, running: RunningSpan, refusal: { thrown: unknown }[]): void {
  try {
    const teardown = running.run(() => source.subscribe(upstream));
    if (teardown !== upstream) upstream.add(teardown as Unsubscribable | (() => void));
  } catch (thrown) {
    running.fail(thrown);
    refusal.push({ thrown });
  }
}
