import { Controller, type Type } from '@nestjs/common';
import { type ClientKafka, EventPattern, MessagePattern, Payload, Transport } from '@nestjs/microservices';
import { type Span, SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { firstValueFrom, lastValueFrom, Subject, timeout } from 'rxjs';
import { CurrentSpan } from '../../../lib/index.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { kafka as broker } from '../../../sample/brokers/kafka.js';
import { type Found, specsWith } from '../../foreign/found.js';
import { joinForAnswers, type ResponseSubscriber, TestKafka } from './kafka.js';
import { Microservices } from './microservices.js';
import { kafka } from './transports.js';
import { freePort } from '../../../sample/runner/free-ports.js';

const missing = broker.missing();
const spec = specsWith('specs of Kafka in trouble', (missing === undefined ? { thing: 'Kafka' } : { missing }) as Found<string>);

@Controller()
class Orders {
  @EventPattern('orders.placed') async placed(@Payload() { id }: { id: number }, @CurrentSpan() span: unknown) {
    await new Promise(resolve => setTimeout(resolve, id % 3));
    (span as Span).setAttribute('order.id', id);
  }
}

/** An answer that does not come during the specs. */
const answer = new Subject<string>();

@Controller()
class Lost {
  @MessagePattern('orders.lost') lost(@Payload() _data: unknown) {
    return answer;
  }
}

describe('Kafka in trouble', () => {
  let running: TestKafka;
  let services: Microservices;

  const over = (groupId?: string) => ({
    ...kafka,
    async prepare() {
      const consumer = { sessionTimeout: 6000, heartbeatInterval: 500 };
      return {
        server: { transport: Transport.KAFKA, options: running.options(groupId, { consumer }) },
        client: { transport: Transport.KAFKA, options: running.options(undefined, { consumer }) },
        connect: (client: unknown) => joinForAnswers(client as ResponseSubscriber, ['orders.lost']),
      } as never;
    },
  });
  const start = (groupId?: string, controllers: Type[] = [Orders]) => Microservices.start(over(groupId), { controllers });

  beforeAll(async () => {
    if (missing !== undefined) return;
    running = await TestKafka.start();
    await running.topics(['orders.placed', 'orders.lost'], 6);
  });
  afterAll(async () => {
    if (missing === undefined) await running.stop();
  });

  /** Sends one order. The request span has its number. */
  const place = (id: number) =>
    services.inRequest(async client => {
      services.caller.tracer.setAttribute('order.id', id);
      await lastValueFrom(client.emit('orders.placed', { id }), { defaultValue: undefined });
    });
  const of = (kind: SpanKind) => services.recorder.spans.filter(span => span.kind === kind);
  /** Returns the process spans of orders from number `first` on. Each new group reads the orders of earlier specs again. */
  const handlingsFrom = (first: number, all: readonly FinishedSpan[] = services.recorder.spans) =>
    all.filter(({ kind, attributes }) => kind === SpanKind.CONSUMER && Number(attributes['order.id']) >= first);
  const isDone = (first: number, count: number) => (spans: readonly FinishedSpan[]) =>
    new Set(handlingsFrom(first, spans).map(({ attributes }) => attributes['order.id'])).size >= count;
  /** Expects that every order was handled only in the trace of its request. Returns how often orders were handled. */
  const expectExactTrees = (first: number, all: readonly FinishedSpan[] = services.recorder.spans): number => {
    const requests = new Map(all.filter(({ name }) => name === 'request').map(span => [span.attributes['order.id'], span]));
    const byId = new Map(all.map(span => [span.spanContext().spanId, span]));
    const parentOf = (span?: FinishedSpan) => byId.get(span?.parentSpanContext?.spanId ?? '');
    const handlings = handlingsFrom(first, all);
    for (const handling of handlings) {
      expect(parentOf(parentOf(handling))).toBe(requests.get(handling.attributes['order.id']));
      expect(handling.spanContext().traceId).toBe(parentOf(handling)!.spanContext().traceId);
    }
    expect(of(SpanKind.PRODUCER)).toHaveLength(requests.size);
    return handlings.length;
  };
  const report = (text: string) => process.stderr.write(`Kafka: ${text}\n`);

  spec(
    'keeps a thousand events apart that are under way at once',
    async () => {
      services = await start();
      await Promise.all(Array.from({ length: 1000 }, (_, id) => place(id)));
      await services.recorder.waitForSpans(isDone(0, 1000), { timeoutMs: 60_000 });
      expect(expectExactTrees(0)).toBe(1000);
      await services.close();
      expect(services.recorder.spans).toHaveLength(3000);
    },
    120_000,
  );

  spec(
    'loses no trace when the consumers of a group share the topics anew in the middle of the work',
    async () => {
      services = await start('shared');
      const ids = Array.from({ length: 600 }, (_, id) => 10_000 + id);
      const sent: Promise<void>[] = [];
      for (const id of ids.slice(0, 300)) sent.push(place(id));
      const joining = start('shared');
      for (const id of ids.slice(300)) sent.push(place(id));
      await Promise.all(sent);
      const other = await joining;
      for (let id = 20_000; id < 20_200; id += 1) await place(id);
      const both = () => [...services.recorder.spans, ...other.recorder.spans];
      while (!isDone(10_000, 800)(both())) await Promise.race([services, other].map(waitForMore));
      const handled = expectExactTrees(10_000, both());
      const [here, there] = [services, other].map(one => handlingsFrom(10_000, one.recorder.spans).length);
      expect(there).toBeGreaterThan(0);
      report(`rebalance: 800 events, ${handled} deliveries (${here} and ${there})`);
      await other.close();
      await services.close();
    },
    120_000,
  );

  spec(
    'leaves no span open and mixes nothing up when the broker is killed and comes again',
    async () => {
      services = await start();
      const ids = Array.from({ length: 300 }, (_, id) => 30_000 + id);
      await Promise.all(ids.slice(0, 100).map(place));
      const under = ids.slice(100, 200).map(place);
      await running.broker.kill();
      const away = ids.slice(200).map(place);
      await running.broker.restart();
      const outcomes = await Promise.allSettled([...under, ...away]);
      // kafkajs may lose messages in flight, but not those that are sent from now on.
      const failed = outcomes.filter(({ status }) => status === 'rejected').length;
      await Promise.all(Array.from({ length: 100 }, (_, id) => place(30_300 + id)));
      await services.recorder.waitForSpans(isDone(30_000, 400 - failed), { timeoutMs: 60_000 });
      const handled = expectExactTrees(30_000);
      const requests = services.recorder.spans.filter(({ name }) => name === 'request');
      expect(requests.filter(({ attributes }) => Number(attributes['order.id']) >= 30_000)).toHaveLength(400);
      const failedSpans = of(SpanKind.PRODUCER).filter(({ status }) => status.code === SpanStatusCode.ERROR);
      expect(failedSpans).toHaveLength(failed);
      report(`killed and restarted: 400 events, ${failed} not sent, ${handled} deliveries`);
      await services.close();
    },
    180_000,
  );

  spec(
    'ends the span of a handler that never answers when tracing ends',
    async () => {
      services = await start(undefined, [Lost]);
      const asked = services.inRequest(client => firstValueFrom(client.send('orders.lost', {}).pipe(timeout(500))));
      await expect(asked).rejects.toThrow('Timeout');
      const sending = await services.recorder.waitForSpan('send orders.lost');
      expect(sending.status.code).toBe(SpanStatusCode.UNSET);
      // kafkajs would wait for the handler, so the spec calls the next step of closing directly.
      await (services.server as unknown as { callShutdownHook(): Promise<void> }).callShutdownHook();
      const handling = services.recorder.find('process orders.lost')!;
      expect(handling.parentSpanContext?.spanId).toBe(sending.spanContext().spanId);
      // Nest 11 waits forever for a handler that completes without a value.
      answer.next('late');
      answer.complete();
      await services.close();
      expect(services.recorder.spans).toHaveLength(3);
    },
    120_000,
  );

  spec(
    'that cannot be reached fails the sending spans with what the client says',
    async () => {
      const port = await freePort();
      const own = {
        ...over(),
        prepare: async () => {
          const pair = (await over().prepare()) as { client: { options: { client: object } } };
          const unreachable = { brokers: [`127.0.0.1:${port}`], retry: { retries: 0 } };
          return {
            ...pair,
            client: {
              transport: Transport.KAFKA,
              options: { ...pair.client.options, client: { ...pair.client.options.client, ...unreachable } },
            },
            connect: undefined,
          } as never;
        },
      };
      services = await Microservices.start(own, { controllers: [] });
      const emitted = services.inRequest(client => lastValueFrom(client.emit('orders.placed', {})));
      await expect(emitted).rejects.toThrow();
      const sent = services.inRequest(client => firstValueFrom((client as unknown as ClientKafka).send('orders.lost', {})));
      await expect(sent).rejects.toThrow();
      const spans = of(SpanKind.PRODUCER);
      expect(spans.map(({ name }) => name)).toEqual(['send orders.placed', 'send orders.lost']);
      for (const { status, attributes } of spans) {
        expect(status.code).toBe(SpanStatusCode.ERROR);
        expect(attributes['error.type']).toMatch(/^KafkaJS/);
      }
      await services.close();
    },
    60_000,
  );
});

/** Resolves when another span is recorded, or after a second. */
function waitForMore({ recorder }: Microservices): Promise<unknown> {
  return recorder.waitForSpans(recorder.spans.length + 1, { timeoutMs: 1000 }).catch(() => undefined);
}
