import { type Attributes, createTraceState, type Link, ROOT_CONTEXT, type Span, SpanKind, trace, type Tracer } from '@opentelemetry/api';
import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import { AlwaysOnSampler, NodeTracerProvider, type ReadableSpan, type SpanLimits, type SpanProcessor } from '@opentelemetry/sdk-trace-node';
import { encodeJson } from '../../../lib/sdk/otlp/encode-json.js';
import { encodeProtobuf } from '../../../lib/sdk/otlp/encode-protobuf.js';
import { LightTracerProvider } from '../../../lib/sdk/span/light-provider.js';
import { type Random, randomFrom } from '../random.js';

const LIMITS: Required<SpanLimits> = {
  attributeCountLimit: 128,
  attributeValueLengthLimit: Infinity,
  eventCountLimit: 128,
  linkCountLimit: 128,
  attributePerEventCountLimit: 128,
  attributePerLinkCountLimit: 128,
};

type Kind = 'our' | 'the SDK’s';
const KINDS: readonly Kind[] = ['our', 'the SDK’s'];

/** A provider, and the spans of it that have ended. */
function provider(kind: Kind, random: Random, limits = LIMITS, resource: Resource = resourceFromAttributes({ 'service.name': 'shop' })) {
  const ended: ReadableSpan[] = [];
  const keep: SpanProcessor = {
    onStart: () => undefined,
    onEnd: span => void ended.push(span),
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
  const hex = (length: number) => Array.from({ length }, () => random(16).toString(16)).join('');
  const idGenerator = { generateTraceId: () => hex(32), generateSpanId: () => hex(16) };
  const sampler = new AlwaysOnSampler();
  const made: { getTracer: NodeTracerProvider['getTracer'] } =
    kind === 'our'
      ? new LightTracerProvider({ resource, sampler, limits, idGenerator, recordsRoots: true, recordsChildren: true, processors: [keep] })
      : new NodeTracerProvider({ resource, sampler, spanLimits: limits, idGenerator, spanProcessors: [keep] });
  return { ended, tracer: (...scope: Parameters<NodeTracerProvider['getTracer']>) => made.getTracer(...scope) };
}

/** Expects that both encodings are byte for byte those of OpenTelemetry. Ours come first, because reading a span may change it. */
function expectSameBytes(spans: ReadableSpan[]) {
  const protobuf = Buffer.from(encodeProtobuf(spans));
  const json = Buffer.from(encodeJson(spans));
  const expected = Buffer.from(ProtobufTraceSerializer.serializeRequest(spans)!);
  if (!protobuf.equals(expected)) expect(protobuf.toString('hex')).toBe(expected.toString('hex'));
  const expectedJson = Buffer.from(JsonTraceSerializer.serializeRequest(spans)!);
  if (!json.equals(expectedJson)) expect(json.toString()).toBe(expectedJson.toString());
}

const TEXTS = [
  '',
  'a',
  'GET',
  '/users/:id',
  'Grüße',
  '日本語のテキスト',
  '👩‍👩‍👧',
  'half a pair \ud83d',
  '\udc00 first',
  'quoted "text" \\ and \u0000\u001f\u007f\n',
  'C:\\temp',
  '\u2028\ufeff\uffff',
  'x'.repeat(24),
  'x'.repeat(25),
  'ü'.repeat(24),
  'y'.repeat(40),
  'y'.repeat(41),
  'z'.repeat(127),
  'z'.repeat(128),
  'ä'.repeat(64),
  'ä'.repeat(100),
  '€'.repeat(6000),
  'w'.repeat(20_000),
];
const NUMBERS = [
  0,
  -0,
  1,
  -1,
  127,
  128,
  200,
  404,
  5432,
  16_383,
  16_384,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  -(2 ** 31),
  -(2 ** 32),
  -(2 ** 32) - 1,
  2 ** 53 - 1,
  -(2 ** 53),
  2 ** 53 + 2,
  2 ** 62,
  -(2 ** 63),
  2 ** 63 - 1024,
  2 ** 63,
  -(2 ** 63) - 4096,
  1e21,
  1e300,
  0.1,
  -1.5,
  5e-324,
  NaN,
  Infinity,
  -Infinity,
];
const RECORDABLE = [...TEXTS, ...NUMBERS, true, false, [], ['a', 'ü', null], [1, 2.5, -3], [true, undefined, false]] as never[];
/** What a span of somebody else may hold. */
const STRANGE = [
  undefined,
  null,
  1n,
  Symbol('s'),
  () => 1,
  new Uint8Array(),
  new Uint8Array([0, 1, 128, 255]),
  Buffer.alloc(300, 7),
  {},
  { a: 1, b: { c: ['d', { e: null }] }, f: undefined },
  [[1, ['x']], {}, null, new Uint8Array([9])],
  new Date(0),
  ['x'.repeat(200), { long: 'ü'.repeat(300) }],
] as never[];
const KEYS = [
  'http.request.method',
  'http.route',
  'a',
  'server.address',
  'schlüssel',
  'k'.repeat(30),
  'k'.repeat(130),
  '"',
  '\ud800',
  '__proto__x',
];

const one = <T>(random: Random, values: readonly T[]): T => values[random(values.length)]!;

function attributesFrom(random: Random, values: readonly never[], most = 14): Attributes {
  return Object.fromEntries(Array.from({ length: random(most) }, () => [one(random, KEYS) + (random(4) || ''), one(random, values)]));
}

function contextFrom(random: Random) {
  const hex = (length: number) => Array.from({ length }, () => random(16).toString(16)).join('');
  const upper = random(5) === 0;
  return {
    traceId: upper ? hex(32).toUpperCase() : hex(32),
    spanId: hex(16),
    traceFlags: one(random, [0, 1, 3, 255]),
    ...(random(2) === 0 && { isRemote: random(2) === 0 }),
    ...(random(3) === 0 && { traceState: createTraceState(one(random, ['', 'a=1', 'vendor=x:y,other=z'])) }),
  };
}

function linkFrom(random: Random): Link {
  return { context: contextFrom(random), ...(random(2) === 0 && { attributes: attributesFrom(random, RECORDABLE, 4) }) };
}

/** Starts a span, does something with it and ends it. */
function makeSpan(random: Random, tracer: Tracer, shared: Attributes, parent: Span | undefined): Span {
  const time = () =>
    one(random, [undefined, undefined, [1_790_000_000 + random(9), random(1e9)] as [number, number], Date.now() - random(5000)]);
  const remote = random(3) === 0 ? trace.setSpanContext(ROOT_CONTEXT, contextFrom(random)) : ROOT_CONTEXT;
  const isShared = random(3) === 0;
  const options = {
    kind: one(random, [SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER]),
    attributes: isShared ? shared : attributesFrom(random, RECORDABLE),
    areAttributesFinal: isShared,
    links: Array.from({ length: random(5) === 0 ? random(3) : 0 }, () => linkFrom(random)),
    startTime: time(),
  };
  const span = tracer.startSpan(one(random, TEXTS) || 'work', options, parent ? trace.setSpan(ROOT_CONTEXT, parent) : remote);
  if (random(2) === 0) span.setAttributes(attributesFrom(random, RECORDABLE, 5));
  if (random(4) === 0) span.addEvent(one(random, TEXTS), attributesFrom(random, RECORDABLE, 4), time());
  if (random(8) === 0) span.recordException(new Error(one(random, TEXTS)));
  if (random(4) === 0) span.setStatus({ code: random(3), message: one(random, TEXTS) });
  if (random(4) === 0) span.addLink(linkFrom(random));
  span.end(time());
  return span;
}

describe('what is sent is byte for byte what OpenTelemetry’s own encoders make', () => {
  it.each(KINDS.flatMap(kind => [1, 2, 3, 4, 5].map(seed => [kind, seed] as const)))(
    'of %s spans, 1000 at random (seed %i)',
    (kind, seed) => {
      const random = randomFrom(seed);
      for (let left = 1000; left > 0;) {
        const few = { attributeCountLimit: 3, attributeValueLengthLimit: 5, eventCountLimit: random(2), linkCountLimit: random(2) };
        const limits = random(3) === 0 ? { ...LIMITS, ...few } : LIMITS;
        const resource = resourceFromAttributes(attributesFrom(random, RECORDABLE), {
          ...(random(2) === 0 && { schemaUrl: one(random, ['', 'https://example.com/1']) }),
        });
        const { ended, tracer } = provider(kind, random, limits, resource);
        const scopes = [
          tracer('one'),
          tracer('two', '1.2.3'),
          tracer('drei ü', '', { schemaUrl: '' }),
          tracer('', undefined, { schemaUrl: 'https://example.com/2' }),
        ];
        const shared = [attributesFrom(random, RECORDABLE), {}];
        let parent: Span | undefined;
        for (let count = random(120); count >= 0; count--, left--) {
          const span = makeSpan(random, one(random, scopes), one(random, shared), parent);
          parent = random(3) === 0 ? span : random(3) === 0 ? undefined : parent;
        }
        expectSameBytes(ended);
      }
    },
  );

  it.each([[6], [7]])('of spans that another processor made, with any value (seed %i)', seed => {
    const random = randomFrom(seed);
    const { ended, tracer } = provider('our', random);
    makeSpan(random, tracer('base'), {}, undefined);
    const [base] = ended as [ReadableSpan];
    const anything = [...RECORDABLE, ...STRANGE];
    for (let batch = 0; batch < 60; batch++) {
      const resources = [resourceFromAttributes({ a: 1 }), resourceFromAttributes(attributesFrom(random, RECORDABLE))];
      const scopes = [{ name: 'one' }, { name: 'two', version: '' }];
      const spans = Array.from({ length: random(20) }, () => {
        const context = contextFrom(random);
        return {
          ...base,
          name: one(random, TEXTS),
          kind: random(5),
          spanContext: () => context,
          parentSpanContext: one(random, [undefined, contextFrom(random), { ...contextFrom(random), spanId: '' }]),
          startTime: one(random, [
            [0, 0],
            [1, 5],
            [4_294_967_296, 999_999_999],
            [1_790_000_000, 0],
            [18_446_744_073, 709_551_615],
          ] as const),
          endTime: [1_790_000_000 + random(1e6), random(1e9)],
          status: { code: random(3), ...(random(2) === 0 && { message: one(random, TEXTS) }) },
          attributes: attributesFrom(random, anything),
          events: [
            {
              name: one(random, TEXTS),
              time: [random(2e9), random(1e9)],
              attributes: one(random, [undefined, attributesFrom(random, anything)]),
            },
          ],
          links: [{ context: contextFrom(random), attributes: attributesFrom(random, anything), droppedAttributesCount: random(300) }],
          droppedAttributesCount: one(random, [0, 1, 127, 128, 70_000]),
          droppedEventsCount: one(random, [0, 200]),
          droppedLinksCount: one(random, [0, 200]),
          resource: one(random, resources),
          instrumentationScope: one(random, scopes),
        } as unknown as ReadableSpan;
      });
      expectSameBytes(spans);
    }
  });

  it('of no span, and of one that is larger than all others', () => {
    expectSameBytes([]);
    const { ended, tracer } = provider('our', randomFrom(8));
    tracer('one')
      .startSpan('large', { attributes: { text: 'ü'.repeat(2_000_000), list: new Array<number>(50_000).fill(1) } })
      .end();
    for (let index = 0; index < 300; index++) tracer('one').startSpan('small').end();
    expectSameBytes(ended);
  });

  it('although values that come again are not encoded again', () => {
    const { ended, tracer } = provider('our', randomFrom(9));
    for (let index = 0; index < 400; index++) {
      const values = {
        method: ['GET', 'POST'][index % 2]!,
        status: [200, 0, -0, NaN][index % 4]!,
        path: `/${index}`,
        even: index % 2 === 0,
      };
      tracer('one')
        .startSpan('work', { attributes: { ...values, [`key${index}`]: 'ä' } })
        .end();
      // Nothing stops a processor that writes into the object.
      ended.at(-1)!.attributes['written'] = index === 0 ? ['list'] : index < 40 ? `text ${index}` : undefined;
    }
    expectSameBytes(ended.slice(0, 200));
    expectSameBytes(ended);
  });
});

describe('a span', () => {
  it('keeps the attributes that it shares with others when it is encoded', () => {
    const { ended, tracer } = provider('our', randomFrom(1));
    const options = { attributes: { 'db.operation.name': 'SELECT' }, areAttributesFinal: true };
    tracer('one').startSpan('first', options).end();
    tracer('one').startSpan('second', options).end();
    expectSame(encodeProtobuf, ended, 2);
    expectSame(encodeJson, ended, 2);
    expect(ended.map(span => (span as ReadableSpan & { sharedAttributes: unknown }).sharedAttributes)).toEqual([
      options.attributes,
      options.attributes,
    ]);
  });

  it('with a name, an id or a time that is none does not lose the others of its batch', () => {
    const { ended, tracer } = provider('our', randomFrom(1));
    tracer('one')
      .startSpan(undefined as never, { startTime: new Date(NaN) })
      .end();
    tracer('one')
      .startSpan('kept', { kind: 'CLIENT' as never })
      .end();
    expect(encodeProtobuf(ended).length).toBeGreaterThan(0);
    const json = JSON.parse(Buffer.from(encodeJson(ended)).toString()) as {
      resourceSpans: { scopeSpans: { spans: { name: string }[] }[] }[];
    };
    expect(json.resourceSpans[0]?.scopeSpans[0]?.spans.map(({ name }) => name)).toEqual(['undefined', 'kept']);
  });
});

function expectSame(encode: (spans: ReadableSpan[]) => Uint8Array, spans: ReadableSpan[], times: number) {
  const text = Buffer.from(encode(spans)).toString('latin1');
  expect(text.split('db.operation.name')).toHaveLength(times + 1);
}
