import { Inject, Injectable } from '@nestjs/common';
import { Args, Field, Int, ObjectType, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { NoSpan, Span } from '../../../lib/index.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { GraphqlApplication, servers } from './graphql-application.js';

@ObjectType()
class Page {
  @Field(() => Int) n!: number;
}

@Injectable()
class Service {
  @Span() load() {
    return 1;
  }
}

@Resolver(() => Page)
class PagesResolver {
  constructor(@Inject(Service) readonly service: Service) {}

  @NoSpan()
  @Query(() => Int)
  quiet() {
    return this.service.load();
  }

  @Query(() => Int) loud() {
    return this.service.load();
  }

  @Query(() => String) echo(@Args('text') text: string) {
    return text;
  }

  @Query(() => Page) page() {
    return { n: 1 };
  }

  @ResolveField(() => Page) next(@Parent() { n }: Page) {
    return { n: n + 1 };
  }

  @Query(() => Int, { nullable: true }) fails(): number {
    throw new RangeError('out of range');
  }
}

const isServer = ({ kind }: FinishedSpan) => kind === SpanKind.SERVER;

describe.each(servers)('a client of GraphQL over %s', server => {
  let test: GraphqlApplication;
  beforeAll(async () => {
    const tracing = { inbound: { redactQueryKeys: ['query', 'variables'] } };
    const options = server.startsWith('Apollo') ? { allowBatchedHttpRequests: true, csrfPrevention: false } : {};
    test = await GraphqlApplication.start(server, { providers: [PagesResolver, Service], graphql: { document: true }, tracing, options });
  });
  afterAll(() => test.close());
  beforeEach(() => test.recorder.clear());

  it.each([
    ['a fragment', 'query Both { ...Fields } fragment Fields on Query { quiet loud }'],
    ['a fragment without a name', 'query Both { ... on Query { quiet loud } }'],
    ['an alias', 'query Both { one: quiet two: loud }'],
  ])('cannot hide a field beside one that wants no span, by %s', async (_, query) => {
    await test.send(query);
    const span = await test.recorder.waitForSpan('query Both');
    await test.recorder.waitForSpans(3);
    expect(test.recorder.spans.filter(({ name }) => name === 'Service.load').map(load => test.recorder.parentOf(load))).toEqual([
      span,
      span,
    ]);
    expect(span.attributes).not.toHaveProperty('code.function.name');
  });

  it('cannot hide an operation behind one that wants no span, and neither of them describes the request', async () => {
    expect(await test.post([{ query: 'query One { quiet }' }, { query: 'query Two { loud }' }])).toHaveLength(2);
    const request = await test.recorder.waitForSpan('GraphQL Operations');
    const parents = test.recorder.spans.filter(({ name }) => name === 'Service.load').map(load => test.recorder.parentOf(load));
    expect(parents).toEqual([request, request]);
    expect(Object.keys(request.attributes).filter(key => /graphql|code\.function/.test(key))).toEqual([]);
  });

  it('that sends one operation in a list has its name on the request', async () => {
    await test.post([{ query: 'query One { loud }' }]);
    const request = await test.recorder.waitForSpan('query One');
    expect(request.attributes['code.function.name']).toBe('PagesResolver.loud');
  });

  it.each([
    ['"secret \\\\"', '"*"'],
    ['"\\" secret # secret"', '"*"'],
    ['"""a \\""" secret """', '"*"'],
    ['"""" secret """', '"*"'],
    ['"" # secret', '"*" '],
  ])('shows nothing of what it has put between quotes: %s', async (literal, shown) => {
    await test.send(`query Shown { echo(text: ${literal}\n) }`);
    const span = await test.recorder.waitForSpan('query Shown');
    expect(span.attributes['graphql.document']).toBe(`query Shown { echo(text: ${shown}\n) }`);
  });

  it('shows nothing of a text that goes on where its document is cut off', async () => {
    const text = `secret "secret" \n${'secret '.repeat(4000)}`;
    await test.send(`query Long { echo(text: """${text}""") }`);
    const span = await test.recorder.waitForSpan('query Long');
    expect(span.attributes['graphql.document']).toBe('query Long { echo(text: "*"…');
  });

  it('that asks by GET has the same span, and the document is in its query only as far as options say', async () => {
    const query = encodeURIComponent('{ loud }');
    await fetch(`http://127.0.0.1:${test.port}/graphql?query=${query}`, { headers: { connection: 'close' } });
    const span = await test.recorder.waitForSpan('query');
    expect(span.attributes).toMatchObject({
      'http.request.method': 'GET',
      'url.query': 'query=REDACTED',
      'code.function.name': 'PagesResolver.loud',
    });
    await test.recorder.waitForSpans(2);
  });

  it('that gets a part of what it asked for has failed all the same', async () => {
    const { data } = await test.send('{ fails loud }');
    expect(data).toEqual({ fails: null, loud: 1 });
    const span = await test.recorder.waitForSpan(isServer);
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'out of range' });
    expect(span.events).toHaveLength(1);
  });

  it('that asks deep and wide has one span', async () => {
    await test.send(`query Deep { page { ${'next { '.repeat(200)} n ${'} '.repeat(200)} } }`);
    await test.recorder.waitForSpan('query Deep');
    await test.send(`query Wide { ${Array.from({ length: 1000 }, (_, n) => `a${n}: echo(text: "")`).join(' ')} }`);
    await test.recorder.waitForSpan('query Wide');
    expect(test.recorder.spans).toHaveLength(2);
  });

  it.each([null, [], {}, { query: 5 }, { query: '{' }, { query: '{ loud }', variables: 'x' }, { query: 'fragment F on Query { loud }' }])(
    'that sends what is no operation, %j, has a span by its route',
    async body => {
      await test.post(body);
      const span = await test.recorder.waitForSpan(isServer);
      expect(span.name).toMatch(/^POST/);
      expect(span.status.code).toBe(SpanStatusCode.UNSET);
      expect(test.recorder.spans).toHaveLength(1);
    },
  );

  // This spec must be the last one, because the application accepts no new names afterwards.
  it('cannot fill a backend with names: later ones, and long ones, go by their type', async () => {
    const long = `L${'o'.repeat(2000)}ng`;
    await test.send(`query ${long} { loud }`);
    const span = await test.recorder.waitForSpan('query');
    expect(span.attributes['graphql.operation.name']).toBe(long.slice(0, 256));
    for (let n = 0; n < 510; n++) await test.send(`query Name${n} { loud }`);
    await test.recorder.waitForSpans(spans => spans.filter(isServer).length === 511, { timeoutMs: 10_000 });
    const names = new Set(test.recorder.spans.filter(isServer).map(({ name }) => name));
    expect(names.size).toBeGreaterThan(400);
    expect(names.size).toBeLessThanOrEqual(501);
    test.recorder.clear();
    await test.send('query Name509 { loud }');
    expect((await test.recorder.waitForSpan('query')).attributes['graphql.operation.name']).toBe('Name509');
  });
});
