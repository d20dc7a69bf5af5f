import type { AddressInfo } from 'node:net';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Inject, Injectable, Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  AbstractGraphQLDriver,
  Field,
  type GqlModuleOptions,
  GraphQLModule,
  Int,
  ObjectType,
  Query,
  Resolver,
  Subscription,
} from '@nestjs/graphql';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { GraphQLSchema } from 'graphql';
import { createYoga, type Plugin } from 'graphql-yoga';
import { Span, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

interface Options extends GqlModuleOptions {
  readonly plugins?: readonly Plugin[];
}

/** A driver like that of @graphql-yoga/nestjs, which does not support Nest 12 yet. It has the same members and uses Yoga. */
class YogaDriver extends AbstractGraphQLDriver<Options> {
  start(options: Options): Promise<void> {
    if (this.httpAdapterHost.httpAdapter.getType() === 'express') this.registerExpress(options);
    else this.registerFastify(options);
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  protected registerExpress(options: Options): void {
    const yoga = this.yogaOf(options);
    const app = this.httpAdapterHost.httpAdapter.getInstance<{ use(path: string, handle: unknown): void }>();
    app.use(yoga.graphqlEndpoint, (req: IncomingMessage, res: ServerResponse) => yoga(req, res, {}));
  }

  protected registerFastify(options: Options): void {
    const yoga = this.yogaOf(options);
    const app = this.httpAdapterHost.httpAdapter.getInstance<{ all(path: string, handle: unknown): void }>();
    app.all(yoga.graphqlEndpoint, (req: { raw: IncomingMessage }, reply: { hijack(): void; raw: ServerResponse }) => {
      reply.hijack();
      return yoga(Object.assign(req.raw, { body: (req as { body?: unknown }).body }), reply.raw, {});
    });
  }

  protected mergeConditionalSchema(schema: GraphQLSchema | undefined): GraphQLSchema | undefined {
    return schema;
  }

  private yogaOf({ schema, path = '/graphql', plugins = [] }: Options) {
    return createYoga({
      schema: this.mergeConditionalSchema(schema),
      graphqlEndpoint: path,
      plugins: [...plugins],
      logging: false,
      maskedErrors: false,
      batching: true,
    });
  }
}

/** An unknown driver that only starts a schema. */
class OtherDriver extends YogaDriver {
  static readonly seen: unknown[] = [];
  protected override mergeConditionalSchema = undefined as never;

  override start(options: Options): Promise<void> {
    OtherDriver.seen.push(options.plugins);
    return Promise.resolve();
  }
}

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
    const { service } = this;
    return (async function* () {
      for (const n of [1, 2]) {
        await Promise.resolve();
        service.load();
        yield { ticks: { n } };
      }
    })();
  }
}

describe.each(['Express', 'Fastify'] as const)('GraphQL Yoga on %s', adapter => {
  const recorder = new TraceRecorder();
  const warnings: unknown[] = [];

  async function start(driver: typeof YogaDriver) {
    @Module({
      imports: [
        TracingModule.forRoot({ serviceName: 'yoga', exporter: recorder, outbound: { fetch: false } }),
        GraphQLModule.forRoot<Options>({ driver, autoSchemaFile: true, path: '/graphql' }),
      ],
      providers: [TicksResolver, Service],
    })
    class AppModule {}
    const server = adapter === 'Express' ? new ExpressAdapter() : new FastifyAdapter();
    Logger.overrideLogger({ log() {}, error() {}, warn: (...said: unknown[]) => void warnings.push(said) });
    const app = await NestFactory.create(AppModule, server, { abortOnError: false, forceCloseConnections: true, logger: ['warn'] });
    await app.listen(0, '127.0.0.1');
    return { app, url: `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}/graphql` };
  }

  let url: string;
  let close: () => Promise<void>;
  beforeAll(async () => {
    const { app, url: own } = await start(YogaDriver);
    url = own;
    close = () => app.close();
  });
  afterAll(() => close());
  beforeEach(() => recorder.clear());

  async function ask(body: unknown, accept = 'application/json'): Promise<string> {
    const headers = { 'content-type': 'application/json', connection: 'close', accept };
    return (await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })).text();
  }

  it('has its operations in the names of requests, and what resolvers do below', async () => {
    expect(JSON.parse(await ask({ query: 'query One { one }' }))).toEqual({ data: { one: 1 } });
    const span = await recorder.waitForSpan('query One');
    expect(span.kind).toBe(SpanKind.SERVER);
    expect(span.attributes).toMatchObject({
      'http.route': '/graphql',
      'graphql.operation.type': 'query',
      'code.function.name': 'TicksResolver.one',
    });
    expect(recorder.parentOf(recorder.find('Service.load')!)).toBe(span);
  });

  it('fails the request where an answer with status 200 tells of an error, and leaves what is not valid to the status', async () => {
    await ask({ query: 'query Bad { fails }' });
    const span = await recorder.waitForSpan('query Bad');
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'out of range' });
    await ask({ query: 'query Nothing { nothing }' });
    expect((await recorder.waitForSpan('POST /graphql')).status.code).toBe(SpanStatusCode.UNSET);
  });

  it('has no name of one of several operations', async () => {
    await ask([{ query: 'query A { one }' }, { query: 'query B { one }' }]);
    const span = await recorder.waitForSpan('GraphQL Operations');
    expect(span.attributes).not.toHaveProperty('graphql.operation.name');
  });

  it('has a span for each event that a subscription sends, with what is done for it', async () => {
    expect(await ask({ query: 'subscription Ticks { ticks { n } }' }, 'text/event-stream')).toContain('{"ticks":{"n":2}}');
    const operation = await recorder.waitForSpan('subscription Ticks');
    await recorder.waitForSpans(spans => spans.filter(({ name }) => name === 'event subscription Ticks').length === 2);
    const loads = recorder.spans.filter(({ name }) => name === 'Service.load');
    expect(loads.map(load => recorder.parentOf(load)?.name)).toEqual(Array(2).fill('event subscription Ticks'));
    expect(recorder.find('event subscription Ticks')?.links[0]?.context.spanId).toBe(operation.spanContext().spanId);
  });

  it('is not what other drivers are taken for: their options stay as they are, without a warning', async () => {
    const { app } = await start(OtherDriver);
    await app.close();
    expect(OtherDriver.seen.pop()).toBeUndefined();
    expect(warnings).toEqual([]);
  });
});
