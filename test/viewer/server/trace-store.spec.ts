/** What the viewer keeps, what it forgets, and what it tells. */
import { afterEach, beforeEach, jest } from '@jest/globals';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { readOtlp } from '../../../lib/viewer/model/otlp-json.js';
import { bytesOfShared, bytesOfSpan } from '../../../lib/viewer/server/span-size.js';
import { type StoreChange, TraceStore } from '../../../lib/viewer/server/trace-store.js';
import { traceId } from '../finished-span.js';
import { otlp, otlpSpan, spansOf } from './viewers.js';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

const idsIn = (store: TraceStore) => Array.from(store.all(), trace => trace.traceId.replace(/^0+/, ''));

function listen(store: TraceStore): StoreChange[] {
  const changes: StoreChange[] = [];
  store.onChange(change => changes.push(change));
  return changes;
}

/** Room for so many traces of one span, each as `spansOf` makes them, and half of another. */
const roomFor = (traces: number) => {
  const [span] = spansOf({ id: '1' });
  return new TraceStore({ maxBytes: (bytesOfSpan(span!) + bytesOfShared(span!, new Set()) + 900) * (traces + 0.5) });
};

describe('The trace store', () => {
  it('forgets whole traces, the one that has been silent longest first', () => {
    const store = roomFor(3);
    for (const trace of ['a', 'b', 'c']) store.add(spansOf({ id: '1', trace }));
    expect(idsIn(store)).toEqual(['a', 'b', 'c']);
    store.add(spansOf({ id: '2', trace: 'a' }));
    expect(idsIn(store)).toEqual(['b', 'c', 'a']);
    store.add(spansOf({ id: '1', trace: 'd' }));
    expect(idsIn(store)).toEqual(['c', 'a', 'd'].slice(-idsIn(store).length));
    store.add(spansOf({ id: '1', trace: 'e' }));
    expect(idsIn(store)).toEqual(['a', 'd', 'e']);
    expect(store.storedBytes).toBeLessThanOrEqual(store.maxBytes);
    expect(store.spanCount).toBe([...store.all()].reduce((count, { spans }) => count + spans.size, 0));
    expect(store.storedBytes).toBe([...store.all()].reduce((bytes, trace) => bytes + trace.bytes, 0));
  });

  it('never forgets the trace that grows, and keeps within its bytes when one batch overflows it', () => {
    const store = roomFor(2);
    store.add(
      spansOf({ id: '1', trace: 'a' }, { id: '1', trace: 'b' }, { id: '1', trace: 'c' }, { id: '2', trace: 'a' }, { id: '3', trace: 'a' }),
    );
    expect(idsIn(store)).toContain('a');
    expect(store.storedBytes).toBeLessThanOrEqual(store.maxBytes);
    expect(store.storedBytes).toBe([...store.all()].reduce((bytes, trace) => bytes + trace.bytes, 0));
  });

  it('counts the texts of resources and scopes, and the names of attributes', () => {
    const long = 'x'.repeat(100_000);
    const attribute = { key: 'k', value: { stringValue: long } };
    const requests: object[] = [
      { resource: { attributes: [attribute] }, scopeSpans: [{ spans: [otlpSpan()] }] },
      { resource: { attributes: [{ key: 'service.name', value: attribute.value }] }, scopeSpans: [{ spans: [otlpSpan()] }] },
      { scopeSpans: [{ scope: { name: long }, spans: [otlpSpan()] }] },
      { scopeSpans: [{ spans: [otlpSpan({ attributes: [{ key: long, value: {} }] })] }] },
    ];
    for (const request of requests) {
      const store = new TraceStore({ maxBytes: 1e6 });
      store.add(readOtlp({ resourceSpans: [request] }, resource => store.sharedResource(resource)).spans);
      expect(store.storedBytes).toBeGreaterThan(100_000);
      expect(store.storedBytes).toBeLessThan(110_000);
    }
  });

  it('counts what the spans of a trace share once, and again where it came again', () => {
    const store = new TraceStore({ maxBytes: 10e6 });
    const take = (...spanIds: string[]) => {
      const spans = spanIds.map(spanId => otlpSpan({ spanId: spanId.repeat(16) }));
      const resource = { attributes: [{ key: 'k', value: { stringValue: 'x'.repeat(100_000) } }] };
      store.add(readOtlp({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] }, given => store.sharedResource(given)).spans);
    };
    take('1', '2', '3');
    expect(store.storedBytes).toBeLessThan(110_000);
    take('4');
    expect(store.storedBytes).toBeGreaterThan(200_000);
  });

  it('counts the spans of a trace that has no room any more', () => {
    const store = new TraceStore({ maxBytes: 1e6, maxSpansPerTrace: 2 });
    store.add(spansOf({ id: '1' }, { id: '2' }, { id: '3' }, { id: '4' }, { id: '1' }));
    expect(store.trace(traceId('a'))).toMatchObject({ droppedSpans: 2 });
    expect(store.spanCount).toBe(2);
    const small = roomFor(0.6);
    small.add(spansOf({ id: '1' }, { id: '2' }, { id: '3' }));
    expect(small.trace(traceId('a'))?.droppedSpans).toBe(2);
    small.add(spansOf({ id: '1', trace: 'b', name: 'x'.repeat(10_000) }));
    expect(idsIn(small)).toEqual(['a']);
  });

  it('keeps the first of spans with one id', () => {
    const store = new TraceStore({ maxBytes: 1e6 });
    store.add(spansOf({ id: '1', name: 'first' }, { id: '1', name: 'second' }));
    store.add(spansOf({ id: '1', name: 'third' }));
    expect(Array.from(store.trace(traceId('a'))!.spans.values(), ({ name }) => name)).toEqual(['first']);
    expect(store.trace(traceId('a'))?.droppedSpans).toBe(0);
  });

  it('tells of a burst once, within 100 ms, with growing revisions', () => {
    const store = new TraceStore({ maxBytes: 1e6 });
    const changes = listen(store);
    for (let id = 1; id <= 20; id++) store.add(spansOf({ id: String(id) }));
    store.add(spansOf({ id: '1', trace: 'b' }));
    const before = store.trace(traceId('a'))!.revision;
    expect(changes).toEqual([]);
    jest.advanceTimersByTime(100);
    expect(changes).toEqual([{ gone: new Set(), changed: new Set([traceId('a'), traceId('b')]) }]);
    store.add(spansOf({ id: '21' }));
    expect(store.trace(traceId('a'))!.revision).toBeGreaterThan(before);
    jest.advanceTimersByTime(100);
    expect(changes[1]?.changed).toEqual(new Set([traceId('a')]));
    store.add(spansOf({ id: '21' }));
    jest.advanceTimersByTime(1000);
    expect(changes).toHaveLength(2);
  });

  it('tells what is gone before what has come back', () => {
    const store = roomFor(1);
    const changes = listen(store);
    store.add(spansOf({ id: '1', trace: 'a' }));
    store.add(spansOf({ id: '1', trace: 'b' }));
    jest.advanceTimersByTime(100);
    expect(changes).toEqual([{ gone: new Set([traceId('a')]), changed: new Set([traceId('b')]) }]);
    store.clear();
    store.add(spansOf({ id: '1', trace: 'c' }));
    jest.advanceTimersByTime(100);
    expect(changes[1]).toEqual({ gone: 'all', changed: new Set([traceId('c')]) });
    expect(idsIn(store)).toEqual(['c']);
  });

  it('lets a listener go', () => {
    const store = new TraceStore({ maxBytes: 1e6 });
    const changes: StoreChange[] = [];
    const stop = store.onChange(change => changes.push(change));
    stop();
    store.add(spansOf({ id: '1' }));
    jest.advanceTimersByTime(100);
    expect(changes).toEqual([]);
  });

  it('keeps one resource for all batches of a service', () => {
    const store = new TraceStore({ maxBytes: 1e6 });
    const share = (attributes: object) => store.sharedResource(attributes as never);
    const [first] = readOtlp(JSON.parse(otlp(otlpSpan())), share).spans;
    const [second] = readOtlp(JSON.parse(otlp(otlpSpan({ spanId: 'c'.repeat(16) }))), share).spans;
    expect(first?.resource).toBe(second?.resource);
  });
});

describe('A trace in the list', () => {
  const summaryOf = (...batches: Parameters<typeof spansOf>[]) => {
    const store = new TraceStore({ maxBytes: 1e6 });
    for (const batch of batches) store.add(spansOf(...batch));
    return store.trace(traceId('a'))!.summary();
  };

  it('is called after its topmost span, whatever came first', () => {
    const leaf = { id: '3', parent: '2', name: 'query', from: 5, to: 6, service: 'stock', error: 'gone' };
    const middle = { id: '2', parent: '1', name: 'load', from: 3, to: 8 };
    const root = { id: '1', name: 'GET /', from: 0, to: 10, attributes: { 'http.response.status_code': 200 } };
    expect(summaryOf([leaf])).toMatchObject({ name: 'query', isRootMissing: true, isError: true, answer: undefined });
    expect(summaryOf([leaf], [middle])).toMatchObject({ name: 'load', isRootMissing: true, isError: false });
    for (const batches of [[[leaf], [middle], [root]], [[root], [leaf, middle]], [[middle, root, leaf]]]) {
      expect(summaryOf(...batches)).toMatchObject({
        name: 'GET /',
        service: 'orders',
        isRootMissing: false,
        isError: false,
        answer: '200',
        spanCount: 3,
        errorCount: 1,
        durationNs: 10e6,
        startNs: '1790000000000000000',
      });
    }
    expect(summaryOf([leaf, middle]).services).toEqual([
      { name: 'stock', spanCount: 1 },
      { name: 'orders', spanCount: 1 },
    ]);
  });

  it('takes a root for the topmost even where a clock is behind, and survives spans in a circle', () => {
    const early = { id: '9', parent: '8', name: 'early', from: -50, to: -40 };
    expect(summaryOf([early], [{ id: '1', name: 'root' }])).toMatchObject({ name: 'root' });
    expect(summaryOf([{ id: '1', name: 'root' }], [early])).toMatchObject({ name: 'root' });
    const circle = [
      { id: '1', parent: '2', name: 'x', from: 1 },
      { id: '2', parent: '1', name: 'y', from: 0 },
    ];
    expect(summaryOf([circle[0]!], [circle[1]!])).toMatchObject({ name: 'y', spanCount: 2 });
  });
});

describe('The estimate of stored bytes', () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  /** When nothing more is given back: what earlier specs have left is, bit by bit. */
  const heapUsed = () => {
    let used = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 10; i++) {
      collectGarbage();
      const now = process.memoryUsage().heapUsed;
      if (used - now < 50_000) return now;
      used = now;
    }
    return used;
  };
  const pair = (key: string, value: string | number) => ({
    key,
    value: typeof value === 'string' ? { stringValue: value } : { intValue: value },
  });
  const hex = (id: number) => id.toString(16).padStart(16, '0');

  // Functions of their own, or what only they need would be there as long as the spec.
  const requestOf = (count: number, rest: (id: number) => object) =>
    otlp(...Array.from({ length: count }, (_, index) => otlpSpan({ spanId: hex(index + 1), parentSpanId: hex(index), ...rest(index) })));

  const take = (store: TraceStore, text: string) => store.add(readOtlp(JSON.parse(text)).spans);

  it.each([
    ['bare', () => ({})],
    [
      'HTTP calls',
      (id: number) => ({
        attributes: [
          pair('http.request.method', 'GET'),
          pair('url.full', `http://users:3002/users/${id}`),
          pair('server.address', 'users'),
          pair('server.port', 3002),
          pair('http.response.status_code', 200),
        ],
      }),
    ],
    [
      'twenty short values',
      (id: number) => ({ attributes: Array.from({ length: 20 }, (_, index) => pair(`key.${index}`, `v${index}-${id}`)) }),
    ],
    ['long texts', (id: number) => ({ attributes: [pair('db.query.text', `${id} ${'select '.repeat(300)}`)] })],
    [
      'events',
      (id: number) => ({
        events: [1, 2, 3].map(at => ({
          name: `event ${at}`,
          timeUnixNano: '1790000000000000001',
          attributes: [pair('line', `${id} of many lines`)],
        })),
      }),
    ],
    ['Chinese', (id: number) => ({ name: `查询 ${id}`, attributes: [pair('text', `${id}${'查询'.repeat(200)}`)] })],
  ] as [string, (id: number) => object][])('is within twice of the heap: %s', (_what, rest) => {
    const count = 5000;
    const text = requestOf(count, rest);
    const store = new TraceStore({ maxBytes: 1e9 });
    const before = heapUsed();
    take(store, text);
    const real = heapUsed() - before;
    expect(store.spanCount).toBe(count);
    // Its last use: collected earlier, it would be taken for room that spans do not need.
    expect(text).toContain('orders');
    expect(store.storedBytes / real).toBeGreaterThan(0.5);
    expect(store.storedBytes / real).toBeLessThan(2);
  });
});
