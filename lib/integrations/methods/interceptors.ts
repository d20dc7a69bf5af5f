/** Traces an interceptor in two parts: what it does before it returns, and what it does with the result of the handler. */
import type { Context } from '@opentelemetry/api';
import { isObservable, Observable } from 'rxjs';
import { activeContext, answersForPending, inContext, pendingSpan, swapPending } from '../../spans/context.js';
import { type CallSite, isRecordingIn, PendingCall, runPending } from '../../spans/pending-call.js';
import type { RunningSpan } from '../../spans/running-span.js';
import type { Method } from '../../wrapping/replace-method.js';
import type { Runner } from './traced-call.js';

/** Returns how calls of `intercept()` run. */
export function runInterceptor(): Runner {
  const sitesAfter = new WeakMap<CallSite, CallSite>();
  const siteAfter = (site: CallSite): CallSite => {
    let after = sitesAfter.get(site);
    if (after === undefined) sitesAfter.set(site, (after = { ...site, name: `${site.name} (after)`, isAsync: false }));
    return after;
  };
  return (site, active, intercept, self, args) => {
    const [execution, next, ...rest] = args;
    // The application may call the method by itself, with anything.
    if (!isHandler(next)) return runPending(site, active, intercept, self, args);
    const after = new After(siteAfter(site));
    // The handler does not run in the interceptor, only as long as it subscribes.
    const observed: Handler = Object.create(next, {
      handle: { value: () => after.source(inContext(active, () => next.handle())) },
    }) as Handler;
    let sync: unknown;
    const before: Method = function (...given) {
      const result = Reflect.apply(intercept, this, given);
      if (result instanceof Promise) return result;
      sync = result;
      return undefined;
    };
    const pending = runPending(site, active, before, self, [execution, observed, ...rest]);
    if (pending instanceof Promise) return pending.then((result: unknown) => after.result(result));
    return after.result(sync);
  };
}

interface Handler {
  handle(): Observable<unknown>;
}

function isHandler(next: unknown): next is Handler {
  return typeof next === 'object' && next !== null && 'handle' in next && typeof next.handle === 'function';
}

/** What an interceptor does between the handler's first value or end and its own. */
class After {
  private call: PendingCall | undefined = undefined;
  private running: RunningSpan | undefined = undefined;
  private thrown: unknown = undefined;
  private hasBegun = false;
  private isOver = false;

  constructor(private readonly site: CallSite) {}

  /** Notices when the handler's result comes. */
  source(source: Observable<unknown>): Observable<unknown> {
    return new Observable(subscriber =>
      source.subscribe({
        next: value => this.run(() => subscriber.next(value)),
        error: (thrown: unknown) => {
          this.thrown = thrown;
          this.run(() => subscriber.error(thrown));
        },
        complete: () => this.run(() => subscriber.complete()),
      }),
    );
  }

  /** Notices when the interceptor's result comes. */
  result(result: unknown): unknown {
    if (!isObservable(result)) return result;
    return new Observable(subscriber => {
      subscriber.add(() => this.end(() => undefined));
      return result.subscribe({
        next: value => this.end(() => subscriber.next(value)),
        error: (thrown: unknown) => this.end(() => subscriber.error(thrown), thrown),
        complete: () => this.end(() => subscriber.complete()),
      });
    });
  }

  private run(emit: () => void): void {
    const active: Context = activeContext();
    if (this.hasBegun || this.isOver || !answersForPending(active) || !isRecordingIn(active)) {
      emit();
      return;
    }
    this.hasBegun = true;
    const call = new PendingCall(this.site, active, [], pendingSpan());
    this.call = call;
    swapPending(call);
    try {
      emit();
    } finally {
      swapPending(call.outer);
      this.call = undefined;
      // The result comes later.
      if (!this.isOver) this.running = call.goOn();
    }
  }

  private end(emit: () => void, thrown?: unknown): void {
    if (this.hasBegun && !this.isOver) {
      this.isOver = true;
      const isOwnFailure = thrown !== undefined && thrown !== this.thrown;
      if (this.call !== undefined) {
        // Whoever gets the result is not a part of the interceptor.
        swapPending(this.call.outer);
        if (isOwnFailure) this.call.failed(thrown);
        else this.call.returned(undefined);
      } else if (isOwnFailure) this.running?.fail(thrown);
      else this.running?.end();
    }
    emit();
  }
}
