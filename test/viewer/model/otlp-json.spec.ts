/** OTLP JSON in both directions, over generated spans and over what strangers send. */
import type { Attributes } from '@opentelemetry/api';
import fc from 'fast-check';
import { readOtlp, writeOtlp } from '../../../lib/viewer/model/otlp-json.js';
import type { TraceSpan } from '../../../lib/viewer/model/trace-span.js';

const SECOND = 1_000_000_000n;

const hex = (length: number) =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'.split('')), { minLength: length, maxLength: length })
    .map(digits => digits.join(''))
    .filter(id => !/^0+$/.test(id));
const plain = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.boolean(), fc.double(), fc.integer(), fc.maxSafeInteger());
const value = fc.oneof(plain, fc.array(fc.oneof(fc.string(), fc.constant(null))), fc.array(fc.double()), fc.array(fc.boolean()));
const attributes = fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor')), value) as fc.Arbitrary<Attributes>;
const time = fc.bigInt({ min: 1n, max: 2n ** 63n });

const span: fc.Arbitrary<TraceSpan> = fc
  .record({
    traceId: hex(32),
    spanId: hex(16),
    parentSpanId: fc.option(hex(16), { nil: undefined }),
    name: fc.string(),
    kind: fc.constantFrom('internal', 'server', 'client', 'producer', 'consumer'),
    status: fc.constantFrom('unset', 'ok', 'error'),
    statusMessage: fc.option(fc.string({ minLength: 1 }), { nil: undefined }),
    startNs: time,
    lasting: fc.bigInt({ min: 0n, max: 2n ** 62n }),
    attributes,
    events: fc.array(
      fc.record({ name: fc.string(), time: time.map(ns => [Number(ns / SECOND), Number(ns % SECOND)] as [number, number]), attributes }),
    ),
    links: fc.array(fc.record({ traceId: hex(32), spanId: hex(16), attributes })),
    resource: fc.tuple(attributes, fc.string()).map(([rest, name]) => ({ ...rest, 'service.name': name })),
    scope: fc.oneof(
      fc.record({ name: fc.string() }),
      fc.record({ name: fc.string(), version: fc.string({ minLength: 1 }), schemaUrl: fc.string({ minLength: 1 }) }),
    ),
  } as const)
  .map(({ lasting, ...rest }) => ({ ...rest, endNs: rest.startNs + lasting, service: rest.resource['service.name'] }));

/** As text, whatever the order of keys: neither bigints nor the sign of zero nor a key called __proto__ get lost in comparing. */
const comparable = (spans: readonly TraceSpan[]) =>
  spans
    .map(one =>
      JSON.stringify(one, (_key, item: unknown) => {
        if (typeof item === 'bigint' || typeof item === 'number') return Object.is(item, -0) ? '-0' : `${typeof item} ${item}`;
        if (typeof item !== 'object' || item === null || Array.isArray(item)) return item;
        return Object.entries(item)
          .filter(([, given]) => given !== undefined)
          .sort(([a], [b]) => (a < b ? -1 : 1));
      }),
    )
    .sort();

const overTheWire = (request: unknown): unknown => JSON.parse(JSON.stringify(request));

const good = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), name: 'x', startTimeUnixNano: '1', endTimeUnixNano: '2' };
const requestOf = (...spans: unknown[]) => ({ resourceSpans: [{ scopeSpans: [{ spans }] }] });
const readOne = (one: object) => readOtlp(requestOf({ ...good, ...one })).spans[0];
const readValue = (given: unknown) => readOne({ attributes: [{ key: 'k', value: given }] })?.attributes.k;

describe('OTLP JSON', () => {
  it('brings back every span as it was', () => {
    fc.assert(
      fc.property(fc.array(span, { maxLength: 6 }), spans => {
        const { spans: back, rejected } = readOtlp(overTheWire(writeOtlp(spans)));
        expect(rejected).toBe(0);
        expect(comparable(back)).toEqual(comparable(spans));
      }),
      { numRuns: 300 },
    );
  });

  it('survives any JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue(), json => {
        for (const request of [
          { resourceSpans: json },
          { resourceSpans: [{ resource: json, scopeSpans: [{ scope: json, spans: [json, good] }] }] },
        ]) {
          readOtlp(request);
        }
        readOtlp(requestOf({ ...good, attributes: json, events: json, links: json, status: json, name: json, kind: json }));
      }),
    );
  });

  it('keeps the rest of a request of which some spans make no sense', () => {
    const bad = [
      null,
      7,
      'span',
      {},
      { ...good, traceId: 'zz' },
      { ...good, spanId: '0'.repeat(16) },
      { ...good, startTimeUnixNano: 'soon' },
      { ...good, startTimeUnixNano: 0 },
      { ...good, startTimeUnixNano: 1e300 },
      { ...good, endTimeUnixNano: 1e300 },
      { ...good, endTimeUnixNano: String(2n ** 64n) },
    ];
    const { spans, rejected } = readOtlp(requestOf(...bad, good));
    expect(spans.map(({ name }) => name)).toEqual(['x']);
    expect(rejected).toBe(bad.length);
  });

  it('refuses what is no request', () => {
    for (const request of [null, [], 'x', 7]) expect(() => readOtlp(request)).toThrow(TypeError);
    expect(readOtlp({ somethingNew: 1 })).toEqual({ spans: [], rejected: 0 });
  });

  it('makes text of values that are not plain', () => {
    const nested = { arrayValue: { values: [{ intValue: '1' }, { arrayValue: { values: [{ boolValue: true }] } }] } };
    expect(readValue({ bytesValue: 'AQI=' })).toBe('base64:AQI=');
    expect(readValue(nested)).toBe('[1,[true]]');
    expect(
      readValue({
        kvlistValue: {
          values: [
            { key: 'a', value: { stringValue: 'b' } },
            { key: 'c', value: {} },
          ],
        },
      }),
    ).toBe('{"a":"b","c":null}');
    expect(readValue({ intValue: '9223372036854775807' })).toBe('9223372036854775807');
    expect(readValue({ intValue: 5 })).toBe(5);
    expect(readValue({ doubleValue: 'NaN' })).toBeNaN();
    expect(readValue({})).toBe('');
    let deep: unknown = { stringValue: 'bottom' };
    for (let depth = 0; depth < 100_000; depth++) deep = { arrayValue: { values: [deep] } };
    expect(readValue(deep)).toMatch(/^\[\[/);
  });

  it('takes numbers for times, names for enums, capitals in ids, and an end before the start for the start', () => {
    expect(readOne({ startTimeUnixNano: 5, endTimeUnixNano: 3 })).toMatchObject({ startNs: 5n, endNs: 5n });
    expect(readOne({ endTimeUnixNano: undefined })).toMatchObject({ startNs: 1n, endNs: 1n });
    expect(readOne({ kind: 'SPAN_KIND_SERVER', status: { code: 'STATUS_CODE_ERROR' } })).toMatchObject({ kind: 'server', status: 'error' });
    expect(readOne({ traceId: 'A'.repeat(32) })?.traceId).toBe('a'.repeat(32));
    expect(readOne({ parentSpanId: '' })?.parentSpanId).toBeUndefined();
    expect(readOne({ parentSpanId: '0'.repeat(16) })?.parentSpanId).toBeUndefined();
  });

  it('takes what happened at no time that can be written for something at the start', () => {
    for (const timeUnixNano of [1e300, 0, 'soon'])
      expect(readOne({ events: [{ name: 'e', timeUnixNano }] })?.events[0]?.time).toEqual([0, 1]);
  });

  it('shares one resource between the spans that came with it', () => {
    const { spans } = readOtlp(requestOf(good, { ...good, spanId: 'c'.repeat(16) }));
    expect(spans[0]?.resource).toBe(spans[1]?.resource);
  });
});
