/** observeInSpan(): an Observable inside a span that somebody else has opened. */
import { context, SpanStatusCode, trace } from '@opentelemetry/api';
import { lastValueFrom, NEVER, Observable, throwError } from 'rxjs';
import { observeInSpan } from '../../lib/local/observe-in-span.js';
import { applicationOfSpec } from './application-of-spec.js';

const app = applicationOfSpec();

function observe<T>(call: () => Observable<T>): Observable<T> {
  const span = app.tracer.startSpan('message');
  return observeInSpan(span, trace.setSpan(context.active(), span), call);
}

describe('observeInSpan()', () => {
  it('makes the span active for the call and the source, and ends it with the first subscription', async () => {
    const seen: unknown[] = [];
    const look = (): unknown => seen.push(trace.getActiveSpan()?.isRecording());
    const observed = observe(() => {
      look();
      return new Observable<number>(subscriber => {
        look();
        subscriber.next(1);
        subscriber.complete();
      });
    });
    expect(app.names).toEqual([]);
    await expect(lastValueFrom(observed)).resolves.toBe(1);
    await expect(lastValueFrom(observed)).resolves.toBe(1);
    expect(app.names).toEqual(['message']);
    expect(seen).toEqual([true, true, undefined]);
  });

  it('ends it when the subscriber leaves', () => {
    observe(() => NEVER)
      .subscribe()
      .unsubscribe();
    expect(app.span('message').status.code).toBe(SpanStatusCode.UNSET);
  });

  it('fails it with what the source reports and with what the call throws', async () => {
    const reason = new Error('boom');
    await expect(lastValueFrom(observe(() => throwError(() => reason)))).rejects.toBe(reason);
    const call = (): Observable<number> =>
      observe(() => {
        throw reason;
      });
    expect(call).toThrow(reason);
    expect(app.spans.map(({ status }) => status.code)).toEqual([SpanStatusCode.ERROR, SpanStatusCode.ERROR]);
  });
});
