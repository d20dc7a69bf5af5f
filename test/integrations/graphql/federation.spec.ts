import type { AddressInfo } from 'node:net';
import { ApolloServerPluginInlineTraceDisabled } from '@apollo/server/plugin/disabled';
import { type INestApplication, Logger, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ApolloFederationDriver, ApolloGatewayDriver } from '@nestjs/apollo';
import { Args, GraphQLModule, type GqlModuleOptions, Query, ResolveField, ResolveReference, Resolver } from '@nestjs/graphql';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { TracingModule, type TracingOptions } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

// Without this variable, the gateway reports telemetry to Apollo.
process.env['APOLLO_TELEMETRY_DISABLED'] = 'true';
const { IntrospectAndCompose, RemoteGraphQLDataSource } = await import('@apollo/gateway');

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const traceparent = `00-${TRACE}-b7ad6b7169203331-01`;

const USERS = `
  type User @key(fields: "id") { id: ID! name: String! }
  type Query { user(id: ID!): User! }
`;

@Resolver('User')
class UsersResolver {
  @Query() user(@Args('id') id: string) {
    if (id === 'bad') throw new RangeError('no such user');
    return { id, name: 'Ann' };
  }
}

const POSTS = `
  type Post { title: String! }
  type User @key(fields: "id") { id: ID! posts: [Post!]! }
  type Query { newest: Post! }
`;

@Resolver('User')
class PostsResolver {
  @Query() newest() {
    return { title: 'new' };
  }

  @ResolveReference() resolveReference({ id }: { id: string }) {
    return { id };
  }

  @ResolveField() posts() {
    return [{ title: 'one' }];
  }
}

type Adapter = 'Express' | 'Fastify';

async function start(adapter: Adapter, imports: NonNullable<Parameters<typeof Module>[0]['imports']>, providers: Type[] = []) {
  @Module({ imports, providers })
  class AppModule {}
  const server = adapter === 'Express' ? new ExpressAdapter() : new FastifyAdapter();
  const app = await NestFactory.create(AppModule, server, { logger: ['warn'], abortOnError: false, forceCloseConnections: true });
  await app.listen(0, '127.0.0.1');
  return { app, url: `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}/graphql` };
}

const recorder = new TraceRecorder();
const tracing = (serviceName: string, options: TracingOptions = {}) =>
  TracingModule.forRoot({ serviceName, exporter: recorder, outbound: { fetch: false }, ...options });

function subgraph(adapter: Adapter, name: string, resolver: Type, sdl: string) {
  const link = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])';
  const options = {
    driver: ApolloFederationDriver,
    typeDefs: [link + sdl],
    plugins: [ApolloServerPluginInlineTraceDisabled()],
  } as GqlModuleOptions;
  return start(adapter, [tracing(name), GraphQLModule.forRoot(options)], [resolver]);
}

describe.each(['Express', 'Fastify'] as const)('a gateway of Apollo Federation on %s', adapter => {
  const apps: INestApplication[] = [];
  const warnings: string[] = [];
  let subgraphs: { name: string; url: string }[];
  let url: string;

  beforeAll(async () => {
    Logger.overrideLogger({ log() {}, error() {}, warn: (message: string) => void warnings.push(message) });
    const users = await subgraph(adapter, 'users', UsersResolver, USERS);
    const posts = await subgraph(adapter, 'posts', PostsResolver, POSTS);
    subgraphs = [
      { name: 'users', url: users.url },
      { name: 'posts', url: posts.url },
    ];
    apps.push(users.app, posts.app);
    url = await gateway();
  });
  afterAll(async () => {
    for (const app of apps.splice(0).reverse()) await app.close();
    Logger.overrideLogger(false);
  });
  beforeEach(() => recorder.clear());

  /** Starts a gateway and returns its URL. */
  async function gateway(options: object = {}, own: TracingOptions = {}): Promise<string> {
    const supergraphSdl = new IntrospectAndCompose({ subgraphs });
    const graphql = { driver: ApolloGatewayDriver, gateway: { supergraphSdl, ...options } } as GqlModuleOptions;
    const started = await start(adapter, [tracing('gateway', own), GraphQLModule.forRoot(graphql)]);
    apps.push(started.app);
    return started.url;
  }

  async function ask(query: string, headers: object = {}, at = url): Promise<{ data?: unknown; errors?: { message: string }[] }> {
    const body = JSON.stringify({ query });
    const response = await fetch(at, {
      method: 'POST',
      headers: { 'content-type': 'application/json', connection: 'close', ...headers },
      body,
    });
    expect(response.status).toBe(200);
    return (await response.json()) as object;
  }

  /** Returns this library's spans of one kind. */
  const ofKind = (kind: SpanKind) => recorder.spans.filter(span => span.kind === kind);
  const serversOf = (trace: string) => ofKind(SpanKind.SERVER).filter(span => span.spanContext().traceId === trace);

  it('starts without a warning', () => {
    expect(warnings).toEqual([]);
  });

  it('is one trace with its subgraphs, below a span for each call', async () => {
    expect(await ask('query Page { user(id: "1") { name posts { title } } }', { traceparent })).toEqual({
      data: { user: { name: 'Ann', posts: [{ title: 'one' }] } },
    });
    const span = await recorder.waitForSpan('query Page');
    expect(span.attributes).toMatchObject({
      'http.route': '/graphql',
      'graphql.operation.type': 'query',
      'graphql.operation.name': 'Page',
    });
    expect(span.status.code).toBe(SpanStatusCode.UNSET);
    await recorder.waitForSpans(() => ofKind(SpanKind.CLIENT).length === 2 && serversOf(TRACE).length === 3);
    const calls = ofKind(SpanKind.CLIENT);
    expect(calls.map(call => call.attributes['url.full']).sort()).toEqual(subgraphs.map(({ url: to }) => to).sort());
    for (const call of calls) {
      expect(call.name).toBe('POST');
      expect(call.attributes).toMatchObject({ 'http.request.method': 'POST', 'http.response.status_code': 200 });
      // The gateway creates more spans between these two, with the first provider of the process.
      expect(call.spanContext().traceId).toBe(TRACE);
    }
    const served = serversOf(TRACE).filter(other => other !== span);
    expect(served.map(other => other.name).sort()).toEqual(['query Page__posts__1', 'query Page__users__0']);
    for (const other of served) expect(calls).toContain(recorder.parentOf(other));
  });

  it('fails its span where an answer with status 200 tells of an error', async () => {
    expect((await ask('query Bad { user(id: "bad") { name } }')).errors?.[0]?.message).toBe('no such user');
    const span = await recorder.waitForSpan('query Bad');
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'no such user' });
    const failed = await recorder.waitForSpan('query Bad__users__0');
    expect(failed.status).toEqual({ code: SpanStatusCode.ERROR, message: 'no such user' });
  });

  it('traces the data sources that an application makes itself, whatever they set', async () => {
    const seen: string[] = [];
    class Source extends RemoteGraphQLDataSource {
      override willSendRequest({ request }: Parameters<NonNullable<InstanceType<typeof RemoteGraphQLDataSource>['willSendRequest']>>[0]) {
        request.http?.headers.set('x-user', 'ann');
        seen.push('called');
      }
    }
    const at = await gateway({ buildService: ({ url: to }: { url?: string }) => new Source({ url: to! }) });
    seen.length = 0;
    await ask('query Own { newest { title } }', { traceparent }, at);
    const served = await recorder.waitForSpan('query Own__posts__0');
    expect(recorder.parentOf(served)?.kind).toBe(SpanKind.CLIENT);
    expect(seen).toEqual(['called']);
  });

  it('tells an application what it has planned, as without', async () => {
    const planned: string[][] = [];
    const told = ({ serviceMap }: { serviceMap: object }) => void planned.push(Object.keys(serviceMap));
    const at = await gateway({ experimental_didResolveQueryPlan: told });
    await ask('query Told { newest { title } }', {}, at);
    expect(planned).toEqual([['users', 'posts']]);
  });

  it('passes the context of a caller on where it is not traced', async () => {
    const at = await gateway({}, { enabled: false });
    await ask('query Past { newest { title } }', { traceparent }, at);
    const served = await recorder.waitForSpan('query Past__posts__0');
    expect(served.parentSpanContext?.spanId).toBe('b7ad6b7169203331');
  });

  it('asks for schemas outside of every trace, however often', async () => {
    const supergraphSdl = new IntrospectAndCompose({ subgraphs, pollIntervalInMs: 10 });
    const at = await gateway({ supergraphSdl });
    await ask('query First { newest { title } }', { traceparent }, at);
    await recorder.waitForSpan('query First');
    recorder.clear();
    await recorder.waitForSpans(spans => spans.filter(({ name }) => name === 'query __ApolloGetServiceDefinition__').length >= 4);
    for (const poll of ofKind(SpanKind.SERVER)) expect(poll.parentSpanContext).toBeUndefined();
    expect(ofKind(SpanKind.CLIENT)).toEqual([]);
    await apps.pop()?.close();
  });
});
