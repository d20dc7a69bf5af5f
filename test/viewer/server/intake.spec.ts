/** What other programs may send to the viewer, and what they are answered. */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { ZipkinExporter } from '@opentelemetry/exporter-zipkin';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { NodeTracerProvider, type ReadableSpan, SimpleSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-node';
import { deflateSync, gzipSync } from 'node:zlib';
import { toTraceSpan } from '../../../lib/viewer/model/trace-span.js';
import type { ViewerServer } from '../../../lib/viewer/server/viewer-server.js';
import { messagesIn, numberIn, readMessage, textIn } from '../../sdk/protobuf.js';
import { traceId } from '../finished-span.js';
import { call, otlp, otlpSpan, post, startViewer } from './viewers.js';

const PROTOBUF = 'application/x-protobuf';
const stored = ({ store }: ViewerServer) => [...store.all()].flatMap(({ spans }) => [...spans.values()]);

/** What an application with the official SDK records: all kinds of values, an event, a link, a failure, a child. */
async function sendBy(exporter: SpanExporter): Promise<ReadableSpan[]> {
  const ended: ReadableSpan[] = [];
  const watching = {
    onStart: () => {},
    onEnd: (span: ReadableSpan) => void ended.push(span),
    forceFlush: async () => {},
    shutdown: async () => {},
  };
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'payments', 'process.pid': 7 }),
    spanProcessors: [watching, new SimpleSpanProcessor(exporter)],
  });
  const tracer = provider.getTracer('official', '1.2');
  const root = tracer.startSpan('POST /pay', { kind: SpanKind.SERVER, startTime: [1_790_000_000, 123_456_789] });
  const context = trace.setSpan(ROOT_CONTEXT, root);
  const child = tracer.startSpan(
    'charge',
    {
      kind: SpanKind.CLIENT,
      links: [{ context: { traceId: traceId('f'), spanId: 'e'.repeat(16), traceFlags: 1 }, attributes: { why: 'batch' } }],
      attributes: {
        text: 'Grüße 😀',
        whole: -42,
        big: 2 ** 52,
        part: 0.25,
        yes: true,
        no: false,
        list: ['a', 'b'],
        numbers: [1, 2.5],
        empty: '',
      },
    },
    context,
  );
  child.addEvent('retry', { attempt: 2 });
  child.setStatus({ code: SpanStatusCode.ERROR, message: 'card refused' });
  child.end();
  root.setStatus({ code: SpanStatusCode.OK });
  root.end([1_790_000_001, 1]);
  await provider.forceFlush();
  await provider.shutdown();
  return ended;
}

/** The SDK's spans as the store should hold them; links lose their flags on the way. */
const expected = (spans: readonly ReadableSpan[]) =>
  spans.map(toTraceSpan).map(({ events, scope, ...rest }) => ({
    ...rest,
    scope: { name: scope.name, version: scope.version },
    events: events.map(({ name, time, attributes }) => ({ name, time, attributes })),
  }));

const byId = (a: { spanId: string }, b: { spanId: string }) => (a.spanId < b.spanId ? -1 : 1);

describe('The OTLP intake', () => {
  it.each([
    ['protobuf', ProtobufExporter],
    ['JSON', JsonExporter],
  ])("takes in all that OpenTelemetry's exporter for %s sends", async (_format, Exporter) => {
    for (const compression of ['none', 'gzip'] as const) {
      const viewer = await startViewer();
      const sent = await sendBy(new Exporter({ url: `${viewer.url}/v1/traces`, compression: compression as never }));
      expect(sent).toHaveLength(2);
      expect(stored(viewer).sort(byId)).toEqual(expected(sent).sort(byId));
    }
  });

  it.each([
    ['identity', (body: string) => Buffer.from(body)],
    ['gzip', gzipSync],
    ['deflate', deflateSync],
  ])('takes in bodies that are encoded as %s', async (encoding, encode) => {
    const viewer = await startViewer();
    const { status, text, headers } = await post(`${viewer.url}/v1/traces`, encode(otlp(otlpSpan())), 'application/json; charset=utf-8', {
      'content-encoding': encoding,
    });
    expect([status, text, headers['content-type']]).toEqual([200, '{}', 'application/json']);
    expect(stored(viewer)).toMatchObject([{ name: 'GET /orders', kind: 'server', service: 'orders' }]);
  });

  it('keeps the rest where spans make no sense, and says how many it did not take', async () => {
    const viewer = await startViewer();
    const json = await post(`${viewer.url}/v1/traces`, otlp(otlpSpan(), otlpSpan({ spanId: 'zz' }), otlpSpan({ traceId: '' })));
    expect(json.json()).toEqual({ partialSuccess: { rejectedSpans: '2', errorMessage: expect.stringContaining('spanId') } });
    // resource_spans { scope_spans { spans { span_id: 7 bytes } } }
    const bad = Buffer.from([0x0a, 0x0d, 0x12, 0x0b, 0x12, 0x09, 0x12, 0x07, 1, 2, 3, 4, 5, 6, 7]);
    const protobuf = await post(`${viewer.url}/v1/traces`, bad, PROTOBUF);
    const [partial] = messagesIn(readMessage(protobuf.body), 1);
    expect([protobuf.status, protobuf.headers['content-type'], numberIn(partial!, 1), textIn(partial!, 2)]).toEqual([
      200,
      PROTOBUF,
      1,
      expect.stringContaining('spanId'),
    ]);
    expect(stored(viewer)).toHaveLength(1);
  });

  it.each([
    ['no JSON', '{', 'application/json', {}, 400, 3],
    ['no request', '[]', 'application/json', {}, 400, 3],
    ['no protobuf', Buffer.from([0x0a, 0xff, 0x01]), PROTOBUF, {}, 400, 3],
    ['a group that nobody closes', Buffer.from([0x0b]), PROTOBUF, {}, 400, 3],
    ['no gzip', 'x', 'application/json', { 'content-encoding': 'gzip' }, 400, 3],
    ['another type', '{}', 'text/plain', {}, 415, 3],
    ['an encoding that objects have', '{}', 'application/json', { 'content-encoding': 'constructor' }, 415, 3],
    ['another encoding', '{}', 'application/json', { 'content-encoding': 'br' }, 415, 3],
    ['far too much', '{}'.padEnd(17 * 1024 * 1024), 'application/json', {}, 413, 8],
    ['a bomb', gzipSync('{}'.padEnd(17 * 1024 * 1024)), 'application/json', { 'content-encoding': 'gzip' }, 413, 8],
    ['millions of empty objects', gzipSync(`[${'{},'.repeat(5e6)}{}]`), 'application/json', { 'content-encoding': 'gzip' }, 413, 8],
    ['millions of empty messages', gzipSync(Buffer.alloc(16e6).fill('\n\0')), PROTOBUF, { 'content-encoding': 'gzip' }, 413, 8],
    ['a bomb as protobuf', gzipSync(Buffer.alloc(17 * 1024 * 1024)), PROTOBUF, { 'content-encoding': 'gzip' }, 413, 8],
  ] as [string, string | Buffer, string, Record<string, string>, number, number][])(
    'refuses %s with the status of the protocol, in the language of the request',
    async (_what, body, type, headers, expectedStatus, code) => {
      const viewer = await startViewer();
      const answer = await post(`${viewer.url}/v1/traces`, body, type, headers);
      expect(answer.status).toBe(expectedStatus);
      if (type === PROTOBUF) {
        const status = readMessage(answer.body);
        expect([answer.headers['content-type'], numberIn(status, 1), textIn(status, 2)]).toEqual([
          PROTOBUF,
          code,
          expect.stringMatching(/\w/),
        ]);
      } else expect(answer.json()).toEqual({ code, message: expect.stringMatching(/\w/) });
      expect((await post(`${viewer.url}/v1/traces`, otlp(otlpSpan()))).status).toBe(200);
      expect(stored(viewer)).toHaveLength(1);
    },
  );

  it('survives values in values without end', async () => {
    const viewer = await startViewer();
    let value = Buffer.alloc(0);
    const varint = (length: number): number[] => (length < 128 ? [length] : [(length & 127) | 128, ...varint(length >>> 7)]);
    for (let depth = 0; depth < 20_000; depth++)
      value = Buffer.concat([Buffer.from([depth % 2 ? 0x2a : 0x0a, ...varint(value.length)]), value]);
    const wrap = (field: number, inner: Buffer) => Buffer.concat([Buffer.from([field * 8 + 2, ...varint(inner.length)]), inner]);
    const pair = Buffer.concat([wrap(1, Buffer.from('deep')), wrap(2, value)]);
    const { status } = await post(`${viewer.url}/v1/traces`, wrap(1, wrap(1, wrap(1, pair))), PROTOBUF);
    expect(status).toBe(200);
  });

  it('answers metrics and logs, and forgets them', async () => {
    const viewer = await startViewer();
    for (const path of ['/v1/metrics', '/v1/logs']) {
      const json = await post(viewer.url + path, '{"resourceMetrics":[]}');
      const protobuf = await post(viewer.url + path, Buffer.from([0x0a, 0x00]), PROTOBUF);
      expect([json.status, json.text, protobuf.status, protobuf.body.length, protobuf.headers['content-type']]).toEqual([
        200,
        '{}',
        200,
        0,
        PROTOBUF,
      ]);
    }
    expect(stored(viewer)).toEqual([]);
    expect((await call(`${viewer.url}/v1/traces`)).status).toBe(405);
  });
});

describe('The Zipkin intake', () => {
  const zipkin = async (...spans: object[]) => {
    const viewer = await startViewer();
    const { status } = await post(`${viewer.url}/api/v2/spans`, JSON.stringify(spans));
    return { status, spans: stored(viewer) };
  };
  const span = (rest: object = {}) => ({
    traceId: '1f',
    id: '2',
    name: 'get',
    timestamp: 1_790_000_000_000_123,
    duration: 1500,
    localEndpoint: { serviceName: 'carts' },
    ...rest,
  });

  it("takes in what OpenTelemetry's exporter sends", async () => {
    const viewer = await startViewer();
    const sent = await sendBy(new ZipkinExporter({ url: `${viewer.url}/api/v2/spans` }));
    const [root, child] = ['POST /pay', 'charge'].map(name => stored(viewer).find(one => one.name === name)!);
    const [sentChild, sentRoot] = sent.map(toTraceSpan);
    expect(root).toMatchObject({
      traceId: sentRoot?.traceId,
      spanId: sentRoot?.spanId,
      parentSpanId: undefined,
      kind: 'server',
      status: 'ok',
      service: 'payments',
    });
    expect(child).toMatchObject({
      parentSpanId: root?.spanId,
      kind: 'client',
      status: 'error',
      statusMessage: 'card refused',
      attributes: { text: 'Grüße 😀', whole: '-42' },
    });
    expect(child?.events.map(({ name }) => name)).toEqual(['retry']);
    expect(Number(root!.startNs - sentRoot!.startNs)).toBeLessThan(1000);
    expect(child?.endNs).toBeGreaterThanOrEqual(sentChild!.startNs);
  });

  it('pads ids, reads kinds, endpoints, annotations and errors, and takes milliseconds for what they are', async () => {
    const { status, spans } = await zipkin(
      span({
        kind: 'PRODUCER',
        remoteEndpoint: { serviceName: 'bus', ipv4: '10.0.0.1', port: 9092 },
        annotations: [{ timestamp: 1_790_000_000_000_200, value: 'ws' }],
        tags: { error: 'no room', 'http.path': '/x' },
      }),
      span({ id: '3', parentId: '2', traceId: 'AB'.repeat(16), timestamp: 1_790_000_000_000, tags: { error: 'true' } }),
    );
    expect(status).toBe(202);
    expect(spans).toMatchObject([
      {
        traceId: '1f'.padStart(32, '0'),
        spanId: '2'.padStart(16, '0'),
        kind: 'producer',
        status: 'error',
        statusMessage: 'no room',
        service: 'carts',
        startNs: 1_790_000_000_000_123_000n,
        endNs: 1_790_000_000_001_623_000n,
      },
      {
        traceId: 'ab'.repeat(16),
        parentSpanId: '2'.padStart(16, '0'),
        kind: 'internal',
        status: 'error',
        statusMessage: undefined,
        startNs: 1_790_000_000_000_000_000n,
      },
    ]);
    expect(spans[0]?.attributes).toEqual({
      'server.address': '10.0.0.1',
      'server.port': 9092,
      'server.service.name': 'bus',
      'http.path': '/x',
      error: 'no room',
    });
    expect(spans[0]?.events).toMatchObject([{ name: 'ws', time: [1_790_000_000, 200_000] }]);
  });

  it('takes the remote endpoint of what is served for the client, that of all else for the server', async () => {
    const remoteEndpoint = { serviceName: 'shop', ipv4: '10.0.0.1', port: 4711 };
    const { spans } = await zipkin(
      span({ kind: 'SERVER', remoteEndpoint }),
      span({ id: '3', kind: 'CONSUMER', remoteEndpoint }),
      span({ id: '4', kind: 'SERVER', remoteEndpoint: { serviceName: 'shop' }, tags: { 'client.address': '10.9.9.9' } }),
    );
    expect(spans.map(({ attributes }) => attributes)).toEqual([
      { 'client.service.name': 'shop', 'client.address': '10.0.0.1', 'client.port': 4711 },
      { 'server.service.name': 'shop', 'server.address': '10.0.0.1', 'server.port': 4711 },
      { 'client.service.name': 'shop', 'client.address': '10.9.9.9' },
    ]);
  });

  it('hangs the half that the callee reports under the same id below that of the caller, and its work below it', async () => {
    const { spans } = await zipkin(
      span({ kind: 'CLIENT' }),
      span({ kind: 'SERVER', shared: true, localEndpoint: { serviceName: 'stock' } }),
      span({ id: '5', parentId: '2', name: 'query', localEndpoint: { serviceName: 'stock' } }),
      span({ id: '6', parentId: '2', name: 'log', localEndpoint: { serviceName: 'carts' } }),
    );
    const [client, server, query, log] = spans;
    expect(server?.parentSpanId).toBe(client?.spanId);
    expect(server?.spanId).not.toBe(client?.spanId);
    expect(query?.parentSpanId).toBe(server?.spanId);
    expect(log?.parentSpanId).toBe(client?.spanId);
  });

  it('gives every shared span an id, and knows no kind that is not one', async () => {
    const { spans } = await zipkin(span({ id: '5a'.repeat(8), shared: true, kind: 'constructor' }));
    expect(spans).toMatchObject([{ kind: 'internal', spanId: expect.stringMatching(/[1-9a-f]/) }]);
  });

  it('keeps the rest where spans make no sense, and refuses what is no list', async () => {
    expect((await zipkin(span(), span({ id: '' }), span({ traceId: 'x' }), span({ timestamp: undefined }))).spans).toHaveLength(1);
    const viewer = await startViewer();
    const answers = [
      await post(`${viewer.url}/api/v2/spans`, '{}'),
      await post(`${viewer.url}/api/v2/spans`, '[', 'application/json'),
      await post(`${viewer.url}/api/v2/spans`, '[]', PROTOBUF),
    ];
    expect(answers.map(({ status }) => status)).toEqual([400, 400, 415]);
    expect((await post(`${viewer.url}/api/v2/spans`, '[null, 7, {}]')).status).toBe(202);
  });
});
