/** Runs something that returns an Observable inside a span that is open already, which ends with the first subscription. */
import type { Context, Span } from '@opentelemetry/api';
import type { Observable } from 'rxjs';
import { followObservable } from './follow-observable.js';
import { RunningSpan } from './running-span.js';

/** Calls `call` in `ctx`, where `span` is active; the span ends when the first subscription completes, fails or is given up. @internal */
export function observeInSpan<T>(span: Span, ctx: Context, call: () => Observable<T>): Observable<T> {
  const running = new RunningSpan(span, ctx);
  let source: Observable<T>;
  try {
    source = running.run(call);
  } catch (thrown) {
    running.fail(thrown);
    throw thrown;
  }
  return followObservable(source, () => (running.hasEnded ? undefined : running));
}
