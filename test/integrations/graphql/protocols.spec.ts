import type { AddressInfo } from 'node:net';
import { Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ApolloDriver } from '@nestjs/apollo';
import { Field, GraphQLModule, Int, ObjectType, Query, Resolver, Subscription, type GqlModuleOptions } from '@nestjs/graphql';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { WebSocket } from 'ws';
import { Span, TracingModule, type TracingOptions } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const traceparent = `00-${TRACE}-b7ad6b7169203331-01`;

@ObjectType()
class Tick {
  @Field(() => Int) n!: number;
}

@Injectable()
class Service {
  @Span() load() {
    return 1;
  }
}

@Resolver(() => Tick)
class TicksResolver {
  constructor(@Inject(Service) readonly service: Service) {}

  @Query(() => Int) one() {
    return this.service.load();
  }

  @Query(() => Int) fails(): number {
    throw new RangeError('out of range');
  }

  @Subscription(() => Tick) ticks() {
    this.service.load();

    return (async function* () {
      yield { ticks: { n: 1 } };
      yield { ticks: { n: 2 } };
    })();
  }
}

/** The two protocols by their subprotocol names, which differ from the package names. Each has its own message names. */
const protocols = {
  'graphql-transport-ws': { start: 'subscribe', data: 'next' },
  'graphql-ws': { start: 'start', data: 'data' },
} as const;
type Protocol = keyof typeof protocols;

/** After so many pings without a message, the client gives up. */
const SILENCE = 50;

async function start(adapter: 'Express' | 'Fastify', options: object, tracing: TracingOptions | undefined) {
  @Module({
    imports: [
      ...(tracing === undefined ? [] : [TracingModule.forRoot({ serviceName: 'graphql', ...tracing })]),
      GraphQLModule.forRoot({ driver: ApolloDriver, autoSchemaFile: true, ...options } as GqlModuleOptions),
    ],
    providers: [TicksResolver, Service],
  })
  class AppModule {}
  const server = adapter === 'Express' ? new ExpressAdapter() : new FastifyAdapter();
  const app = await NestFactory.create(AppModule, server, { logger: false, abortOnError: false, forceCloseConnections: true });
  await app.listen(0, '127.0.0.1');
  return { app, port: (app.getHttpServer().address() as AddressInfo).port };
}

/** Speaks a protocol by hand and returns the payloads, or how the server refused the client. */
function ask(port: number, protocol: Protocol, query: string, params: object = {}): Promise<unknown[]> {
  const { start: begin, data } = protocols[protocol];
  return new Promise(resolve => {
    const received: unknown[] = [];
    const socket = new WebSocket(`ws://127.0.0.1:${port}/graphql`, protocol);
    const send = (message: object) => socket.send(JSON.stringify(message));
    const end = (how: unknown) => {
      resolve([...received, how]);
      socket.terminate();
    };
    socket.on('open', () => {
      send({ type: 'connection_init', payload: params });
      socket.ping();
    });
    socket.on('error', error => end(error.message));
    socket.on('close', code => end(code));
    // If the server does not support the protocol, it still accepts the handshake but sends nothing.
    let pongs = 0;
    socket.on('pong', () => (received.length === 0 && ++pongs === SILENCE ? end('silence') : pongs < SILENCE && socket.ping()));
    socket.on('message', (frame: Buffer) => {
      const { type, payload } = JSON.parse(frame.toString()) as { type: string; payload?: unknown };
      pongs = SILENCE;
      if (type === 'connection_ack') send({ id: '1', type: begin, payload: { query } });
      else if (type === data || type === 'error') received.push(payload);
      if (type === 'complete' || type === 'error') end(type);
    });
  });
}

const choices = [
  { installSubscriptionHandlers: true },
  { subscriptions: { 'graphql-ws': true } },
  { subscriptions: { 'subscriptions-transport-ws': true } },
  { installSubscriptionHandlers: true, subscriptions: { 'graphql-ws': {}, 'subscriptions-transport-ws': {} } },
].map(options => [JSON.stringify(options), options] as const);

/** Returns the answers to a query and a subscription, for clients of both protocols. */
async function answers(options: object, tracing: TracingOptions | undefined): Promise<unknown> {
  const { app, port } = await start('Express', options, tracing);
  const all: unknown[] = [];
  for (const protocol of Object.keys(protocols) as Protocol[]) {
    for (const query of ['{ one }', '{ fails }', '{ none }', 'subscription { ticks { n } }']) {
      const [first, ...rest] = await ask(port, protocol, query);
      all.push(protocol, query, withoutStack(first), ...rest);
    }
  }
  await app.close();
  return all;
}

/** Removes stacks, because they depend on the caller. */
function withoutStack(payload: unknown): unknown {
  return JSON.parse(JSON.stringify(payload ?? null, (key, value: unknown) => (key === 'stacktrace' ? undefined : value)));
}

describe.each(choices)('the sockets of Apollo with %s', (_, options) => {
  it.each([
    ['traced', { exporter: new TraceRecorder() }],
    ['without exporter', { exporter: 'none' }],
    ['not enabled', { enabled: false }],
  ] as const)('speak the same protocols where the application is %s', async (__, tracing) => {
    expect(await answers(options, tracing)).toEqual(await answers(options, undefined));
  });
});

describe.each(['Express', 'Fastify'] as const)('the sockets that Apollo on %s sets up by itself', adapter => {
  const recorder = new TraceRecorder();
  let port: number;
  let protocol: Protocol;
  let close: () => Promise<void>;
  beforeAll(async () => {
    const { app, port: own } = await start(adapter, { installSubscriptionHandlers: true }, { exporter: recorder });
    port = own;
    close = () => app.close();
    // Nest 11 uses subscriptions-transport-ws, Nest 12 uses graphql-ws.
    const [answer] = await ask(port, 'graphql-ws', '{ __typename }');
    protocol = typeof answer === 'object' ? 'graphql-ws' : 'graphql-transport-ws';
  });
  afterAll(() => close());
  beforeEach(() => recorder.clear());

  it('have a span for a query, in the trace of its sender', async () => {
    expect(await ask(port, protocol, 'query One { one }', { traceparent })).toEqual([{ data: { one: 1 } }, 'complete']);
    const span = await recorder.waitForSpan('query One');
    expect(span.kind).toBe(SpanKind.SERVER);
    expect(span.parentSpanContext?.spanId).toBe('b7ad6b7169203331');
    expect(span.attributes).toMatchObject({ 'graphql.operation.type': 'query', 'code.function.name': 'TicksResolver.one' });
    expect(recorder.parentOf(recorder.find('Service.load')!)).toBe(span);
  });

  it('have a span that fails with what was thrown', async () => {
    await ask(port, protocol, 'query Bad { fails }');
    const span = await recorder.waitForSpan('query Bad');
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'out of range' });
    expect(span.events).toHaveLength(1);
  });

  it('have a span for a subscription, in the trace of its sender', async () => {
    expect(await ask(port, protocol, 'subscription Ticks { ticks { n } }', { traceparent })).toHaveLength(3);
    const span = await recorder.waitForSpan('subscription Ticks');
    expect(span.kind).toBe(SpanKind.SERVER);
    expect(span.parentSpanContext?.spanId).toBe('b7ad6b7169203331');
    expect(recorder.parentOf(recorder.find('Service.load')!)).toBe(span);
    await recorder.waitForSpans(spans => spans.filter(({ name }) => name === 'event subscription Ticks').length === 2);
  });
});
