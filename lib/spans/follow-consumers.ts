/** Runs each consumer of a result in a span: each subscription to an Observable, run of a generator, or asynchronous iteration. */
import { context } from '@opentelemetry/api';
import { Observable, type Unsubscribable } from 'rxjs';
import { wallTime } from './clock.js';
import { inContext } from './context.js';
import {
  type AsyncIterableLike,
  type GeneratorLike,
  type ObservableLike,
  type RunningSpan,
  shapeOf,
  type Thenable,
} from './running-span.js';

/**
 * Returns a proxy of an Observable that runs each subscription in a span. `open` returns this span, or undefined if nothing is traced.
 * Other members of the source stay reachable, like `value` and `next` of a BehaviorSubject. @internal
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
      // Methods that derive an Observable must run on the proxy. All others run on the source, as they may use its private state.
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
  let refuse: (() => never) | undefined;
  const traced = new Observable<unknown>(consumer => {
    // This second subscriber closes together with the consumer's, even while the source emits values synchronously.
    new Observable<unknown>(upstream => {
      // The teardown of the source runs inside the span if the consumer unsubscribes before the span has ended.
      consumer.add(() => {
        if (running.hasEnded) upstream.unsubscribe();
        else running.run(() => upstream.unsubscribe());
      });
      try {
        const teardown = running.run(() => source.subscribe(upstream));
        if (teardown !== upstream) upstream.add(teardown as Unsubscribable | (() => void));
      } catch (thrown) {
        running.fail(thrown);
        // Some sources throw in `subscribe()`, for example a closed Subject. The proxy must do so, too.
        refuse = () => {
          throw thrown;
        };
      }
      upstream.add(() => running.completed());
    }).subscribe({
      // The consumer is not part of the operation: it runs in its own context, and its end comes after the end of the span.
      next(value) {
        if (!running.hasEnded) running.emitted(value);
        context.with(caller, () => consumer.next(value));
      },
      error(thrown) {
        running.fail(thrown);
        context.with(caller, () => consumer.error(thrown));
      },
      complete() {
        running.completed();
        context.with(caller, () => consumer.complete());
      },
    });
  });
  const subscription = (traced as ObservableLike).subscribe(...observer);
  refuse?.();
  return subscription;
}

type Step = 'next' | 'return' | 'throw';
type Resume = (this: unknown, ...args: unknown[]) => unknown;

/**
 * Returns a sync or async generator or iterator that runs each step of `generator` in a span. `open` returns this span at the first
 * `next()`, or undefined if nothing is traced. The span's result is the return value, or `iterated`: the object that is iterated. @internal
 */
export function followGenerator<T extends GeneratorLike>(generator: T, open: () => RunningSpan | undefined, iterated?: unknown): T {
  let running: RunningSpan | undefined;
  let isUntouched = true;

  const settle = (span: RunningSpan, name: Step, outcome: unknown): unknown => {
    if (isDone(outcome)) {
      // If the consumer stops early, the value is the consumer's.
      if (name === 'next') span.succeed(iterated ?? outcome.value);
      else span.end();
    }
    return outcome;
  };
  const fail = (span: RunningSpan, thrown: unknown): never => {
    span.fail(thrown);
    throw thrown;
  };
  const step = (name: Step, original: Resume) =>
    function (...args: unknown[]): unknown {
      // If `return()` or `throw()` is called first, the generator's body never runs.
      if (isUntouched && name === 'next') running = open();
      isUntouched = false;
      const span = running;
      if (span === undefined || span.hasEnded) return original.apply(generator, args);
      let outcome: unknown;
      try {
        outcome = inContext(span.context, original, generator, ...args);
      } catch (thrown) {
        return fail(span, thrown);
      }
      const shape = shapeOf(outcome);
      if (shape !== 'promise' && shape !== 'thenable') return settle(span, name, outcome);
      // Node's streams may return promises of another realm.
      return (outcome as Thenable).then(
        (value: unknown) => settle(span, name, value),
        (thrown: unknown) => fail(span, thrown),
      );
    };

  const steps: PropertyDescriptorMap = {};
  for (const name of ['next', 'return', 'throw'] as const) {
    const original: unknown = generator[name];
    if (typeof original === 'function') steps[name] = { value: step(name, original as Resume), configurable: true, writable: true };
  }
  // A loop that is left early calls `return()`. An iterator without it gets one that ends the span.
  if (iterated !== undefined && generator.return === undefined) {
    const leave = (value: unknown): Promise<unknown> => {
      running?.end();
      return Promise.resolve({ done: true, value });
    };
    steps['return'] = { value: leave, configurable: true, writable: true };
  }
  return Object.create(generator, steps) as T;
}

function isDone(outcome: unknown): outcome is { value: unknown } {
  return typeof outcome === 'object' && outcome !== null && (outcome as { done?: unknown }).done === true;
}

/** How long a span waits for the first iteration, in milliseconds. Then it ends with the time of the call. */
const GRACE_MS = 1000;

/** The span of a method whose result has not been iterated yet. */
interface Waiting {
  readonly running: RunningSpan;
  begin(): void;
}

/** An object whose iterations are followed. */
interface Followed {
  /** The spans of the methods that returned this object, the innermost method first. */
  waiting: Waiting[];
  /** Opens the span of an iteration for which no span waits. */
  further: () => RunningSpan | undefined;
}

const followed = new WeakMap<object, Followed>();

/**
 * Ends `running` when the first iteration completes, fails or is left early. `open` opens the span of each further iteration. `running`
 * ends with the call if the object cannot be changed or is never iterated. Returns `iterable`. @internal
 */
export function followAsyncIterable<T extends AsyncIterableLike>(
  iterable: T,
  running: RunningSpan,
  open: () => RunningSpan | undefined,
): T {
  const known = followed.get(iterable) ?? observe(iterable);
  if (known === undefined) {
    running.succeed(iterable);
    return iterable;
  }
  if (known.waiting.length === 0) known.further = open;
  const returnedAt = wallTime();
  const abandon = (): void => {
    known.waiting = known.waiting.filter(one => one !== waiting);
    running.succeed(iterable, returnedAt);
  };
  // A stream may be consumed in other ways. These are not followed, so its span waits for one turn of the event loop only.
  const isStream = 'pipe' in iterable || 'getReader' in iterable;
  const timer = isStream ? undefined : setTimeout(abandon, GRACE_MS).unref();
  const immediate = isStream ? setImmediate(abandon) : undefined;
  const waiting = {
    running,
    begin() {
      clearTimeout(timer);
      clearImmediate(immediate);
    },
  };
  known.waiting.push(waiting);
  return iterable;
}

function observe(iterable: AsyncIterableLike): Followed | undefined {
  const iterate = iterable[Symbol.asyncIterator];
  const state: Followed = { waiting: [], further: () => undefined };
  const observed = function (this: unknown, ...args: unknown[]): unknown {
    const layers = state.waiting;
    const [innermost] = layers;
    let iterator = (innermost === undefined ? iterate.apply(this, args) : inContext(innermost.running.context, iterate, this, ...args)) as
      GeneratorLike | undefined;
    if (typeof iterator?.next !== 'function') return iterator;
    if (layers.length === 0) return followGenerator(iterator, state.further, iterable);
    for (const layer of layers) {
      const begin = (): RunningSpan | undefined => {
        // An earlier iteration has taken this span, or its waiting time is over.
        if (!state.waiting.includes(layer)) return layer === innermost ? state.further() : undefined;
        state.waiting = state.waiting.filter(one => one !== layer);
        layer.begin();
        return layer.running;
      };
      iterator = followGenerator(iterator, begin, iterable);
    }
    return iterator;
  };
  if (!override(iterable, Symbol.asyncIterator, observed)) return undefined;
  followed.set(iterable, state);
  return state;
}

/** Replaces a property by `value`. Returns false if the object cannot be changed. @internal */
export function override(owner: object, key: PropertyKey, value: unknown): boolean {
  try {
    const enumerable = Object.getOwnPropertyDescriptor(owner, key)?.enumerable ?? false;
    return Reflect.defineProperty(owner, key, { value, enumerable, configurable: true, writable: true });
  } catch {
    return false;
  }
}
