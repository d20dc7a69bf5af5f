/** Starts a traced application with a GraphQL endpoint (Apollo or Mercurius, on Express or Fastify) and sends requests to it. */
import type { AddressInfo } from 'node:net';
import { type INestApplication, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ApolloDriver } from '@nestjs/apollo';
import { GraphQLModule, type GqlModuleOptions } from '@nestjs/graphql';
import { MercuriusDriver } from '@nestjs/mercurius';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { type Client, createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { type GraphqlOptions, TracingModule, type TracingOptions } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

export const servers = ['Apollo on Express', 'Apollo on Fastify', 'Mercurius on Fastify'] as const;
export type ServerName = (typeof servers)[number];

export interface Setup {
  readonly providers: NonNullable<Parameters<typeof Module>[0]['providers']>;
  readonly controllers?: NonNullable<Parameters<typeof Module>[0]['controllers']>;
  readonly graphql?: GraphqlOptions;
  readonly tracing?: TracingOptions;
  readonly options?: Record<string, unknown>;
}

interface Answer {
  readonly data?: Record<string, unknown> | null;
  readonly errors?: { readonly message: string }[];
}

export class GraphqlApplication {
  private constructor(
    readonly app: INestApplication,
    readonly recorder: TraceRecorder,
    readonly port: number,
  ) {}

  static async start(server: ServerName, setup: Setup): Promise<GraphqlApplication> {
    const recorder = new TraceRecorder();
    const isApollo = server.startsWith('Apollo');
    const options = {
      driver: isApollo ? ApolloDriver : MercuriusDriver,
      autoSchemaFile: true,
      ...(isApollo
        ? { subscriptions: { 'graphql-ws': true } }
        : { subscription: { fullWsTransport: true }, graphiql: false, allowBatchedQueries: true }),
      ...setup.options,
    };
    @Module({
      imports: [
        TracingModule.forRoot({
          serviceName: 'graphql',
          exporter: recorder,
          outbound: { fetch: false },
          graphql: setup.graphql,
          ...setup.tracing,
        }),
        GraphQLModule.forRootAsync({ driver: options.driver, useFactory: () => options as GqlModuleOptions }),
      ],
      providers: setup.providers,
      controllers: setup.controllers ?? [],
    })
    class AppModule {}
    const adapter = server.endsWith('Express') ? new ExpressAdapter() : new FastifyAdapter();
    const app = await NestFactory.create(AppModule, adapter, { logger: false, abortOnError: false, forceCloseConnections: true });
    await app.listen(0, '127.0.0.1');
    const { port } = app.getHttpServer().address() as AddressInfo;
    return new GraphqlApplication(app, recorder, port);
  }

  async send(
    query: string,
    rest: { operationName?: string; variables?: object } = {},
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    return (await this.post({ query, ...rest }, headers)) as Answer;
  }

  async post(body: unknown, headers: Record<string, string> = {}): Promise<unknown> {
    const response = await fetch(`http://127.0.0.1:${this.port}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', connection: 'close', ...headers },
      body: JSON.stringify(body),
    });
    return response.json();
  }

  /** Returns a client for the graphql-ws protocol. */
  socket(connectionParams?: Record<string, unknown>): Client {
    const url = `ws://127.0.0.1:${this.port}/graphql`;
    return createClient({ url, webSocketImpl: WebSocket, retryAttempts: 0, ...(connectionParams && { connectionParams }) });
  }

  close(): Promise<void> {
    return this.app.close();
  }
}
