import { Inject, Injectable } from '@nestjs/common';
import { Args, Field, Int, ObjectType, Parent, Query, ResolveField, Resolver, Subscription } from '@nestjs/graphql';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import DataLoader from 'dataloader';
import type { Client } from 'graphql-ws';
import { Span } from '../../../lib/index.js';
import { GraphqlApplication, servers } from './graphql-application.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const traceparent = `00-${TRACE}-b7ad6b7169203331-01`;

@ObjectType()
class Tick {
  @Field(() => Int) n!: number;
}

@Injectable()
class Service {
  stop = false;

  @Span() load() {
    return 1;
  }

  @Span() batch(keys: readonly number[]) {
    return Promise.resolve(keys.map(key => `author ${key}`));
  }
}

@Resolver(() => Tick)
class TicksResolver {
  readonly authors: DataLoader<number, string>;

  constructor(@Inject(Service) readonly service: Service) {
    this.authors = new DataLoader(keys => this.service.batch(keys), { cache: false });
  }

  @Query(() => [Tick]) list() {
    this.service.load();
    return [{ n: 1 }, { n: 2 }, { n: 3 }];
  }

  @ResolveField(() => String) author(@Parent() { n }: Tick) {
    return this.authors.load(n);
  }

  @ResolveField(() => Int) async square(@Parent() { n }: Tick) {
    await new Promise(resolve => setTimeout(resolve, 1));
    this.service.load();
    if (n === 2) throw new RangeError('not two');
    return n * n;
  }

  @Subscription(() => Tick) ticks(@Args('count', { type: () => Int }) count: number) {
    const { service } = this;
    service.load();
    return (async function* () {
      for (let n = 1; n <= count; n++) {
        service.load();
        yield { ticks: { n } };
      }
      while (!service.stop) await new Promise(resolve => setTimeout(resolve, 5));
    })();
  }

  @Subscription(() => Tick) breaks() {
    return (async function* () {
      yield { breaks: { n: 1 } };
      throw new RangeError('no more');
    })();
  }

  @Subscription(() => Tick) refused(): AsyncIterableIterator<unknown> {
    throw new RangeError('not you');
  }
}

const providers = [TicksResolver, Service];

function listen(client: Client, query: string, extensions?: Record<string, unknown>) {
  const received: unknown[] = [];
  const done = new Promise<void>(resolve => {
    client.subscribe(
      { query, ...(extensions && { extensions }) },
      { next: value => void received.push(value), complete: resolve, error: () => resolve() },
    );
  });
  return { received, done };
}

describe.each(servers)('over sockets and %s', server => {
  let test: GraphqlApplication;
  beforeAll(async () => {
    test = await GraphqlApplication.start(server, { providers });
  });
  afterAll(() => test.close());
  beforeEach(() => {
    test.recorder.clear();
    test.app.get(Service).stop = false;
  });

  it('a subscription is one server span that ends when events can come, and each event one of its own, linked to it', async () => {
    const client = test.socket({ traceparent });
    const { received, done } = listen(client, 'subscription Ticks { ticks(count: 3) { n square } }');
    await test.recorder.waitForSpan('subscription Ticks');
    await test.recorder.waitForSpans(spans => spans.filter(({ name }) => name === 'event subscription Ticks').length === 3);
    // The subscription is still active.
    const operation = test.recorder.find('subscription Ticks')!;
    expect(operation.kind).toBe(SpanKind.SERVER);
    expect(operation.spanContext().traceId).toBe(TRACE);
    expect(operation.attributes).toMatchObject({
      'graphql.operation.type': 'subscription',
      'graphql.operation.name': 'Ticks',
      'code.function.name': 'TicksResolver.ticks',
    });
    const events = test.recorder.spans.filter(({ name }) => name === 'event subscription Ticks');
    for (const event of events) {
      expect(event.kind).toBe(SpanKind.CONSUMER);
      expect(event.parentSpanContext).toBeUndefined();
      expect(event.links.map(({ context }) => context.spanId)).toEqual([operation.spanContext().spanId]);
    }
    expect(events.map(({ status }) => status.code)).toEqual([SpanStatusCode.UNSET, SpanStatusCode.ERROR, SpanStatusCode.UNSET]);
    expect(events[1]?.events.map(({ name }) => name)).toEqual(['exception']);
    const parents = test.recorder.spans.filter(({ name }) => name === 'Service.load').map(load => test.recorder.parentOf(load)?.name);
    expect(parents.sort()).toEqual([...Array<string>(6).fill('event subscription Ticks'), 'subscription Ticks']);
    test.app.get(Service).stop = true;
    await done;
    await client.dispose();
    expect(received).toHaveLength(3);
    expect(test.recorder.spans).toHaveLength(11);
  });

  it('a subscription that is refused fails its span', async () => {
    const client = test.socket();
    await listen(client, 'subscription No { refused { n } }').done;
    const span = await test.recorder.waitForSpan('subscription No');
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'not you' });
    expect(span.events).toHaveLength(1);
    await client.dispose();
  });

  it('a subscription whose events break off says so with an event that fails', async () => {
    const client = test.socket();
    const { received, done } = listen(client, 'subscription Broken { breaks { n } }');
    await done;
    expect(received.slice(0, 1)).toEqual([{ data: { breaks: { n: 1 } } }]);
    await test.recorder.waitForSpans(3);
    const events = test.recorder.spans.filter(({ name }) => name === 'event subscription Broken');
    expect(events.map(({ status }) => status)).toEqual([
      { code: SpanStatusCode.UNSET },
      { code: SpanStatusCode.ERROR, message: 'no more' },
    ]);
    const subscribed = test.recorder.find('subscription Broken')!.spanContext().spanId;
    expect(events.map(({ links }) => links[0]?.context.spanId)).toEqual([subscribed, subscribed]);
    await client.dispose();
  });

  it('a query is one server span with its resolvers inside, in the trace of its sender', async () => {
    const client = test.socket({ traceparent });
    await listen(client, 'query List { list { n square } }').done;
    const span = await test.recorder.waitForSpan('query List');
    expect(span.kind).toBe(SpanKind.SERVER);
    expect(span.parentSpanContext?.spanId).toBe('b7ad6b7169203331');
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'not two' });
    await test.recorder.waitForSpans(5);
    const loads = test.recorder.spans.filter(({ name }) => name === 'Service.load').map(load => test.recorder.parentOf(load));
    expect(loads).toEqual([span, span, span, span]);
    await client.dispose();
  });

  it('no socket makes an endless span', async () => {
    const client = test.socket();
    await listen(client, 'query List { list { n } }').done;
    await test.recorder.waitForSpan('query List');
    expect(test.recorder.spans.map(({ name }) => name)).toEqual(['Service.load', 'query List']);
    await client.dispose();
    await test.send('query After { list { n } }');
    await test.recorder.waitForSpan('query After');
    expect(test.recorder.spans.map(({ name }) => name)).toEqual(['Service.load', 'query List', 'Service.load', 'query After']);
  });

  it('the batch of a data loader is part of the operation that asked first', async () => {
    await Promise.all([test.send('query One { list { author } }'), test.send('query Two { list { author } }')]);
    await test.recorder.waitForSpan('query One');
    await test.recorder.waitForSpan('query Two');
    const batches = test.recorder.spans.filter(({ name }) => name === 'Service.batch');
    expect(batches.length).toBeGreaterThan(0);
    for (const batch of batches) expect(test.recorder.parentOf(batch)?.name).toMatch(/^query (One|Two)$/);
  });
});

describe.each(servers)('several operations in one request to %s', server => {
  it('have a name of their own each, and the request none of theirs', async () => {
    const test = await GraphqlApplication.start(server, {
      providers,
      graphql: { operations: true },
      options: server.startsWith('Apollo') ? { allowBatchedHttpRequests: true } : {},
    });
    const answers = (await test.post([{ query: 'query One { list { square } }' }, { query: 'query Two { list { n } }' }])) as unknown[];
    expect(answers).toHaveLength(2);
    // An error is sent before other resolvers are done.
    await test.recorder.waitForSpans(8);
    const [one, two, request] = ['query One', 'query Two', 'GraphQL Operations'].map(name => test.recorder.find(name)!);
    expect(test.recorder.parentOf(one!)).toBe(request);
    expect(test.recorder.parentOf(two!)).toBe(request);
    expect([one, two, request].map(span => span?.status.code)).toEqual([SpanStatusCode.ERROR, SpanStatusCode.UNSET, SpanStatusCode.UNSET]);
    const parents = test.recorder.spans.filter(({ name }) => name === 'Service.load').map(load => test.recorder.parentOf(load)?.name);
    expect(parents.sort()).toEqual(['query One', 'query One', 'query One', 'query One', 'query Two']);
    await test.close();
  });
});
