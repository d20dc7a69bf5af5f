import { Inject, Injectable } from '@nestjs/common';
import { Int, Mutation, Query, Resolver, Subscription } from '@nestjs/graphql';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { type InboundMessage, NoSpan, Tracer, type TracingOptions } from '../../../lib/index.js';
import { GraphqlApplication, type ServerName, servers } from './graphql-application.js';

const SENDER = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

@Injectable()
class Downstream {
  /** The trace headers that outgoing calls would carry. */
  readonly carried: (string | undefined)[] = [];
  constructor(@Inject(Tracer) readonly tracer: Tracer) {}
  call() {
    const headers: Record<string, string> = {};
    this.tracer.inject(headers);
    this.carried.push(headers['traceparent']);
    return 1;
  }
}

@Resolver()
class Numbers {
  constructor(@Inject(Downstream) readonly downstream: Downstream) {}

  @Query(() => Int) one() {
    return this.downstream.call();
  }

  @Mutation(() => Int) change() {
    return this.downstream.call();
  }

  @Subscription(() => Int, { resolve: answer }) numbers() {
    this.downstream.call();
    return events();
  }

  @NoSpan() @Subscription(() => Int, { resolve: answer }) quiet() {
    this.downstream.call();
    return events();
  }
}

function answer(this: Numbers, { n }: { n: number }) {
  this.downstream.call();
  return n;
}

async function* events() {
  await Promise.resolve();
  yield { n: 1 };
}

describe.each(servers)('an operation over a socket and %s', server => {
  /** Sends all operations, one after the other. */
  async function askAll(
    tracing: TracingOptions,
    queries = ['query One { one }', 'mutation Change { change }', 'subscription Numbers { numbers }'],
  ) {
    const test = await start(server, tracing);
    const client = test.socket({ traceparent: SENDER });
    for (const query of queries) {
      await new Promise<void>((resolve, reject) => {
        client.subscribe({ query }, { next: ({ errors }) => errors && reject(errors[0] as Error), complete: resolve, error: reject });
      });
    }
    await client.dispose();
    await test.close();
    const names = test.recorder.spans.map(({ name }) => name).sort();
    return { names, spans: test.recorder.spans, carried: test.app.get(Downstream).carried };
  }

  it('passes the context of its sender on where it is ignored', async () => {
    const { names, carried } = await askAll({ inbound: { ignoreMessages: ['One', 'Change', 'Numbers'] } });
    expect(names).toEqual([]);
    expect(carried).toEqual([SENDER, SENDER, SENDER, SENDER]);
  });

  it('passes the context of its sender on where the application is not traced', async () => {
    let asked = 0;
    const ignoreMessages = () => (asked += 1) < 0;
    const { names, carried } = await askAll({ enabled: false, inbound: { ignoreMessages } });
    expect(names).toEqual([]);
    expect(asked).toBe(0);
    expect(carried).toEqual([SENDER, SENDER, SENDER, SENDER]);
  });

  it('that wants no span passes the context of its sender on, events of a subscription included', async () => {
    const { names, carried } = await askAll({}, ['subscription Quiet { quiet }']);
    expect(names).toEqual([]);
    expect(carried).toEqual([SENDER, SENDER]);
  });

  it('that is ignored has events that are, whatever these are called', async () => {
    const { names, carried } = await askAll({ inbound: { ignoreMessages: ['subscription'] } }, ['subscription { numbers }']);
    expect(names).toEqual([]);
    expect(carried).toEqual([SENDER, SENDER]);
  });

  it('is known by its name to rules, of which each is asked once', async () => {
    const asked: InboundMessage[] = [];
    const { names } = await askAll({
      inbound: {
        ignoreMessages: message => {
          asked.push(message);
          return message.destination === 'Change';
        },
      },
    });
    expect(names).toEqual(['event subscription Numbers', 'query One', 'subscription Numbers']);
    expect(asked.map(({ system }) => system)).toEqual(Array(4).fill('graphql'));
    expect(asked.map(({ destination }) => destination)).toEqual(['One', 'Change', 'Numbers', 'Numbers']);
  });

  it('that is refused is known to rules by the name of its span', async () => {
    const test = await start(server, { inbound: { ignoreMessages: ['GraphQL Operation'] } });
    const client = test.socket();
    for (const query of ['query No { none }', 'query One { one }']) {
      await new Promise<void>(resolve => {
        client.subscribe({ query }, { next: () => undefined, complete: resolve, error: () => resolve() });
      });
    }
    await client.dispose();
    await test.close();
    expect(test.recorder.spans.map(({ name }) => name)).toEqual(['query One']);
  });

  it('is linked to a sender that is not trusted', async () => {
    const { spans } = await askAll({ inbound: { trust: false } });
    const served = ['query One', 'mutation Change', 'subscription Numbers'].map(wanted => spans.find(({ name }) => name === wanted));
    const linked = (span?: FinishedSpan) => span?.links.map(({ context }) => context.spanId);
    expect(served.map(span => span?.parentSpanContext)).toEqual([undefined, undefined, undefined]);
    expect(served.map(linked)).toEqual([['b7ad6b7169203331'], ['b7ad6b7169203331'], ['b7ad6b7169203331']]);
  });
});

function start(server: ServerName, tracing: TracingOptions) {
  return GraphqlApplication.start(server, { providers: [Numbers, Downstream], tracing });
}
