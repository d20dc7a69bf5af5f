import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { type Context, defaultTextMapSetter, propagation, ROOT_CONTEXT, type TextMapPropagator, trace } from '@opentelemetry/api';
import { suppressTracing } from '@opentelemetry/core';
import fc from 'fast-check';
import { createPropagator } from '../../lib/propagation/composite.propagator.js';
import { createPassthroughPropagator } from '../../lib/propagation/passthrough.propagator.js';
import { headerGetter } from '../../lib/propagation/message-headers.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const OTHER = '80f198ee56343ba864fe8b2a57d3eff7';

type Carrier = Record<string, string | string[] | undefined>;
const everything = createPropagator(['tracecontext', 'baggage', 'b3']);
const extract = (headers: Carrier, by = everything): Context => by.extract(ROOT_CONTEXT, headers, headerGetter);
const spanIn = (headers: Carrier, by = everything) => trace.getSpanContext(extract(headers, by));
const injected = (ctx: Context, by = everything): Carrier => {
  const carrier: Carrier = {};
  by.inject(ctx, carrier, defaultTextMapSetter);
  return carrier;
};
const inSpan = trace.setSpanContext(ROOT_CONTEXT, { traceId: TRACE, spanId: SPAN, traceFlags: 1 });

describe('the formats together', () => {
  it('are all written', () => {
    const ctx = propagation.setBaggage(inSpan, propagation.createBaggage({ tenant: { value: 'acme' } }));
    expect(injected(ctx)).toEqual({
      traceparent: `00-${TRACE}-${SPAN}-01`,
      b3: `${TRACE}-${SPAN}-1`,
      baggage: 'tenant=acme',
    });
    expect(injected(ctx, createPropagator(['b3multi']))).toEqual({ 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN, 'x-b3-sampled': '1' });
    expect(everything.fields()).toEqual(['traceparent', 'tracestate', 'baggage', 'b3']);
  });

  it('are read with W3C before B3, in whatever order they are named', () => {
    const headers = { traceparent: `00-${TRACE}-${SPAN}-00`, b3: `${OTHER}-${SPAN}-1` };
    for (const by of [everything, createPropagator(['b3', 'tracecontext'])])
      expect(spanIn(headers, by)).toMatchObject({ traceId: TRACE, traceFlags: 0 });
  });

  it('are read as B3 where W3C is missing or broken', () => {
    expect(spanIn({ b3: `${OTHER}-${SPAN}-1` })).toMatchObject({ traceId: OTHER, traceFlags: 1, isRemote: true });
    expect(spanIn({ traceparent: 'broken', b3: `${OTHER}-${SPAN}-1` })).toMatchObject({ traceId: OTHER });
  });

  it('carry baggage with and without a trace', () => {
    const ctx = extract({ baggage: 'tenant=acme,user=a%20b' });
    expect(propagation.getBaggage(ctx)?.getEntry('user')?.value).toBe('a b');
    expect(trace.getSpan(ctx)).toBeUndefined();
    expect(
      propagation.getBaggage(extract({ baggage: ['a=1', 'b=2'], traceparent: `00-${TRACE}-${SPAN}-00` }))?.getAllEntries(),
    ).toHaveLength(2);
  });

  it('leave the context as it is where nothing came in', () => {
    expect(extract({ host: 'localhost' })).toBe(ROOT_CONTEXT);
    expect(everything.extract(ROOT_CONTEXT, undefined, headerGetter)).toBe(ROOT_CONTEXT);
  });

  it('write nothing for calls that are not to be traced', () => {
    expect(injected(suppressTracing(propagation.setBaggage(inSpan, propagation.createBaggage({ a: { value: '1' } }))))).toEqual({});
  });

  it('are nothing at all when they are switched off', () => {
    const none = createPropagator([]);
    expect(extract({ traceparent: `00-${TRACE}-${SPAN}-00` }, none)).toBe(ROOT_CONTEXT);
    expect(injected(inSpan, none)).toEqual({});
    expect(none.fields()).toEqual([]);
  });
});

describe('B3', () => {
  const multi = { 'x-b3-traceid': OTHER, 'x-b3-spanid': SPAN, 'x-b3-sampled': '1' };

  it.each(['b3', 'b3multi'] as const)('is read in both forms under the name %s', name => {
    const by = createPropagator([name]);
    expect(spanIn({ b3: `${OTHER}-${SPAN}-0` }, by)).toMatchObject({ traceId: OTHER, spanId: SPAN, traceFlags: 0 });
    expect(spanIn({ b3: `${OTHER}-${SPAN}-1-05e3ac9a4f6e3b90` }, by)).toMatchObject({ traceId: OTHER, traceFlags: 1 });
    expect(spanIn(multi, by)).toMatchObject({ traceId: OTHER, spanId: SPAN, traceFlags: 1 });
  });

  it('may have ids of 64 bits', () => {
    expect(spanIn({ b3: `${SPAN}-${SPAN}` })).toMatchObject({ traceId: `${'0'.repeat(16)}${SPAN}` });
    expect(spanIn({ ...multi, 'x-b3-traceid': SPAN })).toMatchObject({ traceId: `${'0'.repeat(16)}${SPAN}` });
  });

  it('passes its debug flag on', () => {
    expect(injected(extract({ b3: `${OTHER}-${SPAN}-d` }), createPropagator(['b3']))).toEqual({ b3: `${OTHER}-${SPAN}-d` });
  });

  it('never counts as random', () => {
    const by = createPropagator(['tracecontext', 'b3'], true);
    const child = trace.setSpanContext(extract({ b3: `${OTHER}-${SPAN}-1` }, by), {
      traceId: OTHER,
      spanId: 'c'.repeat(16),
      traceFlags: 1,
    });
    expect(injected(child, by).traceparent).toBe(`00-${OTHER}-${'c'.repeat(16)}-01`);
  });

  it.each([
    ['a single header in the middle of other text', { b3: `xx${OTHER}-${SPAN}-1yy` }],
    ['a single header that came twice', { b3: `${OTHER}-${SPAN}-1, ${OTHER}-${SPAN}-1` }],
    ['a list of single headers', { b3: [`${OTHER}-${SPAN}-1`, `${OTHER}-${SPAN}-1`] }],
    ['upper-case ids', { b3: `${OTHER}-${SPAN}-1`.toUpperCase() }],
    ['an all-zero trace id', { b3: `${'0'.repeat(32)}-${SPAN}-1` }],
    ['a megabyte', { b3: 'a'.repeat(1 << 20) }],
    ['a bare decision that is none', { b3: '2' }],
    ['a bare decision with more behind it', { b3: '0-' }],
    ['a bare decision that came twice', { b3: ['0', '0'] }],
    ['a trace id and no span id', { 'x-b3-traceid': OTHER, 'x-b3-sampled': '0' }],
    ['no ids and no decision', { 'x-b3-sampled': '', 'x-b3-flags': '0' }],
    ['a trace id of odd length', { ...multi, 'x-b3-traceid': 'abc' }],
    ['upper-case multiple headers', { ...multi, 'x-b3-traceid': OTHER.toUpperCase() }],
    ['a missing span id', { ...multi, 'x-b3-spanid': undefined }],
    ['a trace id that came twice', { ...multi, 'x-b3-traceid': [OTHER, TRACE] }],
    ['a decision that is none', { ...multi, 'x-b3-sampled': 'maybe' }],
  ])('with %s begins a new trace', (_what, headers) => {
    expect(extract(headers)).toBe(ROOT_CONTEXT);
  });
});

describe('a propagator of the user', () => {
  let warnings: string[];
  beforeEach(() => {
    warnings = [];
    jest.spyOn(Logger.prototype, 'warn').mockImplementation((message: unknown) => void warnings.push(String(message)));
  });
  afterEach(() => void jest.restoreAllMocks());

  const uber: TextMapPropagator = {
    inject: (ctx, carrier, setter) => setter.set(carrier, 'uber-trace-id', trace.getSpanContext(ctx)?.traceId ?? ''),
    extract: (ctx, carrier, getter) => {
      const traceId = getter.get(carrier, 'uber-trace-id');
      return typeof traceId === 'string' ? trace.setSpanContext(ctx, { traceId, spanId: SPAN, traceFlags: 1, isRemote: true }) : ctx;
    },
    fields: () => ['uber-trace-id'],
  };

  it('is read and written along with the named ones, and B3 does not overrule it', () => {
    const by = createPropagator(['tracecontext', uber, 'b3'], true);
    expect(spanIn({ 'uber-trace-id': TRACE, b3: `${OTHER}-${SPAN}-1` }, by)).toMatchObject({ traceId: TRACE });
    expect(injected(extract({ 'uber-trace-id': TRACE }, by), by)).toMatchObject({
      'uber-trace-id': TRACE,
      traceparent: `00-${TRACE}-${SPAN}-01`,
    });
  });

  it('is not asked about calls that are not to be traced', () => {
    expect(injected(suppressTracing(inSpan), createPropagator([uber]))).toEqual({});
  });

  it('that throws or returns no context is left out, and said once', () => {
    class Broken implements TextMapPropagator {
      inject(): never {
        throw new Error('no inject');
      }
      extract(): never {
        throw new Error('no extract');
      }
      fields(): string[] {
        return [];
      }
    }
    class Careless extends Broken {
      override extract(): never {
        return undefined as never;
      }
    }
    const by = createPropagator([new Broken(), new Careless(), 'tracecontext']);
    for (let round = 0; round < 3; round++) {
      expect(spanIn({ traceparent: `00-${TRACE}-${SPAN}-01` }, by)).toMatchObject({ traceId: TRACE });
      expect(injected(inSpan, by)).toEqual({ traceparent: `00-${TRACE}-${SPAN}-01` });
    }
    expect(warnings).toEqual([
      expect.stringContaining('"Broken" threw in extract()'),
      expect.stringContaining('"Careless"'),
      expect.stringContaining('"Broken" threw in inject()'),
      expect.stringContaining('"Careless"'),
    ]);
  });
});

describe('whatever comes in', () => {
  const odd = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.stringMatching(/^[0-9a-f]{14,34}-[0-9a-f]{14,18}(-[01d])?.{0,3}$/),
    fc.anything(),
  );

  it('nothing is thrown, and what goes out is well-formed', () => {
    fc.assert(
      fc.property(odd, odd, odd, odd, odd, (b3, traceId, spanId, sampled, baggage) => {
        const headers = { b3, 'x-b3-traceid': traceId, 'x-b3-spanid': spanId, 'x-b3-sampled': sampled, baggage } as Carrier;
        const out = injected(extract(headers));
        if (out.traceparent !== undefined) expect(out.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]$/);
      }),
      { numRuns: 2000 },
    );
  });

  it('the work is bounded', () => {
    const hostile = [
      'a'.repeat(16_000),
      `${'a'.repeat(16)}-`.repeat(900),
      ','.repeat(16_000),
      'a=1,'.repeat(4_000),
      'a=%zz;'.repeat(2_500),
    ];
    const begin = process.cpuUsage();
    for (const value of hostile) {
      for (let round = 0; round < 20; round++) extract({ b3: value, 'x-b3-traceid': value, 'x-b3-spanid': value, baggage: value });
    }
    const { user, system } = process.cpuUsage(begin);
    expect((user + system) / 1000).toBeLessThan(1000);
  });
});

describe('an application that is not traced', () => {
  const relay = createPassthroughPropagator(['tracecontext', 'baggage', 'b3']);

  it('passes on what it received', () => {
    const headers = {
      traceparent: `00-${TRACE}-${SPAN}-03`,
      tracestate: 'a=1',
      baggage: 'tenant=acme;ttl=1',
      'x-b3-traceid': OTHER,
      'x-b3-spanid': SPAN,
    };
    const ctx = extract({ ...headers, host: 'localhost' }, relay);
    expect(injected(ctx, relay)).toEqual(headers);
    expect(trace.getSpanContext(ctx)?.traceId).toBe(TRACE);
    expect(relay.fields()).toEqual(expect.arrayContaining(['traceparent', 'tracestate', 'baggage', 'b3', 'x-b3-traceid']));
  });

  it('passes on nothing where nothing came, or nothing legal', () => {
    expect(extract({ host: 'localhost' }, relay)).toBe(ROOT_CONTEXT);
    expect(extract({ traceparent: 'broken' }, relay)).toBe(ROOT_CONTEXT);
    expect(injected(ROOT_CONTEXT, relay)).toEqual({});
  });

  it('passes on only the formats that are chosen, those of the user included', () => {
    const headers = { traceparent: `00-${TRACE}-${SPAN}-01`, b3: '0', baggage: 'a=1' };
    expect(injected(extract(headers, createPassthroughPropagator(['b3multi'])), createPassthroughPropagator(['b3multi']))).toEqual({
      b3: '0',
    });
    expect(injected(extract(headers, createPassthroughPropagator(['none'])), createPassthroughPropagator(['none']))).toEqual({});
    const own = createPassthroughPropagator([createPropagator(['baggage'])]);
    expect(injected(extract(headers, own), own)).toEqual({ baggage: 'a=1' });
  });
});
