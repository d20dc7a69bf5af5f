import { jest } from '@jest/globals';
import { Inject, Injectable } from '@nestjs/common';
import { Args, GraphQLSchemaHost, Int, Query, Resolver, Subscription } from '@nestjs/graphql';
import { SpanStatusCode } from '@opentelemetry/api';
import { type DocumentNode, parse } from 'graphql';
import type { Client } from 'graphql-ws';
import { Span } from '../../../lib/index.js';
import { GraphqlApplication } from './graphql-application.js';

@Injectable()
class Service {
  readonly waiting: (() => void)[] = [];
  @Span() load() {
    return 1;
  }
}

@Resolver()
class Numbers {
  constructor(@Inject(Service) readonly service: Service) {}

  /** Waits until `wanted` requests have arrived and then answers all of them. */
  @Query(() => Int) async together(@Args('wanted', { type: () => Int }) wanted: number) {
    const { waiting } = this.service;
    await new Promise<void>(resolve => {
      waiting.push(resolve);
      if (waiting.length === wanted) for (const go of waiting.splice(0)) go();
    });
    return this.service.load();
  }

  @Subscription(() => Int, { resolve: ({ n }: { n: number }) => n }) numbers() {
    return (async function* () {
      for (let n = 1; n <= 3; n++) {
        await new Promise(resolve => setImmediate(resolve));
        yield { n };
      }
    })();
  }
}

const documents: Record<string, DocumentNode> = {
  together: parse('query Together { together(wanted: 10) }'),
  numbers: parse('subscription Numbers { numbers }'),
  alone: parse('query Alone { together(wanted: 1) }'),
  several: parse('query First { together(wanted: 1) } query Second { together(wanted: 1) }'),
};

/** The forms in which a callback may return the operation to execute. */
const forms: Record<string, (execution: object) => unknown> = {
  'at once': execution => execution,
  'in a promise': execution => Promise.resolve(execution),
  'in a thenable': execution => ({ then: (resolve: (value: object) => void) => resolve({ ...execution, contextValue: {} }) }),
  frozen: execution => Object.freeze({ rootValue: {}, contextValue: {}, ...execution }),
};

describe('an operation over graphql-ws', () => {
  let test: GraphqlApplication;
  let client: Client;
  beforeAll(async () => {
    test = await GraphqlApplication.start('Apollo on Express', {
      providers: [Numbers, Service],
      options: {
        context: ({ connectionParams }: { connectionParams?: { isRefused?: boolean } }) =>
          connectionParams?.isRefused === true ? Promise.reject(new RangeError('not you')) : {},
        subscriptions: {
          'graphql-ws': {
            onSubscribe: (_context: unknown, _id: string, { extensions }: { extensions?: { persisted?: string; form?: string } }) => {
              const document = documents[extensions?.persisted ?? ''];
              return document && forms[extensions?.form ?? 'at once']?.({ schema: test.app.get(GraphQLSchemaHost).schema, document });
            },
          },
        },
      },
    });
  });
  afterAll(() => test.close());
  beforeEach(() => test.recorder.clear());
  afterEach(() => client.dispose());

  function ask(payload: { query: string; extensions?: Record<string, unknown> }): Promise<unknown[]> {
    const received: unknown[] = [];
    return new Promise((resolve, reject) => {
      client.subscribe(payload, { next: value => void received.push(value.data), complete: () => resolve(received), error: reject });
    });
  }

  it('that is persisted is apart from all others of the same document', async () => {
    client = test.socket();
    const asked = Array.from({ length: 10 }, () => ask({ query: '', extensions: { persisted: 'together' } }));
    expect(await Promise.all(asked)).toEqual(Array(10).fill([{ together: 1 }]));
    await test.recorder.waitForSpans(20);
    const loads = test.recorder.spans.filter(({ name }) => name === 'Service.load');
    expect(loads.map(load => test.recorder.parentOf(load)?.name)).toEqual(Array(10).fill('query Together'));
    expect(new Set(loads.map(load => load.spanContext().traceId)).size).toBe(10);
  });

  it.each(Object.keys(forms))('that is persisted, and comes to graphql-ws %s, is apart from those before', async form => {
    client = test.socket();
    for (let i = 0; i < 2; i++) await ask({ query: '', extensions: { persisted: 'alone', form } });
    await test.recorder.waitForSpans(4);
    const names = test.recorder.spans.map(({ name }) => name);
    expect(names).toEqual(['Service.load', 'query Alone', 'Service.load', 'query Alone']);
    const [first, one, second, other] = test.recorder.spans;
    expect([first, second].map(span => span && test.recorder.parentOf(span))).toEqual([one, other]);
  });

  it('that is one of several, nobody says which, goes by the name of none', async () => {
    client = test.socket();
    await expect(ask({ query: '', extensions: { persisted: 'several' } })).rejects.toHaveLength(1);
    const span = await test.recorder.waitForSpan('GraphQL Operation');
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'Unable to identify operation' });
    expect(span.attributes['graphql.operation.name']).toBeUndefined();
  });

  it('that is a persisted subscription has its events linked to itself', async () => {
    client = test.socket();
    const asked = Array.from({ length: 4 }, () => ask({ query: '', extensions: { persisted: 'numbers' } }));
    expect(await Promise.all(asked)).toEqual(Array(4).fill([1, 2, 3].map(numbers => ({ numbers }))));
    await test.recorder.waitForSpans(16);
    const subscribed = test.recorder.spans.filter(({ name }) => name === 'subscription Numbers').map(span => span.spanContext().spanId);
    const linked = test.recorder.spans
      .filter(({ name }) => name === 'event subscription Numbers')
      .flatMap(({ links }) => links.map(({ context }) => context.spanId));
    expect(linked.sort()).toEqual(subscribed.flatMap(id => [id, id, id]).sort());
  });

  it('whose context the application refuses fails, and its client hears of it as ever', async () => {
    const errors = jest.spyOn(console, 'error').mockImplementation(() => undefined);
    client = test.socket({ isRefused: true });
    await expect(ask({ query: 'query Refused { together(wanted: 1) }' })).rejects.toMatchObject({ code: 4500, reason: 'not you' });
    const span = await test.recorder.waitForSpan('query Refused');
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'not you' });
    expect(test.recorder.spans).toHaveLength(1);
    errors.mockRestore();
  });
});
