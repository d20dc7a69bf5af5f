/** The injectable Tracer: spans by hand, the active span, context in and out of carriers, baggage. */
import {
  context,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer as OpenTelemetryTracer,
} from '@opentelemetry/api';
import { firstValueFrom, of } from 'rxjs';
import { Span } from '../../lib/api/span.decorator.js';
import { Tracer } from '../../lib/api/tracer.js';
import { untracedContext } from '../../lib/spans/context.js';
import { applicationIn, withWork, workIn } from '../../lib/spans/work.js';
import { refusedSpan, rootContextOf, TestApplication } from '../application.js';

const app = new TestApplication();
const second = new TestApplication();
const tracer = new Tracer(app);
afterEach(() => expect([...app.reset(), ...second.reset()]).toEqual([]));
afterAll(async () => {
  await second.close();
  await app.close();
});

class Service {
  @Span()
  work() {
    return applicationIn();
  }
}
const service = new Service();
const ID = 'a'.repeat(32);
const incoming = { traceparent: `00-${ID}-${'b'.repeat(16)}-01`, baggage: 'tenant=acme' };

describe('Tracer.span()', () => {
  it('runs the function in a span that ends with its result', async () => {
    expect(tracer.span('sync', span => span === trace.getActiveSpan())).toBe(true);
    await expect(tracer.span('async', async () => 5)).resolves.toBe(5);
    const reason = new Error('boom');
    await expect(tracer.span('rejected', () => Promise.reject(reason))).rejects.toBe(reason);
    expect(() =>
      tracer.span('thrown', () => {
        throw reason;
      }),
    ).toThrow(reason);
    expect(app.spans.map(({ name, status }) => [name, status.code])).toEqual([
      ['sync', SpanStatusCode.UNSET],
      ['async', SpanStatusCode.UNSET],
      ['rejected', SpanStatusCode.ERROR],
      ['thrown', SpanStatusCode.ERROR],
    ]);
  });

  it('follows an Observable and a generator to their ends', async () => {
    await expect(firstValueFrom(tracer.span('observable', () => of(1)))).resolves.toBe(1);
    expect([
      ...tracer.span('generator', function* () {
        yield service.work();
      }),
    ]).toEqual([app]);
    expect(app.tree().split('\n')).toEqual(['observable', 'generator', '  Service.work']);
  });

  it('takes the options of OpenTelemetry', () => {
    tracer.span('outer', () => tracer.span('root', { kind: SpanKind.CONSUMER, root: true, attributes: { a: 1 } }, () => {}));
    const root = app.span('root');
    expect([root.kind, root.attributes, root.parentSpanContext]).toEqual([SpanKind.CONSUMER, { a: 1 }, undefined]);
    expect(root.links[0]!.context.spanId).toBe(app.span('outer').spanContext().spanId);
  });

  it('starts the span when it is told to', () => {
    for (const root of [false, true]) tracer.span('earlier', { startTime: new Date(1_700_000_000_000), root }, () => {});
    expect(app.spans.map(({ startTime }) => startTime)).toEqual([
      [1_700_000_000, 0],
      [1_700_000_000, 0],
    ]);
  });

  it('lets the function end the span itself', () => {
    tracer.span('early', span => span.end());
    expect(app.names).toEqual(['early']);
  });
});

describe('Tracer as a tracer of OpenTelemetry', () => {
  const plain: OpenTelemetryTracer = tracer;

  it('starts spans that the caller activates and ends', () => {
    const parent = plain.startSpan('parent');
    expect(trace.getActiveSpan()).toBeUndefined();
    plain.startSpan('child', { kind: SpanKind.CLIENT }, trace.setSpan(context.active(), parent)).end();
    plain.startSpan('root', { root: true }, trace.setSpan(context.active(), parent)).end();
    parent.end();
    expect(app.tree().split('\n')).toEqual(['root', 'parent', '  child']);
  });

  it('starts active spans, with and without options and context', () => {
    expect(plain.startActiveSpan('a', span => (span.end(), trace.getActiveSpan() === span))).toBe(true);
    plain.startActiveSpan('b', { attributes: { b: 1 } }, b => {
      plain.startActiveSpan('c', {}, ROOT_CONTEXT, c => c.end());
      plain.startActiveSpan('d', d => d.end());
      b.end();
    });
    expect(app.tree().split('\n')).toEqual(['a', 'c', 'b', '  d']);
  });
});

describe('whose spans a Tracer makes', () => {
  it('is its own application, also for what happens inside', () => {
    const other = new Tracer(second);
    expect(other.span('outer', () => service.work())).toBe(second);
    expect(other.startActiveSpan('active', span => (span.end(), service.work()))).toBe(second);
    expect(second.tree().split('\n')).toEqual(['outer', '  Service.work', 'active', '  Service.work']);
    expect(app.names).toEqual([]);
    expect(service.work()).toBe(app);
  });

  it('continues the trace of a request of its own application', () => {
    context.with(rootContextOf(second), () => new Tracer(second).span('outer', () => service.work()));
    expect(second.tree().split('\n')).toEqual(['outer', '  Service.work']);
  });

  it('is nobody in work that is not traced, and after `enabled: false`', () => {
    const disabled = new TestApplication({ isEnabled: false });
    const untraced = withWork(ROOT_CONTEXT, { application: app, passthrough: ROOT_CONTEXT });
    const all = (candidate: Tracer): unknown[] => [
      candidate.span('span', span => span.isRecording()),
      candidate.span('span', {}, span => span.isRecording()),
      candidate.startActiveSpan('active', span => span.isRecording()),
      candidate.startSpan('started').isRecording(),
    ];
    expect(context.with(untraced, () => all(tracer))).toEqual([false, false, false, false]);
    expect(all(new Tracer(disabled))).toEqual([false, false, false, false]);
    expect(all(new Tracer())).toEqual([false, false, false, false]);
    expect(app.openSpans + app.spans.length).toBe(0);
  });

  it('uses the span the application foresees as refused', () => {
    const refused = refusedSpan();
    const unsampled = new Tracer(new TestApplication({ unsampledSpan: () => refused }));
    expect(unsampled.startSpan('a')).toBe(refused);
    expect(unsampled.span('b', () => unsampled.traceId)).toBe('1'.repeat(32));
    expect(unsampled.span('b', span => unsampled.inject({}) && span)).toBe(refused);
  });
});

describe('Tracer and the active span', () => {
  it('reaches it wherever it was opened', () => {
    const foreign = trace.getTracer('none');
    expect(foreign).toBeDefined();
    const span = second.tracer.startSpan('foreign');
    context.with(trace.setSpan(ROOT_CONTEXT, span), () => {
      expect(tracer.currentSpan()).toBe(span);
      expect(tracer.traceId).toBe(span.spanContext().traceId);
      tracer.addEvent('cache.miss', { key: 'k' });
      tracer.setAttribute('one', 1);
      tracer.setAttributes({ two: 2, three: [3] });
      tracer.recordException('a string');
      tracer.recordException(null);
    });
    span.end();
    const { attributes, events, status } = second.span('foreign');
    expect(attributes).toEqual({ one: 1, two: 2, three: [3] });
    expect(events.map(({ name, attributes: { key, ...rest } = {} }) => [name, key ?? rest['exception.message']])).toEqual([
      ['cache.miss', 'k'],
      ['exception', 'a string'],
      ['exception', 'null'],
    ]);
    expect(status.code).toBe(SpanStatusCode.UNSET);
  });

  it('does nothing outside a span', () => {
    tracer.addEvent('nowhere');
    tracer.setAttribute('a', 1);
    tracer.setAttributes({ a: 1 });
    tracer.recordException(new Error('x'));
    expect([tracer.currentSpan(), tracer.traceId]).toEqual([undefined, undefined]);
    expect(context.with(trace.setSpan(ROOT_CONTEXT, new Tracer().startSpan('none')), () => tracer.traceId)).toBeUndefined();
  });
});

describe('Tracer and carriers', () => {
  it('injects the active trace, or a given one, and returns the carrier', () => {
    const headers = tracer.span('outgoing', () => tracer.inject<Record<string, string>>({ accept: 'x' }));
    const { traceId, spanId } = app.span('outgoing').spanContext();
    expect(headers).toEqual({ accept: 'x', traceparent: `00-${traceId}-${spanId}-01` });
    const map = tracer.inject(new Map<string, string>(), tracer.extract(incoming), {
      set: (carrier, key, value) => carrier.set(key, value),
    });
    expect(map.get('traceparent')).toBe(incoming.traceparent);
  });

  it('extracts a context to work in, which belongs to its application', () => {
    const other = new Tracer(second);
    other.with(other.extract(incoming), () => {
      expect(service.work()).toBe(second);
      expect(other.traceId).toBe(ID);
      expect(other.getBaggage('tenant')).toBe('acme');
    });
    expect(second.span('Service.work').parentSpanContext?.spanId).toBe('b'.repeat(16));
  });

  it('extracts from headers that are bytes, and whatever the case of their names', () => {
    const bytes = { TraceParent: Buffer.from(incoming.traceparent) };
    expect(trace.getSpanContext(tracer.extract(bytes))?.traceId).toBe(ID);
  });

  it('links to the senders of a batch, once to each, whatever their headers look like', () => {
    const other = { traceparent: Buffer.from(`00-${'c'.repeat(32)}-${'d'.repeat(16)}-01`) };
    const odd = [undefined, null, 'text', {}, { traceparent: 'nonsense' }];
    const links = tracer.linksFrom([incoming, ...odd, other, incoming] as object[]);
    expect(links.map(link => link.context.traceId)).toEqual([ID, 'c'.repeat(32)]);
  });

  it('links to nobody where nothing is traced', () => {
    expect(new Tracer().linksFrom([incoming])).toEqual([]);
  });

  it('extracts a fresh context where the carrier holds none', () => {
    tracer.span('active', () => tracer.with(tracer.extract({}), () => service.work()));
    expect(app.tree().split('\n')).toEqual(['Service.work', 'active']);
    const pairs: [string, string][] = [['traceparent', incoming.traceparent]];
    const getter = { keys: () => ['traceparent'], get: (carrier: typeof pairs, key: string) => new Map(carrier).get(key) };
    expect(trace.getSpanContext(tracer.extract(pairs, getter))?.traceId).toBe(ID);
  });

  it('passes a context on where nothing is traced', () => {
    const disabled = new Tracer(new TestApplication({ isEnabled: false }));
    expect(disabled.with(disabled.extract(incoming), () => disabled.inject({}))).toEqual(incoming);
    expect(tracer.inject({}, workIn(disabled.extract(incoming))?.passthrough)).toEqual(incoming);
    const passthrough = app.propagator.extract(ROOT_CONTEXT, incoming, {
      keys: Object.keys,
      get: (carrier, key) => carrier[key] as string,
    });
    context.with(untracedContext({ application: app, passthrough }), () => expect(tracer.inject({})).toEqual(incoming));
  });

  it('without application uses whatever is registered globally', () => {
    const nobody = new Tracer();
    expect(nobody.inject({})).toEqual({});
    propagation.setGlobalPropagator(app.propagator);
    expect(nobody.with(nobody.extract(incoming), () => nobody.inject({}))).toEqual(incoming);
    propagation.disable();
  });
});

describe('Tracer and baggage', () => {
  it('adds entries that travel with what is called', () => {
    expect(tracer.getBaggage('tenant')).toBeUndefined();
    tracer.withBaggage({ tenant: 'acme' }, () => {
      tracer.withBaggage({ user: { value: '7' } }, () => {
        expect([tracer.getBaggage('tenant'), tracer.getBaggage('user')]).toEqual(['acme', '7']);
        expect(tracer.inject<Record<string, string>>({})['baggage']).toBe('tenant=acme,user=7');
      });
      expect(tracer.getBaggage('user')).toBeUndefined();
    });
  });

  it('does so where nothing is traced, too', () => {
    const passthrough = propagation.setBaggage(ROOT_CONTEXT, propagation.createBaggage({ tenant: { value: 'acme' } }));
    context.with(untracedContext({ application: app, passthrough }), () => {
      expect(tracer.getBaggage('tenant')).toBe('acme');
      tracer.withBaggage({ user: '7' }, () => expect(tracer.inject({})).toEqual({ baggage: 'tenant=acme,user=7' }));
    });
  });
});
