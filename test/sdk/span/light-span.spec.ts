import { inspect } from 'node:util';
import { jest } from '@jest/globals';
import { type Attributes, context, diag, type Span, SpanKind, SpanStatusCode, type TimeInput, trace } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { wallTime } from '../../../lib/spans/clock.js';
import { type Random, randomFrom } from '../random.js';
import { Both, KINDS, link, type Setting } from './both-spans.js';
import { PARENTS, remote, SAMPLERS } from './settings.js';

let now = 1_790_000_000_000;
let steady = 1000.25;
beforeEach(() => {
  jest.spyOn(Date, 'now').mockImplementation(() => now);
  jest.spyOn(performance, 'now').mockImplementation(() => steady);
  wallTime();
  // After a jump ahead, our clock is exactly at this one.
  now += 10;
});
afterEach(() => {
  diag.disable();
  jest.restoreAllMocks();
});

/** Both clocks go on. The wall clock has fractions here, so that the SDK's spans have them, too. */
function pass(ms: number) {
  now += ms;
  steady += ms;
}

const strange = [
  undefined,
  null,
  '',
  'text',
  'a longer text',
  0,
  -1.5,
  NaN,
  true,
  [],
  ['a', 'bbbbbb'],
  [1, null],
  ['a', 1],
  [{}],
  {},
  () => 1,
  1n,
] as never[];

describe('a span of our provider equals the span of the SDK', () => {
  it.each(Object.keys(SAMPLERS).flatMap(sampler => Object.keys(PARENTS).map(parent => [sampler, parent] as const)))(
    'with the sampler "%s" and %s',
    (sampler, parent) => {
      const both = new Both({ sampler: SAMPLERS[sampler]! });
      for (const root of [undefined, false, true]) {
        const attributes = { a: 1, b: ['x'], c: null as never, d: {} as never, '': 'no key' };
        const spans = both.start(
          'GET',
          { kind: SpanKind.SERVER, attributes, links: [link({ l: 1, m: {} as never })], ...(root === undefined ? {} : { root }) },
          PARENTS[parent as keyof typeof PARENTS],
        );
        pass(3.5);
        spans.do(span => span.setAttribute('late', true).end());
        spans.expectEqual();
      }
    },
  );

  it.each(['attribute', 'attribute at the start', 'event attribute', 'link attribute', 'status message', 'name', 'exception', 'key'])(
    'with any value as %s',
    what => {
      const acts: Record<string, (span: Span, value: never) => void> = {
        attribute: (span, value) => span.setAttribute('key', value),
        'event attribute': (span, value) => span.addEvent('event', { key: value, other: 1 }),
        'link attribute': (span, value) => span.addLink(link({ key: value })),
        'status message': (span, value) => span.setStatus({ code: SpanStatusCode.ERROR, message: value }),
        name: (span, value) => span.updateName(value),
        exception: (span, value) => span.recordException(value),
        key: (span, value) => span.setAttribute(String(value), 'value').setAttributes({ [String(value)]: 'again' }),
      };
      const both = new Both();
      for (const value of strange) {
        const spans = both.start('work', what === 'attribute at the start' ? { attributes: { key: value } } : {});
        spans.do(span => acts[what]?.(span, value));
        if (what === 'name') continue;
        spans.do(span => span.end());
        spans.expectEqual();
      }
    },
  );

  const errors = [
    new Error('told'),
    new TypeError(''),
    Object.assign(new Error('failed'), { code: 'ECONN' }),
    { code: 404 },
    { name: 'Odd' },
    { message: 'only' },
    {},
    'text',
    '',
  ];
  it.each(errors.map(error => [inspect(error).slice(0, 40), error]))('with the exception %s', (_name, error) => {
    const spans = new Both().start('work');
    spans.do(span => span.recordException(error as Error)).do(span => span.recordException(error as Error, now - 5));
    spans.do(span => span.end()).expectEqual();
  });

  const times: TimeInput[] = [
    1_789_999_999_000,
    1_790_000_001_000.125,
    500.5,
    0,
    -5,
    new Date(1_790_000_000_500),
    [1_790_000_000, 7],
    [0, 0],
    'junk' as never,
    null as never,
    undefined as never,
  ];
  it.each(times.flatMap(start => times.map(end => [start, end] as const)))('that starts at %s and ends at %s', (startTime, endTime) => {
    const spans = new Both().start('work', { startTime });
    pass(12.25);
    spans.do(span => span.addEvent('a', startTime).addEvent('b', { x: 1 }, endTime).addEvent('c', 5, endTime).addEvent('d'));
    pass(1.75);
    spans.do(span => span.end(endTime)).expectEqual();
  });

  it('when the clocks jump', () => {
    const spans = new Both().start('work');
    now -= 3_600_000;
    steady += 5;
    spans.do(span => span.addEvent('the wall clock was set back'));
    now += 7_200_000;
    spans
      .do(span => span.addEvent('and the machine slept'))
      .do(span => span.end())
      .expectEqual();
    const backwards = new Both().start('work');
    steady -= 50;
    backwards.do(span => span.end()).expectEqual();
  });

  it('after its end', () => {
    const spans = new Both().start('work', { attributes: { a: 1 } }).do(span => span.end());
    for (const act of AFTER_END) spans.do(act);
    spans.expectEqual();
  });

  const AFTER_END: ((span: Span) => unknown)[] = [
    span => span.setAttribute('b', 1),
    span => span.setAttribute('b', null as never),
    span => span.setAttributes({ c: 1, d: 2 }),
    span => span.addEvent('e'),
    span => span.addLink(link()),
    span => span.addLinks([link(), link()]),
    span => span.setStatus({ code: SpanStatusCode.ERROR }),
    span => span.updateName('other'),
    span => span.recordException(new Error('late')),
    span => span.end(),
  ];

  it('while it is under way, also for console.log', () => {
    const spans = new Both().start('work', { attributes: { a: 1 }, links: [link()] });
    spans.expectEqual();
    for (const depth of [-1, 0, 1, null]) {
      const [sdk, ours] = spans.spans.map(span => inspect(span, { depth }));
      expect(ours).toBe(sdk);
    }
    const [tracer, ourTracer] = new Both().each(side => inspect(side.tracer));
    expect(ourTracer).toBe(tracer);
    const [provider, ourProvider] = new Both().each(side => inspect(side.provider));
    expect(ourProvider).toBe(provider);
  });

  it.each([{}, { attributeCountLimit: 2 }, { attributeValueLengthLimit: 2 }])(
    'with attributes that are not copied, and the limits %j',
    limits => {
      const lists: Attributes[] = [
        { a: 'text', b: 2, c: true },
        { a: 'text', b: undefined },
        { a: ['long', 'list'], b: 1 },
        { a: {} as never },
        { '': 1 },
      ];
      for (const attributes of lists) {
        const both = new Both({ limits });
        const options = { attributes: Object.freeze(attributes), areAttributesFinal: true };
        both
          .start('read', options)
          .do(span => span.end())
          .expectEqual();
        both
          .start('written', options)
          .do(span => span.setAttributes({ a: 'other', d: 4 }).end())
          .expectEqual();
      }
    },
  );

  it('when no link is allowed', () => {
    const spans = new Both({ limits: { linkCountLimit: 0 } }).start('work', { links: [link()] });
    spans.do(span => span.addLink(link()).end()).expectEqual();
  });

  it('when it is started active', () => {
    const both = new Both();
    const results = both.each(({ tracer }) => [
      (tracer.startActiveSpan as (name: string) => unknown)('nothing'),
      tracer.startActiveSpan('one', span => [span.spanContext(), trace.getActiveSpan() === span]),
      tracer.startActiveSpan('two', { kind: SpanKind.CLIENT }, span => span.spanContext()),
      tracer.startActiveSpan('three', {}, remote(1), span => span.spanContext()),
      tracer.startActiveSpan('four', undefined as never, undefined as never, (span: Span) => span.spanContext()),
    ]);
    expect(results[1]).toEqual(results[0]);
    expect(() =>
      both.ours.tracer.startActiveSpan('throws', () => {
        throw new Error('told');
      }),
    ).toThrow('told');
    expect(trace.getSpan(context.active())).toBeUndefined();
  });

  it('keeps what a processor or caller changes on it', () => {
    const attributes: Attributes = { list: ['a'] };
    const spans = new Both().start('work', { attributes });
    (attributes['list'] as string[]).push('b');
    attributes['other'] = 1;
    spans.do(span => {
      const { attributes: own, events, links } = span as unknown as { attributes: Attributes; events: unknown[]; links: unknown[] };
      own['written'] = 'directly';
      delete own['list'];
      events.push({ name: 'pushed', time: [1, 2], attributes: {} });
      links.push(link());
      span.setAttribute('list', 'again');
    });
    spans.do(span => span.end()).expectEqual();
  });

  const replaced: Record<string, unknown> = {
    attributes: { safe: true, list: ['a'] },
    status: { code: SpanStatusCode.ERROR, message: 'replaced' },
    events: [{ name: 'replaced', time: [1, 2], attributes: {}, droppedAttributesCount: 0 }],
    links: [link({ replaced: 1 })],
    resource: resourceFromAttributes({ 'service.name': 'other' }),
    name: 'other',
    parentSpanContext: link().context,
  };
  it.each(Object.keys(replaced))('when a processor replaces its field %s', field => {
    const spans = new Both({ limits: { attributeCountLimit: 3 } }).start('work', {
      attributes: { a: 1, b: 2, c: 3, d: 4 },
      links: [link()],
    });
    spans.do(span => Object.assign(span, { [field]: replaced[field] })).expectEqual();
    spans.do(span => span.addEvent('late').addLink(link()).end()).expectEqual();
    spans.do(span => Object.assign(span, { [field]: replaced[field] })).expectEqual();
  });

  it.each([1, 2, 3, 4, 5].map(seed => [seed]))('in 2000 random calls with random limits (seed %i)', seed => {
    const random = randomFrom(seed);
    let left = 2000;
    while (left > 0) {
      const setting = randomSetting(random);
      const both = new Both(setting);
      const attributes = randomAttributes(random, 6);
      const parent = Object.values(PARENTS)[random(Object.keys(PARENTS).length)]!;
      const kind = KINDS[random(KINDS.length)];
      const areAttributesFinal = random(2) === 0;
      const facts = random(2) === 0 ? { toAttributes: () => ({ ...attributes }) } : undefined;
      const spans = both.start(
        `span ${left}`,
        {
          attributes,
          areAttributesFinal,
          facts,
          links: Array.from({ length: random(4) }, () => link(randomAttributes(random, 4))),
          ...(kind === undefined ? {} : { kind }),
        },
        parent,
      );
      for (let calls = random(40); calls >= 0; calls--, left--) {
        pass(random(250) / 8);
        const act = randomCall(random);
        spans.do(act);
      }
      spans.expectEqual();
    }
  });
});

function randomSetting(random: Random): Setting {
  const limit = (...values: number[]) => values[random(values.length)]!;
  return {
    limits: {
      attributeCountLimit: limit(0, 1, 3, 128),
      attributeValueLengthLimit: limit(1, 4, Infinity),
      eventCountLimit: limit(0, 1, 3, 128),
      linkCountLimit: limit(1, 3, 128),
      attributePerEventCountLimit: limit(0, 1, 128),
      attributePerLinkCountLimit: limit(0, 1, 128),
    },
    sampler: Object.values(SAMPLERS)[random(Object.keys(SAMPLERS).length)]!,
  };
}

function randomAttributes(random: Random, most: number): Attributes {
  return Object.fromEntries(Array.from({ length: random(most) }, () => [`k${random(8)}`, strange[random(strange.length)]!]));
}

function randomCall(random: Random): (span: Span) => unknown {
  const key = `k${random(8)}`;
  const value = strange[random(strange.length)]!;
  const attributes = randomAttributes(random, 5);
  const time = [undefined, now - random(50), steady - random(50), new Date(now - 5), [1_790_000_000, random(1e9)]][random(5)] as TimeInput;
  const code = random(3);
  const calls: ((span: Span) => unknown)[] = [
    span => span.setAttribute(key, value),
    span => span.setAttribute(key, value),
    span => span.setAttributes(attributes),
    span => span.addEvent(key, attributes, time),
    span => span.addEvent(key, time),
    span => span.addLink(link(attributes)),
    span => span.addLinks([link(attributes), link()]),
    span => span.setStatus({ code, message: value }),
    span => span.updateName(key),
    span => span.recordException(value ?? 'none', time),
  ];
  if (random(30) === 0) return span => span.end(time);
  return calls[random(calls.length)]!;
}
