import { describe, expect, it } from '@jest/globals';
import { type Context, createTraceState, defaultTextMapSetter, ROOT_CONTEXT, type SpanContext, trace } from '@opentelemetry/api';
import { suppressTracing, W3CTraceContextPropagator } from '@opentelemetry/core';
import fc from 'fast-check';
import { createPropagator } from '../../lib/propagation/composite.propagator.js';
import { headerGetter } from '../../lib/propagation/message-headers.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const PARENT = `00-${TRACE}-${SPAN}-01`;

type Carrier = Record<string, string | string[] | undefined>;
const propagator = createPropagator(['tracecontext']);
const ofRandomTraces = createPropagator(['tracecontext'], true);
const extract = (headers: Carrier, by = propagator): Context => by.extract(ROOT_CONTEXT, headers, headerGetter);
const extracted = (headers: Carrier): SpanContext | undefined => trace.getSpanContext(extract(headers));
const injected = (ctx: Context, by = propagator): Carrier => {
  const carrier: Carrier = {};
  by.inject(ctx, carrier, defaultTextMapSetter);
  return carrier;
};
const stateOf = (header: string | string[]): string | undefined =>
  extracted({ traceparent: PARENT, tracestate: header })?.traceState?.serialize();

describe('an incoming traceparent', () => {
  it('is continued with its ids and its sampled flag', () => {
    expect(extracted({ traceparent: PARENT })).toMatchObject({ traceId: TRACE, spanId: SPAN, traceFlags: 1, isRemote: true });
    expect(extracted({ traceparent: `00-${TRACE}-${SPAN}-00` })).toMatchObject({ traceFlags: 0 });
    expect(extracted({ traceparent: [PARENT] })).toMatchObject({ traceId: TRACE });
  });

  it('keeps of the flags those that level 2 knows', () => {
    expect(extracted({ traceparent: `00-${TRACE}-${SPAN}-ff` })).toMatchObject({ traceFlags: 3 });
    expect(extracted({ traceparent: `00-${TRACE}-${SPAN}-fc` })).toMatchObject({ traceFlags: 0 });
  });

  it('may have white space around it', () => {
    expect(extracted({ traceparent: ` \t${PARENT} ` })).toMatchObject({ traceId: TRACE });
  });

  it('of a later version is read by its first four fields', () => {
    for (const header of [`01-${TRACE}-${SPAN}-01`, `01-${TRACE}-${SPAN}-01-`, `cc-${TRACE}-${SPAN}-01-what.the-future=brings`]) {
      expect(extracted({ traceparent: header })).toMatchObject({ traceId: TRACE, spanId: SPAN, traceFlags: 1 });
    }
  });

  it.each([
    ['is empty', ''],
    ['is the forbidden version ff', `ff-${TRACE}-${SPAN}-01`],
    ['is version 00 with a tail', `${PARENT}-tail`],
    ['is version 00 with a dash at its end', `${PARENT}-`],
    ['goes on without a dash', `01-${TRACE}-${SPAN}-01what`],
    ['has an all-zero trace id', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['has an all-zero span id', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['has upper-case hex', PARENT.toUpperCase()],
    ['has a letter beyond f in the trace id', PARENT.replace('0af', '0ag')],
    ['has a letter beyond ASCII in the span id', PARENT.replace('b7a', 'b7á')],
    ['has flags that are not hex', `00-${TRACE}-${SPAN}-0x`],
    ['has a version that is not hex', `0.-${TRACE}-${SPAN}-01`],
    ['has short ids', `00-${TRACE.slice(1)}-${SPAN}-01`],
    ['has other separators', PARENT.replaceAll('-', '_')],
    ['has an ideographic space before it', `\u3000${PARENT}`],
    ['came twice, joined by Node', `${PARENT}, ${PARENT}`],
    ['came twice in a later version', `01-${TRACE}-${SPAN}-01-a, 01-${TRACE}-${SPAN}-01`],
    ['came twice as a list', [PARENT, PARENT]],
    ['is an empty list', []],
    ['is a megabyte long', `01-${TRACE}-${SPAN}-01-${'a'.repeat(1 << 20)}`],
  ])('that %s begins a new trace', (_why, header) => {
    expect(extract({ traceparent: header, tracestate: 'a=1' })).toBe(ROOT_CONTEXT);
  });

  it('that is not text at all begins a new trace', () => {
    for (const odd of [7, true, null, {}, [7], Buffer.from(PARENT), Symbol('a')]) {
      expect(extract({ traceparent: odd as never })).toBe(ROOT_CONTEXT);
    }
    expect(propagator.extract(ROOT_CONTEXT, undefined, headerGetter)).toBe(ROOT_CONTEXT);
  });
});

describe('an incoming tracestate', () => {
  const longKey = 'k'.repeat(256);
  const longValue = 'v'.repeat(256);

  it('is passed on with its members in order', () => {
    expect(stateOf('rojo=00f067aa0ba902b7,congo=t61rcWkgMzE')).toBe('rojo=00f067aa0ba902b7,congo=t61rcWkgMzE');
    expect(extracted({ traceparent: PARENT, tracestate: 'a=1,b=2' })?.traceState?.get('b')).toBe('2');
  });

  it('may come in several headers, with white space and empty members', () => {
    expect(stateOf(['a=1', 'b=2,', ' ,c=3'])).toBe('a=1,b=2,c=3');
    expect(stateOf('a=1 , \t b=2\t,,')).toBe('a=1,b=2');
  });

  it('may use everything that level 2 allows', () => {
    const header = `0tenant@sys=1,a@b@c=x,a_-*/z=!"#$%&'()*+-./:;<>?@[]^_{|}~ x,${longKey}=${longValue}`;
    expect(stateOf(header)).toBe(header);
    const members = Array.from({ length: 32 }, (_, i) => `k${i}=${i}`).join(',');
    expect(stateOf(members)).toBe(members);
  });

  it('counts the first of two members with one key', () => {
    expect(stateOf('a=1,b=2,a=3')).toBe('a=1,b=2');
  });

  it.each([
    ['a member without value', 'a=1,b'],
    ['an empty value', 'a=1,b='],
    ['an empty key', 'a=1,=2'],
    ['an upper-case key', 'a=1,B=2'],
    ['a key that begins with a sign', 'a=1,@b=2'],
    ['white space in a key', 'a=1,b c=2'],
    ['white space before the equals sign', 'a=1,b =2'],
    ['a second equals sign', 'a=1,b=2=3'],
    ['a control character', 'a=1,b=2\u0007'],
    ['a letter beyond ASCII', 'a=1,b=é'],
    ['a key of 257 characters', `a=1,${longKey}k=2`],
    ['a value of 257 characters', `a=1,b=${longValue}v`],
    ['33 members', Array.from({ length: 33 }, (_, i) => `k${i}=1`).join(',')],
    ['a megabyte', `a=1,${'b'.repeat(1 << 20)}=2`],
    ['more empty members than anybody needs', `a=1${' ,'.repeat(10_000)}`],
  ])('with %s is dropped as a whole while traceparent counts', (_what, header) => {
    const span = extracted({ traceparent: PARENT, tracestate: header });
    expect(span).toMatchObject({ traceId: TRACE, traceFlags: 1 });
    expect(span?.traceState).toBeUndefined();
    expect(injected(extract({ traceparent: PARENT, tracestate: header }))).toEqual({ traceparent: PARENT });
  });

  it('counts for nothing when it is empty or alone', () => {
    expect(stateOf('')).toBeUndefined();
    expect(stateOf(' , ,')).toBeUndefined();
    expect(stateOf([])).toBeUndefined();
    expect(stateOf([7] as never)).toBeUndefined();
    expect(extract({ tracestate: 'a=1' })).toBe(ROOT_CONTEXT);
  });

  it('can be changed by who samples: the changed member goes in front, the last of 33 goes', () => {
    const state = extracted({ traceparent: PARENT, tracestate: 'a=1,b=2' })?.traceState;
    expect(state?.set('c', '3').serialize()).toBe('c=3,a=1,b=2');
    expect(state?.set('b', '9').serialize()).toBe('b=9,a=1');
    expect(state?.set('B', '9').set('b', 'é').serialize()).toBe('a=1,b=2');
    expect(state?.unset('a').serialize()).toBe('b=2');
    expect(state?.unset('x').serialize()).toBe('a=1,b=2');
    expect(state?.serialize()).toBe('a=1,b=2');
    const full = extracted({ traceparent: PARENT, tracestate: Array.from({ length: 32 }, (_, i) => `k${i}=1`).join(',') })?.traceState;
    expect(full?.set('new', '1').serialize().split(',')).toHaveLength(32);
    expect(full?.set('new', '1').get('k31')).toBeUndefined();
  });
});

describe('an outgoing traceparent', () => {
  const inSpan = (span: Partial<SpanContext>, parent = ROOT_CONTEXT) =>
    trace.setSpanContext(parent, { traceId: TRACE, spanId: SPAN, traceFlags: 1, ...span });

  it('is version 00 whatever came in', () => {
    expect(injected(extract({ traceparent: `cc-${TRACE}-${SPAN}-01-tail` }))).toEqual({ traceparent: PARENT });
  });

  it('is not written without a span, for a broken one, or for calls that are not to be traced', () => {
    expect(injected(ROOT_CONTEXT)).toEqual({});
    expect(injected(inSpan({ traceId: 'short' }))).toEqual({});
    expect(injected(suppressTracing(inSpan({})))).toEqual({});
  });

  it('never comes with an empty tracestate', () => {
    expect(injected(inSpan({ traceState: createTraceState('') }))).toEqual({ traceparent: PARENT });
    expect(injected(inSpan({ traceState: createTraceState('a=1') }))).toEqual({ traceparent: PARENT, tracestate: 'a=1' });
  });

  it('says "random" for a child span exactly where the caller said so', () => {
    for (const by of [propagator, ofRandomTraces]) {
      const child = (flags: string) => inSpan({ spanId: 'c'.repeat(16) }, extract({ traceparent: `00-${TRACE}-${SPAN}-${flags}` }, by));
      expect(injected(child('03'), by)).toEqual({ traceparent: `00-${TRACE}-${'c'.repeat(16)}-03` });
      expect(injected(child('01'), by)).toEqual({ traceparent: `00-${TRACE}-${'c'.repeat(16)}-01` });
    }
  });

  it('says "random" for a trace of its own where its ids are known to be random', () => {
    expect(injected(inSpan({}), ofRandomTraces)).toEqual({ traceparent: `00-${TRACE}-${SPAN}-03` });
    expect(injected(inSpan({}), propagator)).toEqual({ traceparent: PARENT });
    const newRoot = inSpan({ traceId: 'd'.repeat(32) }, extract({ traceparent: PARENT }, ofRandomTraces));
    expect(injected(newRoot, ofRandomTraces)).toEqual({ traceparent: `00-${'d'.repeat(32)}-${SPAN}-03` });
  });

  it('passes a caller on unchanged where no span was opened', () => {
    for (const flags of ['00', '01', '02', '03']) {
      const traceparent = `00-${TRACE}-${SPAN}-${flags}`;
      expect(injected(extract({ traceparent }, ofRandomTraces), ofRandomTraces)).toEqual({ traceparent });
    }
  });
});

describe('whatever comes in', () => {
  const hex = (length: number) =>
    fc.string({ unit: fc.constantFrom(...Array.from('0123456789abcdef')), minLength: length, maxLength: length });
  const notZero = (id: string) => !/^0+$/.test(id);
  const parents = fc.tuple(hex(32).filter(notZero), hex(16).filter(notZero), fc.constantFrom('00', '01', '02', '03'));
  const keys = fc.stringMatching(/^[a-z][a-z0-9_\-*/]{0,20}$/);
  const values = fc.stringMatching(/^[!-+\--<>-~]{1,20}$/);
  const states = fc.uniqueArray(fc.tuple(keys, values), { selector: ([key]) => key, minLength: 1, maxLength: 12 });
  const anything = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.stringMatching(/^[0-9a-f]{2}-[0-9a-f]{30,33}-[0-9a-f]{15,17}-[0-9a-f]{2}[-, ]?.{0,9}$/),
    fc.array(fc.string(), { maxLength: 4 }),
    fc.anything(),
  );

  it('nothing is thrown, and what is accepted is a span that can be sent on', () => {
    fc.assert(
      fc.property(anything, anything, (traceparent, tracestate) => {
        const ctx = extract({ traceparent, tracestate } as Carrier);
        if (ctx === ROOT_CONTEXT) return;
        expect(injected(ctx).traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]$/);
      }),
      { numRuns: 2000 },
    );
  });

  it('a legal pair of headers goes out as it came in', () => {
    fc.assert(
      fc.property(parents, states, ([traceId, spanId, flags], members) => {
        const headers = { traceparent: `00-${traceId}-${spanId}-${flags}`, tracestate: members.map(pair => pair.join('=')).join(',') };
        expect(injected(extract(headers))).toEqual(headers);
      }),
    );
  });

  it("a legal pair of headers is read as OpenTelemetry's own propagator reads it", () => {
    const official = new W3CTraceContextPropagator();
    fc.assert(
      fc.property(parents, states, ([traceId, spanId, flags], members) => {
        const headers = { traceparent: `00-${traceId}-${spanId}-${flags}`, tracestate: members.map(pair => pair.join('=')).join(',') };
        const theirs = trace.getSpanContext(official.extract(ROOT_CONTEXT, headers, headerGetter));
        const ours = extracted(headers);
        expect({ ...ours, traceState: ours?.traceState?.serialize() }).toEqual({ ...theirs, traceState: theirs?.traceState?.serialize() });
      }),
    );
  });

  it('the work is bounded', () => {
    const hostile = [' '.repeat(1 << 20), `a=1${' '.repeat(19_000)}b`, ','.repeat(20_000), ` \t`.repeat(9_000), 'a='.repeat(9_999)];
    const begin = process.cpuUsage();
    for (const value of hostile) {
      for (let round = 0; round < 20; round++) {
        extract({ traceparent: value });
        extract({ traceparent: PARENT, tracestate: value });
        extract({ traceparent: PARENT, tracestate: [value, value] });
      }
    }
    const { user, system } = process.cpuUsage(begin);
    expect((user + system) / 1000).toBeLessThan(1000);
  });
});
