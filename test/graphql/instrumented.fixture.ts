/** A process in which OpenTelemetry's instrumentations of graphql and socket.io are at work; prints which spans there are. */
import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { Field, GraphQLModule, ObjectType, Query, Resolver } from '@nestjs/graphql';
import { MercuriusDriver, type MercuriusDriverConfig } from '@nestjs/mercurius';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { io } from 'socket.io-client';
import { Span } from '../../lib/local/span.decorator.js';
import { TraceRecorder } from '../../lib/testing/index.js';
import { TracingModule } from '../../lib/tracing.module.js';

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
}

@WebSocketGateway()
class Gateway {
  @SubscribeMessage('greet') greet() {
    return service.work();
  }
}

const server = process.argv.at(-1);
const recorder = new TraceRecorder();

@Module({
  imports: [
    TracingModule.forRoot({
      serviceName: 'instrumented',
      exporter: recorder,
      outbound: { fetch: false },
      graphql: { operations: true, resolvers: true, fields: true },
    }),
    server === 'mercurius'
      ? GraphQLModule.forRoot<MercuriusDriverConfig>({ driver: MercuriusDriver, autoSchemaFile: true, graphiql: false })
      : GraphQLModule.forRoot<ApolloDriverConfig>({ driver: ApolloDriver, autoSchemaFile: true }),
  ],
  providers: [UsersResolver, Gateway],
})
class AppModule {}

const app = await NestFactory.create(AppModule, server === 'mercurius' ? new FastifyAdapter() : new ExpressAdapter(), { logger: false });
await app.listen(0, '127.0.0.1');
const { port } = app.getHttpServer().address() as AddressInfo;
await fetch(`http://127.0.0.1:${port}/graphql`, {
  method: 'POST',
  headers: { 'content-type': 'application/json', connection: 'close' },
  body: JSON.stringify({ query: 'query One { user { name } }' }),
}).then(response => response.text());
const socket = io(`http://127.0.0.1:${port}`, { transports: ['websocket'], reconnection: false });
await new Promise<void>(resolve => void socket.once('connect', resolve));
await socket.emitWithAck('greet', {});
socket.disconnect();
await app.close();
const makerOf = (span: object | undefined) => {
  const { instrumentationScope } = (span ?? {}) as { instrumentationScope?: { name: string } };
  return instrumentationScope?.name.replace('@opentelemetry/instrumentation-', '');
};
const spans = recorder.spans.map(span => {
  const parent = recorder.parentOf(span);
  return { name: span.name, by: makerOf(span), parent: parent && `${parent.name} by ${makerOf(parent)}` };
});
console.log(JSON.stringify(spans));
process.exit(0);
