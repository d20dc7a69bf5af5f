import { EventEmitter, on } from 'node:events';
import { Inject, Injectable } from '@nestjs/common';
import { Field, Int, Mutation, ObjectType, Query, ResolveField, Resolver, Subscription } from '@nestjs/graphql';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { Client } from 'graphql-ws';
import { Span } from '../../../lib/index.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { GraphqlApplication, servers } from './graphql-application.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const traceparent = `00-${TRACE}-b7ad6b7169203331-01`;

@ObjectType()
class Tick {
  @Field(() => Int) n!: number;
}

interface Payload {
  readonly n: number;
}

/** Like the PubSub of graphql-subscriptions: a published event wakes all waiting iterators. */
@Injectable()
class Events {
  private readonly emitter = new EventEmitter();
  readonly published: number[] = [];
  /** The number of subscriptions that know that their client has left. */
  left = 0;

  publish(n: number): void {
    this.published.push(Date.now());
    this.emitter.emit('event', { n } satisfies Payload);
  }

  subscribe(): AsyncIterator<Payload> & AsyncIterable<Payload> {
    const events = on(this.emitter, 'event') as AsyncIterator<[Payload]>;
    const iterator = {
      next: async () => {
        const { value, done } = await events.next();
        return done === true ? { value: undefined, done } : { value: value[0], done: false as const };
      },
      return: async () => {
        await events.return?.();
        return { value: undefined, done: true as const };
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator as never;
  }

  get waiting(): number {
    return this.emitter.listenerCount('event');
  }
}

@Injectable()
class Service {
  @Span() load() {
    return 1;
  }

  @Span() check(n: number) {
    return n % 2 === 1;
  }

  @Span() dress(n: number) {
    return { n };
  }

  @Span() refuse(): boolean {
    throw new RangeError('cannot tell');
  }
}

@Resolver(() => Tick)
class TicksResolver {
  constructor(
    @Inject(Service) readonly service: Service,
    @Inject(Events) readonly events: Events,
  ) {}

  @Query(() => Int) none() {
    return 0;
  }

  @Mutation(() => Int) publish() {
    this.events.publish(7);
    return 7;
  }

  @ResolveField(() => Int) square() {
    return this.service.load();
  }

  /** Does work before, between and after its events. */
  @Subscription(() => Tick) made() {
    const { service, events } = this;
    const made = (async function* () {
      for await (const { n } of events.subscribe()) {
        service.check(n);
        yield { made: { n } };
        if (n === 3) break;
      }
    })();
    const leave = made.return.bind(made);
    made.return = value => {
      events.left += 1;
      return leave(value);
    };
    return made;
  }

  @Subscription(() => Tick, {
    filter(this: TicksResolver, { n }: Payload) {
      return this.service.check(n);
    },
    resolve(this: TicksResolver, { n }: Payload) {
      return this.service.dress(n);
    },
  })
  odd() {
    this.service.load();
    return this.events.subscribe();
  }

  @Subscription(() => Tick, { filter: ({ n }: Payload) => Promise.resolve(n > 1), resolve: ({ n }: Payload) => ({ n }) })
  late() {
    return this.events.subscribe();
  }

  @Subscription(() => Tick, {
    filter(this: TicksResolver, { n }: Payload) {
      return n === 1 ? Promise.resolve().then(() => this.service.refuse()) : true;
    },
    resolve: ({ n }: Payload) => ({ n }),
  })
  unsure() {
    return this.events.subscribe();
  }
}

const providers = [TicksResolver, Service, Events];

function listen(client: Client, query: string) {
  const received: unknown[] = [];
  let arrived = (): void => undefined;
  const done = new Promise<void>(resolve => {
    const next = (value: { data?: unknown }) => {
      received.push(value.data);
      arrived();
    };
    client.subscribe({ query }, { next, complete: resolve, error: () => resolve() });
  });
  const count = async (n: number): Promise<void> => {
    while (received.length < n) await new Promise<void>(resolve => (arrived = resolve));
  };
  return { received, done, count };
}

/** Resolves when `condition` holds. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setImmediate(resolve));
}

const names = (spans: readonly FinishedSpan[]) => spans.map(({ name }) => name).sort();

describe.each(servers)('the events of a subscription over %s', server => {
  let test: GraphqlApplication;
  let events: Events;
  let client: Client;
  beforeAll(async () => {
    test = await GraphqlApplication.start(server, { providers });
    events = test.app.get(Events);
  });
  afterAll(() => test.close());
  beforeEach(() => {
    test.recorder.clear();
    client = test.socket({ traceparent });
  });
  afterEach(async () => {
    await client.dispose();
    // A waiting generator notices the end only at its next event.
    await until(() => {
      if (events.waiting > 0) events.publish(9);
      return events.waiting === 0;
    });
  });

  const childrenOf = (span: FinishedSpan) =>
    test.recorder.spans.filter(({ parentSpanContext }) => parentSpanContext?.spanId === span.spanContext().spanId);
  const eventsOf = (name: string) => test.recorder.spans.filter(span => span.name === `event subscription ${name}`);
  const waitForEvents = (name: string, n: number) => test.recorder.waitForSpans(() => eventsOf(name).length === n);

  it('have below them what a generator does for each, which begins when there is something to do', async () => {
    const { count, done } = listen(client, 'subscription Made { made { n square } }');
    const operation = await test.recorder.waitForSpan('subscription Made');
    const began = events.published.length;
    for (const n of [1, 2, 3]) {
      await until(() => events.waiting === 1);
      events.publish(n);
      await count(n);
    }
    await done;
    await waitForEvents('Made', 3);
    for (const [index, event] of eventsOf('Made').entries()) {
      expect(names(childrenOf(event))).toEqual(['Service.check', 'Service.load']);
      expect(event.parentSpanContext).toBeUndefined();
      expect(event.links.map(({ context }) => context.spanId)).toEqual([operation.spanContext().spanId]);
      expect(event.startTime[0] * 1000 + event.startTime[1] / 1e6).toBeGreaterThanOrEqual(events.published[began + index]! - 1);
    }
    expect(childrenOf(operation)).toEqual([]);
  });

  it('have below them what a generator goes on to do when its client has left', async () => {
    events.left = 0;
    listen(client, 'subscription Left { made { n square } }');
    const operation = await test.recorder.waitForSpan('subscription Left');
    await until(() => events.waiting === 1);
    await client.dispose();
    await until(() => events.left === 1);
    events.publish(3);
    await waitForEvents('Left', 1);
    const [event] = eventsOf('Left');
    expect(names(childrenOf(event!))).toContain('Service.check');
    expect(event!.links.map(({ context }) => context.spanId)).toEqual([operation.spanContext().spanId]);
  });

  it('have below them what their filter and their resolver do', async () => {
    const { received, count } = listen(client, 'subscription Odd { odd { n square } }');
    await test.recorder.waitForSpan('subscription Odd');
    await until(() => events.waiting === 1);
    events.publish(1);
    await count(1);
    await until(() => events.waiting === 1);
    events.publish(2);
    events.publish(3);
    await count(2);
    await waitForEvents('Odd', 3);
    expect(received).toEqual([{ odd: { n: 1, square: 1 } }, { odd: { n: 3, square: 1 } }]);
    expect(eventsOf('Odd').map(event => names(childrenOf(event)))).toEqual([
      ['Service.check', 'Service.dress', 'Service.load'],
      // This event was not delivered, but some work was done for it.
      ['Service.check'],
      ['Service.check', 'Service.dress', 'Service.load'],
    ]);
    expect(names(childrenOf(test.recorder.find('subscription Odd')!))).toEqual(['Service.load']);
    const traces = eventsOf('Odd').map(event => event.spanContext().traceId);
    expect(new Set([TRACE, ...traces]).size).toBe(4);
  });

  it('have no span where a filter turns them away and nothing is done', async () => {
    const { received, count } = listen(client, 'subscription Late { late { n } }');
    await test.recorder.waitForSpan('subscription Late');
    await until(() => events.waiting === 1);
    for (const n of [0, 1, 2]) events.publish(n);
    await count(1);
    await waitForEvents('Late', 1);
    expect(received).toEqual([{ late: { n: 2 } }]);
    expect(names(test.recorder.spans)).toEqual(['event subscription Late', 'subscription Late']);
  });

  it('have a span that fails where a filter does', async () => {
    const { received, count } = listen(client, 'subscription Unsure { unsure { n } }');
    await test.recorder.waitForSpan('subscription Unsure');
    await until(() => events.waiting === 1);
    events.publish(1);
    events.publish(2);
    await count(1);
    await waitForEvents('Unsure', 2);
    expect(received).toEqual([{ unsure: { n: 2 } }]);
    expect(eventsOf('Unsure').map(({ status }) => status.code)).toEqual([SpanStatusCode.ERROR, SpanStatusCode.UNSET]);
  });

  it('are in traces of their own, also where a request has published them', async () => {
    const { count } = listen(client, 'subscription Published { late { n } }');
    const operation = await test.recorder.waitForSpan('subscription Published');
    await until(() => events.waiting === 1);
    await test.send('mutation Publish { publish }');
    await count(1);
    await waitForEvents('Published', 1);
    const [event] = eventsOf('Published');
    expect(event?.kind).toBe(SpanKind.CONSUMER);
    expect(event?.parentSpanContext).toBeUndefined();
    expect(event?.links.map(({ context }) => context.spanId)).toEqual([operation.spanContext().spanId]);
  });
});

describe.each(servers)('the events of a subscription over %s, with their subscription for a parent', server => {
  it('are in its trace', async () => {
    const test = await GraphqlApplication.start(server, { providers, graphql: { subscriptionEvents: 'parent', resolvers: true } });
    const client = test.socket({ traceparent });
    const { count, done } = listen(client, 'subscription Made { made { n square } }');
    const operation = await test.recorder.waitForSpan('subscription Made');
    const events = test.app.get(Events);
    await until(() => events.waiting === 1);
    events.publish(3);
    await count(1);
    await done;
    const event = await test.recorder.waitForSpan('event subscription Made');
    expect(event.spanContext().traceId).toBe(TRACE);
    expect(event.parentSpanContext?.spanId).toBe(operation.spanContext().spanId);
    expect(event.links).toEqual([]);
    expect(test.recorder.parentOf(test.recorder.find('Service.check')!)).toBe(event);
    await client.dispose();
    await test.close();
  });
});
