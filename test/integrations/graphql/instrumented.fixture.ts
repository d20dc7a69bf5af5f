/** A process with OpenTelemetry's instrumentations of graphql and socket.io. It prints the spans. */
import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { Field, GraphQLModule, ObjectType, Query, Resolver, Subscription } from '@nestjs/graphql';
import { MercuriusDriver, type MercuriusDriverConfig } from '@nestjs/mercurius';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { createClient } from 'graphql-ws';
import { io } from 'socket.io-client';
import { WebSocket } from 'ws';
import { Span } from '../../../lib/api/span.decorator.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { TracingModule } from '../../../lib/tracing.module.js';

class Service {
  @Span() work() {
    return 'done';
  }
}
const service = new Service();

@ObjectType()
class User {
  @Field(() => String) name!: string;
}

@Resolver(() => User)
class UsersResolver {
  @Query(() => User) user() {
    return { name: service.work() };
  }

  @Subscription(() => User) users() {
    service.work();
    return (async function* () {
      await Promise.resolve();
      yield { users: { name: service.work() } };
    })();
  }
}

@WebSocketGateway()
class Gateway {
  @SubscribeMessage('greet') greet() {
    return service.work();
  }
}

const server = process.argv.at(-1);
const isMercurius = server?.startsWith('mercurius') === true;
// With sockets of both mercurius and socket.io, the application never closes, with or without tracing.
const hasGateway = server !== 'mercurius over sockets';
const hasSockets = server !== 'mercurius';
const recorder = new TraceRecorder();

@Module({
  imports: [
    TracingModule.forRoot({
      serviceName: 'instrumented',
      exporter: recorder,
      outbound: { fetch: false },
      graphql: { operations: true, resolvers: true, fields: true },
    }),
    isMercurius
      ? GraphQLModule.forRoot<MercuriusDriverConfig>({
          driver: MercuriusDriver,
          autoSchemaFile: true,
          graphiql: false,
          ...(hasSockets && { subscription: { fullWsTransport: true } }),
        })
      : GraphQLModule.forRoot<ApolloDriverConfig>({ driver: ApolloDriver, autoSchemaFile: true, subscriptions: { 'graphql-ws': true } }),
  ],
  providers: [UsersResolver, ...(hasGateway ? [Gateway] : [])],
})
class AppModule {}

const app = await NestFactory.create(AppModule, isMercurius ? new FastifyAdapter({ forceCloseConnections: true }) : new ExpressAdapter(), {
  logger: false,
});
await app.listen(0, '127.0.0.1');
const { port } = app.getHttpServer().address() as AddressInfo;
await fetch(`http://127.0.0.1:${port}/graphql`, {
  method: 'POST',
  headers: { 'content-type': 'application/json', connection: 'close' },
  body: JSON.stringify({ query: 'query One { user { name } }' }),
}).then(response => response.text());
const sender = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' };
const client = createClient({
  connectionParams: sender,
  url: `ws://127.0.0.1:${port}/graphql`,
  webSocketImpl: WebSocket,
  retryAttempts: 0,
});
const queries = !hasSockets ? [] : ['query Two { user { name } }', 'subscription Users { users { name } }'];
for (const query of queries) {
  await new Promise<void>((complete, error) => void client.subscribe({ query }, { next: () => undefined, complete, error }));
}
await client.dispose();
if (hasGateway) {
  const socket = io(`http://127.0.0.1:${port}`, { transports: ['websocket'], reconnection: false });
  await new Promise<void>(resolve => void socket.once('connect', resolve));
  await socket.emitWithAck('greet', {});
  socket.disconnect();
}
await app.close();
const makerOf = (span: object | undefined) => {
  const { instrumentationScope } = (span ?? {}) as { instrumentationScope?: { name: string } };
  return instrumentationScope?.name.replace('@opentelemetry/instrumentation-', '');
};
const spans = recorder.spans.map(span => {
  const parent = recorder.parentOf(span);
  const { traceId } = span.spanContext();
  return { name: span.name, by: makerOf(span), traceId, parent: parent && `${parent.name} by ${makerOf(parent)}` };
});
console.log(JSON.stringify(spans));
process.exit(0);
