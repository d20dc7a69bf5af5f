/** The package graphql 17 in an application without a GraphQL driver. */
import { json } from 'node:stream/consumers';
import type { AddressInfo } from 'node:net';
import { Controller, type INestApplication, Module, Post, Body } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { SpanKind } from '@opentelemetry/api';
import { buildSchema, execute, type ExecutionArgs, parse } from 'graphql-17';
import { type GraphqlOptions, Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

const schema = buildSchema('type Query { slow: Int, broken: Int, quick: Int }');

interface Asked {
  readonly query: string;
}

@Controller()
class GraphqlController {
  @Post('handled')
  handled(@Body() { query }: Asked) {
    return execute({ schema, document: parse(query), rootValue: { quick: 1 } });
  }
}

describe('an operation that graphql 17 executes without a driver', () => {
  let app: INestApplication;
  let recorder: TraceRecorder;
  let port: number;

  const start = async (graphql: GraphqlOptions) => {
    recorder = new TraceRecorder();
    @Module({ imports: [TracingModule.forRoot({ exporter: recorder, graphql })], controllers: [GraphqlController] })
    class AppModule {}
    app = await NestFactory.create(AppModule, { logger: false });
    const tracer = app.get(Tracer);
    const rootValue = {
      slow: () => tracer.span('load', () => new Promise(resolve => setTimeout(() => resolve(7), 5))),
      broken: () => Promise.reject(new RangeError('nothing there')),
      quick: 1,
    };
    app.use('/graphql', async (request: never, response: { end(text: string): void }) => {
      const { query } = (await json(request)) as Asked;
      const args: ExecutionArgs = { schema, document: parse(query), rootValue };
      response.end(JSON.stringify(await execute(args)));
    });
    await app.listen(0);
    ({ port } = (app.getHttpServer() as { address(): AddressInfo }).address());
  };
  const ask = async (query: string, path = 'graphql') => {
    const body = JSON.stringify({ query });
    const response = await fetch(`http://127.0.0.1:${port}/${path}`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    });
    return response.json();
  };
  const ofKind = (kind: SpanKind, name?: string) =>
    recorder.spans.find(span => span.kind === kind && (name === undefined || span.name === name));
  afterEach(() => app.close());

  it('names the server span', async () => {
    await start({});
    expect(await ask('query Slow { slow }')).toEqual({ data: { slow: 7 } });
    await recorder.waitForTrace();
    const server = ofKind(SpanKind.SERVER);
    expect(server?.name).toBe('query Slow');
    expect(server?.attributes['graphql.operation.type']).toBe('query');
    expect(recorder.parentOf(recorder.find('load')!)).toBe(server);
  });

  it('has a span of its own if the user asks for it, in which its resolvers run and which fails with them', async () => {
    await start({ operations: true });
    await ask('query Slow { slow }');
    await recorder.waitForTrace();
    const operation = ofKind(SpanKind.INTERNAL, 'query Slow');
    expect(recorder.parentOf(recorder.find('load')!)).toBe(operation);
    recorder.clear();
    await ask('{ broken }');
    await recorder.waitForTrace();
    expect(ofKind(SpanKind.INTERNAL, 'query')?.attributes['error.type']).toBe('RangeError');
  });

  it('in a handler leaves the name of the request alone', async () => {
    await start({ operations: true });
    expect(await ask('query Quick { quick }', 'handled')).toMatchObject({ data: { quick: 1 } });
    await recorder.waitForTrace();
    expect(ofKind(SpanKind.SERVER)?.name).toBe('POST /handled');
    expect(ofKind(SpanKind.INTERNAL)?.name).toBe('query Quick');
  });
});
