/** Specs of socket operations that are not executed or not completed. */
import { jest } from '@jest/globals';
import { Inject, Injectable } from '@nestjs/common';
import { Int, Query, Resolver, Subscription } from '@nestjs/graphql';
import { SpanStatusCode } from '@opentelemetry/api';
import { execute, type ExecutionArgs, GraphQLError } from 'graphql';
import type { Client, SubscribePayload } from 'graphql-ws';
import { GraphqlApplication, servers } from './graphql-application.js';

const sender = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' };

@Injectable()
class Gate {
  open: (() => void) | undefined;
}

@Resolver()
class Numbers {
  constructor(@Inject(Gate) readonly gate: Gate) {}
  @Query(() => Int) one() {
    return 1;
  }
  @Query(() => Int) async later() {
    await new Promise<void>(resolve => (this.gate.open = resolve));
    return 1;
  }
  @Subscription(() => Int, { resolve: ({ n }: { n: number }) => n }) numbers() {
    return (async function* () {
      await Promise.resolve();
      yield { n: 1 };
    })();
  }
}

/** Returns the client's answers, or the error of the refusal. */
function ask(client: Client, payload: SubscribePayload): Promise<unknown> {
  const received: unknown[] = [];
  return new Promise(resolve => {
    client.subscribe(payload, {
      next: value => void received.push(value.errors ?? value.data),
      complete: () => resolve(received),
      error: resolve,
    });
  });
}

describe.each(servers)('an operation over a socket and %s', server => {
  it('that is not valid fails its span, in the trace of its sender', async () => {
    const test = await GraphqlApplication.start(server, { providers: [Numbers, Gate] });
    const client = test.socket(sender);
    await ask(client, { query: 'query No { none }' });
    const span = await test.recorder.waitForSpan('GraphQL Operation');
    expect(span.parentSpanContext?.spanId).toBe('b7ad6b7169203331');
    expect(span.status.code).toBe(SpanStatusCode.ERROR);
    await client.dispose();
    await test.close();
    expect(test.recorder.spans).toHaveLength(1);
  });
});

describe('an operation over graphql-ws', () => {
  let test: GraphqlApplication;
  let client: Client;
  const log: string[] = [];
  beforeAll(async () => {
    const graphqlWs = {
      onConnect: () => void log.push('connect'),
      onSubscribe: (_connection: unknown, _id: string, { extensions }: SubscribePayload) => {
        if (extensions?.['refuse'] === 'by answer') return [new GraphQLError('not you')];
        if (extensions?.['refuse'] === 'by throwing') throw new RangeError('never you');
        return undefined;
      },
      execute: (args: ExecutionArgs) => {
        if (args.operationName === 'Fails') throw new RangeError('not this one');
        return execute(args);
      },
      onOperation: () => void log.push('operation'),
      onError: () => void log.push('error'),
    };
    test = await GraphqlApplication.start('Apollo on Express', {
      providers: [Numbers, Gate],
      options: { subscriptions: { 'graphql-ws': graphqlWs } },
    });
  });
  afterAll(() => test.close());
  beforeEach(() => {
    test.recorder.clear();
    log.length = 0;
    client = test.socket(sender);
    jest.spyOn(console, 'error').mockImplementation(() => undefined);
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await client.dispose();
  });

  it('that cannot be read fails its span, and its client hears of it as ever', async () => {
    expect(await ask(client, { query: 'query No {' })).toMatchObject({ code: 4500 });
    const span = await test.recorder.waitForSpan('GraphQL Operation');
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'The operation was not executed.' });
    expect(span.parentSpanContext?.spanId).toBe('b7ad6b7169203331');
    expect(test.recorder.spans).toHaveLength(1);
  });

  it.each([
    ['by answer', 'not you', [expect.objectContaining({ message: 'not you' })]],
    ['by throwing', 'never you', expect.objectContaining({ reason: 'never you' })],
  ])('that a callback of the application refuses (%s) fails its span', async (refuse, message, outcome) => {
    expect(await ask(client, { query: '{ one }', extensions: { refuse } })).toEqual(outcome);
    const span = await test.recorder.waitForSpan('GraphQL Operation');
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message });
    expect(test.recorder.spans).toHaveLength(1);
  });

  it('that the application cannot execute fails its span with what was thrown', async () => {
    expect(await ask(client, { query: 'query Fails { one }', operationName: 'Fails' })).toMatchObject({ reason: 'not this one' });
    const span = await test.recorder.waitForSpan('query Fails');
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'not this one' });
    expect(span.attributes['error.type']).toBe('RangeError');
    expect(test.recorder.spans).toHaveLength(1);
  });

  it('leaves the callbacks of the application as they are', async () => {
    expect(await ask(client, { query: 'query One { one }' })).toEqual([{ one: 1 }]);
    expect(await ask(client, { query: 'subscription S { numbers }' })).toEqual([{ numbers: 1 }]);
    expect(await ask(client, { query: '{ none }' })).toHaveLength(1);
    // The client opens a new connection for each operation.
    expect(log).toEqual(['connect', 'operation', 'connect', 'operation', 'connect', 'error']);
    await test.recorder.waitForSpans(4);
  });

  it('whose client has left ends when its resolvers have', async () => {
    const gate = test.app.get(Gate);
    const asked = ask(client, { query: 'query Later { later }' });
    for (let i = 0; i < 400 && gate.open === undefined; i++) await new Promise(resolve => setTimeout(resolve, 5));
    client.terminate();
    await asked;
    expect(test.recorder.spans).toEqual([]);
    gate.open?.();
    const span = await test.recorder.waitForSpan('query Later');
    expect(span.status.code).toBe(SpanStatusCode.UNSET);
  });

  it('of many at once on one socket has its own span each', async () => {
    const names = Array.from({ length: 100 }, (_, i) => `N${i}`);
    await Promise.all(names.map(name => ask(client, { query: `query ${name} { one }` })));
    await test.recorder.waitForSpans(100);
    expect(test.recorder.spans.map(({ name }) => name).sort()).toEqual(names.map(name => `query ${name}`).sort());
    expect(new Set(test.recorder.spans.map(({ parentSpanContext }) => parentSpanContext?.spanId))).toEqual(new Set(['b7ad6b7169203331']));
  });
});
