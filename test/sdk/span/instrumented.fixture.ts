/**
 * A process with OpenTelemetry's instrumentations of seven libraries and one of two providers: the one of the SDK or ours. It uses each
 * library and prints the spans, without what differs from run to run.
 */
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { type Attributes, context, type Link, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { suppressTracing } from '@opentelemetry/core';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { AwsInstrumentation } from '@opentelemetry/instrumentation-aws-sdk';
import { GraphQLInstrumentation } from '@opentelemetry/instrumentation-graphql';
import { GrpcInstrumentation } from '@opentelemetry/instrumentation-grpc';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { KnexInstrumentation } from '@opentelemetry/instrumentation-knex';
import { SocketIoInstrumentation } from '@opentelemetry/instrumentation-socket.io';
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici';
import { InMemorySpanExporter, NodeTracerProvider, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { resolveOptions } from '../../../lib/options/resolved-options.js';
import { buildProvider } from '../../../lib/sdk/provider.js';

const exporter = new InMemorySpanExporter();
// Both read the limits from the environment.
const provider =
  process.argv[2] === 'sdk'
    ? new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
    : ((await buildProvider(resolveOptions({ exporter }))).provider as NodeTracerProvider);
provider.register();
registerInstrumentations({
  instrumentations: [
    new AwsInstrumentation(),
    new GraphQLInstrumentation({ allowValues: true }),
    new GrpcInstrumentation(),
    new HttpInstrumentation({ headersToSpanAttributes: { server: { requestHeaders: ['x-several'] } } }),
    new KnexInstrumentation({ maxQueryLength: 40 }),
    new SocketIoInstrumentation(),
    new UndiciInstrumentation(),
  ],
});

// The instrumentations wrap only what is loaded by `require`, after them.
const require = createRequire(import.meta.url);
const http = require('node:http') as typeof import('node:http');
const { ReceiveMessageCommand, SQSClient, SendMessageCommand } = require('@aws-sdk/client-sqs') as typeof import('@aws-sdk/client-sqs');
const { buildSchema, graphql } = require('graphql') as typeof import('graphql');
const grpc = require('@grpc/grpc-js') as typeof import('@grpc/grpc-js');
const { loadSync } = require('@grpc/proto-loader') as typeof import('@grpc/proto-loader');
const { knex } = require('knex') as typeof import('knex');
const { Server } = require('socket.io') as typeof import('socket.io');
const { io } = require('socket.io-client') as typeof import('socket.io-client');

/** SQS's answer to whoever sends or receives. */
const ANSWER = JSON.stringify({
  MessageId: 'm1',
  Messages: ['d', 'e'].map(digit => ({
    MessageId: digit,
    Body: 'one',
    MessageAttributes: { traceparent: { DataType: 'String', StringValue: `00-${digit.repeat(32)}-${digit.repeat(16)}-01` } },
  })),
});
const server = http.createServer((request, response) => {
  const { url = '' } = request;
  request.resume();
  request.once('end', () => {
    if (url.startsWith('/reset')) response.destroy();
    else if (url.startsWith('/broken')) response.writeHead(500).end('broken');
    else if (request.headers['x-amz-target'] !== undefined) response.setHeader('content-type', 'application/x-amz-json-1.0').end(ANSWER);
    else response.end('found');
  });
});
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

const called = (path: string, headers = {}) =>
  new Promise<void>(resolve => {
    const request = http.get(origin + path, { headers, agent: false }, response => {
      response.resume().once('close', resolve);
    });
    request.once('error', () => resolve());
  });
const quiet = (work: Promise<unknown>) => work.catch(() => undefined);

async function overHttp() {
  await called('/users?id=1&secret=2', { 'x-several': ['a', 'b'] });
  await called('/broken');
  await called('/reset');
  // Another service calls.
  await context.with(suppressTracing(ROOT_CONTEXT), async () => {
    await called('/sampled', { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: 'vendor=1' });
    await called('/not-sampled', { traceparent: `00-${'c'.repeat(32)}-${'b'.repeat(16)}-00` });
  });
}

async function overFetch() {
  await (await fetch(`${origin}/fetched?q=1`)).text();
  await (await fetch(`${origin}/broken`, { method: 'POST', body: 'text' })).text();
  await quiet(fetch(`${origin}/reset`));
}

async function inGraphql() {
  const schema = buildSchema('type Query { user(id: Int): User, fails: String } type User { name: String, tags: [String] }');
  const rootValue = {
    user: () => Promise.resolve({ name: 'Ada', tags: ['a', 'b'] }),
    fails: () => {
      throw new Error('told');
    },
  };
  for (const source of ['query One { user(id: 7) { name tags } }', '{ fails }', '{ unknown }', '{ not closed']) {
    await graphql({ schema, source, rootValue });
  }
}

async function overGrpc() {
  const { desk } = grpc.loadPackageDefinition(loadSync('test/sdk/span/instrumented.proto')) as unknown as { desk: { Desk: never } };
  const Desk = desk.Desk as unknown as import('@grpc/grpc-js').ServiceClientConstructor;
  const rpc = new grpc.Server();
  rpc.addService(Desk.service, {
    ask: ({ request }: { request: { text: string } }, answer: (error: object | null, reply?: object) => void) =>
      request.text === 'fail' ? answer({ code: grpc.status.NOT_FOUND, details: 'no such thing' }) : answer(null, { text: 'yes' }),
    list: (call: import('@grpc/grpc-js').ServerWritableStream<object, object>) => {
      call.write({ text: 'one' });
      call.end();
    },
  });
  const port = await new Promise<number>((resolve, reject) =>
    rpc.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))),
  );
  const client = new Desk(`127.0.0.1:${port}`, grpc.credentials.createInsecure()) as unknown as {
    ask(request: object, done: () => void): void;
    list(request: object): NodeJS.ReadableStream;
    close(): void;
  };
  for (const text of ['hello', 'fail']) await new Promise<void>(resolve => client.ask({ text }, resolve));
  await new Promise(resolve => client.list({ text: 'all' }).once('end', resolve).resume());
  client.close();
  await new Promise<void>(resolve => rpc.tryShutdown(() => resolve()));
}

async function toSqs() {
  const client = new SQSClient({
    endpoint: origin,
    region: 'eu-west-1',
    credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
    maxAttempts: 1,
    md5: false,
  });
  await client.send(new SendMessageCommand({ QueueUrl: `${origin}/1/orders`, MessageBody: 'one' }));
  await client.send(new ReceiveMessageCommand({ QueueUrl: `${origin}/1/orders` }));
  await quiet(client.send(new SendMessageCommand({ QueueUrl: `${origin}/broken/orders`, MessageBody: 'two' })));
  client.destroy();
}

async function inKnex() {
  const database = knex({ client: 'better-sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true });
  await database.schema.createTable('users', table => table.string('name'));
  await database('users').insert({ name: 'a name that is longer than the limit of the text' });
  await database('users').where({ name: 'Ada' });
  await quiet(database.raw('SELECT nothing FROM nowhere'));
  await database.destroy();
}

async function overSockets() {
  const sockets = new Server(server, { transports: ['websocket'] });
  const greeted = new Promise<void>(resolve =>
    sockets.on('connection', socket => {
      socket.on('greet', (_text: string, answer: () => void) => {
        socket.emit('greeted', { by: 'server' });
        answer();
        resolve();
      });
    }),
  );
  const client = io(origin, { transports: ['websocket'] });
  await new Promise<void>(resolve => client.emit('greet', 'hello', resolve));
  await greeted;
  client.disconnect();
  await sockets.close();
}

const tracer = trace.getTracer('scenario', '1.0');
for (const part of [overHttp, overFetch, inGraphql, overGrpc, toSqs, inKnex, overSockets]) {
  await tracer.startActiveSpan(part.name, async span => {
    await part();
    span.end();
  });
}
server.closeAllConnections();
await provider.forceFlush();

/** Ports, ids of sockets and the rest of a stack are different in each run. */
function stable(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(stable);
  if (typeof value !== 'string') return value;
  return value.split('\n    at ')[0]!.replace(/(127\.0\.0\.1|localhost):\d+/g, '$1:port');
}
const listed = (attributes: Attributes = {}) =>
  Object.entries(attributes).map(([key, value]) => [key, /port$|rooms$/.test(key) ? typeof value : stable(value)]);

const spans = exporter.getFinishedSpans();
const byId = new Map(spans.map(span => [span.spanContext().spanId, span]));
const linked = ({ context, attributes, droppedAttributesCount }: Link) => [
  byId.get(context.spanId)?.name ?? context.spanId,
  listed(attributes),
  droppedAttributesCount,
];
function printed(span: ReadableSpan): object {
  const { name, kind, status, ended, parentSpanContext, instrumentationScope, events, links, attributes } = span;
  const { droppedAttributesCount, droppedEventsCount, droppedLinksCount } = span;
  const { spanId, traceId, traceFlags, isRemote, traceState } = span.spanContext();
  return {
    name,
    kind,
    status: { ...status, message: stable(status.message) },
    ended,
    parent: parentSpanContext && [parentSpanContext.traceId === traceId, parentSpanContext.isRemote, parentSpanContext.traceFlags],
    context: [spanId.length, traceId.length, traceFlags, isRemote, traceState?.serialize()],
    scope: instrumentationScope,
    attributes: listed(attributes),
    events: events.map(event => [event.name, listed(event.attributes), event.droppedAttributesCount]),
    links: links.map(linked),
    dropped: [droppedAttributesCount, droppedEventsCount, droppedLinksCount],
    isTimed: span.duration[0] >= 0 && span.endTime.join() !== '0,0',
    below: sorted(spans.filter(({ parentSpanContext: above }) => above?.spanId === spanId).map(printed)),
  };
}
/** Server and client of a call may end in any order. */
function sorted(all: object[]): object[] {
  return all
    .map(one => [JSON.stringify(one), one] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, one]) => one);
}
const roots = spans.filter(({ parentSpanContext }) => !byId.has(parentSpanContext?.spanId ?? ''));
process.stdout.write(`${JSON.stringify(sorted(roots.map(printed)))}\n`, () => process.exit());
