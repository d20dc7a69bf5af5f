import { jest } from '@jest/globals';
import { Inject, Injectable } from '@nestjs/common';
import { Args, GraphQLSchemaHost, Int, Query, Resolver, Subscription } from '@nestjs/graphql';
import { SpanStatusCode } from '@opentelemetry/api';
import { type DocumentNode, parse } from 'graphql';
import type { Client } from 'graphql-ws';
import { Span } from '../../lib/index.js';
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

  /** Answers none before as many as are wanted have asked. */
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
            onSubscribe: (_context: unknown, _id: string, payload: { extensions?: { persisted?: string } }) => {
              const document = documents[payload.extensions?.persisted ?? ''];
              return document && { schema: test.app.get(GraphQLSchemaHost).schema, document };
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
