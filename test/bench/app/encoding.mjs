/** Measures what it costs to encode spans as OTLP: by this library and by OpenTelemetry's encoders, in blocks that take turns. */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { AlwaysOnSampler, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { answer, tell } from './parent.mjs';

const built = file => import(new URL(`../../../dist/cjs/sdk/${file}.js`, import.meta.url).href);
const { encodeProtobuf } = await built('otlp/encode-protobuf');
const { encodeJson } = await built('otlp/encode-json');
const { LightTracerProvider } = await built('span/light-provider');
const { PooledIdGenerator } = await built('sampler');

const SPANS_PER_BATCH = 512;
const BATCHES_PER_BLOCK = 8;
const WARM_UP_BLOCKS = 15;

const RESOURCE = { 'service.name': 'shop', 'service.instance.id': 'a'.repeat(36), 'host.name': 'shop-1', 'process.pid': 4711 };
const LIMITS = {
  attributeCountLimit: 128,
  attributeValueLengthLimit: Infinity,
  eventCountLimit: 128,
  linkCountLimit: 128,
  attributePerEventCountLimit: 128,
  attributePerLinkCountLimit: 128,
};
/** The attributes of a statement, which all its spans share. */
const STATEMENT = {
  'db.system.name': 'postgresql',
  'db.namespace': 'shop',
  'db.operation.name': 'SELECT',
  'db.query.summary': 'SELECT users',
  'db.query.text': 'SELECT id, name, email FROM users WHERE id = $1',
  'server.address': 'localhost',
  'server.port': 5432,
};
const USER_AGENT = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36';

let ended = [];
const processor = { onStart() {}, onEnd: span => void ended.push(span), forceFlush: async () => {}, shutdown: async () => {} };
const shared = { resource: resourceFromAttributes(RESOURCE), sampler: new AlwaysOnSampler(), idGenerator: new PooledIdGenerator() };
const tracers = {
  ours: new LightTracerProvider({ ...shared, limits: LIMITS, recordsRoots: true, recordsChildren: true, processors: [processor] }),
  sdk: new NodeTracerProvider({ ...shared, spanLimits: LIMITS, spanProcessors: [processor] }),
};
const blocks = {
  protobuf: ['ours', encodeProtobuf],
  protobufByOtel: ['ours', ProtobufTraceSerializer.serializeRequest],
  protobufOfSdk: ['sdk', ProtobufTraceSerializer.serializeRequest],
  json: ['ours', encodeJson],
  jsonByOtel: ['ours', JsonTraceSerializer.serializeRequest],
  jsonOfSdk: ['sdk', JsonTraceSerializer.serializeRequest],
};

measure(WARM_UP_BLOCKS);
answer({ measure: async ({ rounds }) => ({ us: measure(rounds) }) });
tell({});

/** One list of µs per span and way; a round visits all ways, each time from another one on. */
function measure(rounds) {
  const names = Object.keys(blocks);
  const us = Object.fromEntries(names.map(name => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length];
      const [whose, encode] = blocks[name];
      // Spans are encoded once: reading them may make something of them that stays.
      const batches = Array.from({ length: BATCHES_PER_BLOCK }, () => batchOf(tracers[whose].getTracer('nestjs-tracing', '1.0.0')));
      const start = process.cpuUsage();
      for (const batch of batches) encode(batch);
      const { user, system } = process.cpuUsage(start);
      us[name].push((user + system) / (BATCHES_PER_BLOCK * SPANS_PER_BATCH));
    }
  }
  return us;
}

function batchOf(tracer) {
  ended = [];
  while (ended.length < SPANS_PER_BATCH) request(tracer, ended.length);
  return ended.slice(0, SPANS_PER_BATCH);
}

/** A request, its statement and a method; one request in fifty fails. */
function request(tracer, number) {
  const ids = { traceId: shared.idGenerator.generateTraceId(), spanId: shared.idGenerator.generateSpanId() };
  const caller = trace.setSpanContext(ROOT_CONTEXT, { ...ids, traceFlags: 1, isRemote: true });
  const server = tracer.startSpan('GET', { kind: SpanKind.SERVER, attributes: arrival(number), areAttributesFinal: true }, caller);
  const within = trace.setSpan(ROOT_CONTEXT, server);
  server.updateName('GET /users/:id').setAttribute('http.route', '/users/:id');
  server.setAttribute('code.function.name', 'UsersController.findOne');
  tracer.startSpan('SELECT users', { kind: SpanKind.CLIENT, attributes: STATEMENT, areAttributesFinal: true }, within).end();
  tracer.startSpan('UsersService.findOne', { attributes: { 'code.function.name': 'UsersService.findOne' } }, within).end();
  server.setAttribute('http.response.status_code', 200);
  if (number % 150 === 0) {
    server.recordException(new Error('no such user'));
    server.setStatus({ code: SpanStatusCode.ERROR });
  }
  server.end();
}

function arrival(number) {
  return {
    'http.request.method': 'GET',
    'url.path': `/users/${number}`,
    'url.scheme': 'http',
    'server.address': 'localhost',
    'server.port': 3000,
    'client.address': '127.0.0.1',
    'network.peer.address': '127.0.0.1',
    'network.peer.port': 40_000 + number,
    'network.protocol.version': '1.1',
    'user_agent.original': USER_AGENT,
  };
}
