import { Controller, Injectable } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { firstValueFrom, from, lastValueFrom, NEVER, takeUntil, timeout } from 'rxjs';
import { Span } from '../../../lib/index.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { Microservices } from './microservices.js';
import { brokerOf, transports } from './transports.js';

@Injectable()
class Service {
  readonly seen: unknown[] = [];
  private readonly gates: (() => void)[] = [];
  private readonly waiting: { count: number; reached: () => void }[] = [];

  @Span() async work(data: unknown, ms = 0) {
    this.seen.push(data);
    await new Promise(resolve => setTimeout(resolve, ms));
    return data;
  }

  gate(): Promise<void> {
    const passed = new Promise<void>(resolve => this.gates.push(resolve));
    for (const { count, reached } of this.waiting) if (this.gates.length >= count) reached();
    return passed;
  }

  /** Resolves when `count` handlers wait at the gate. */
  standing(count: number): Promise<void> {
    return new Promise(reached => {
      if (this.gates.length >= count) reached();
      else this.waiting.push({ count, reached });
    });
  }

  openGates(): void {
    for (const pass of this.gates.splice(0)) pass();
  }
}

@Controller()
class Handlers {
  constructor(private readonly service: Service) {}

  @MessagePattern('gated') async gated(@Payload() data: unknown) {
    await this.service.gate();
    return this.service.work(data);
  }

  @MessagePattern('never') never() {
    void this.service.gate();
    return NEVER;
  }

  @MessagePattern('echo') echo(@Payload() data: unknown) {
    return this.service.work(data);
  }

  @MessagePattern('exact') exact(@Payload() data: { ms: number; fails: boolean }) {
    if (data.fails) throw new RangeError('out of range');
    return this.service.work(data, data.ms);
  }

  @EventPattern('told') async told(@Payload() data: { ms: number }) {
    await this.service.work(data, data.ms);
  }
}

const isSending = ({ kind }: FinishedSpan) => kind === SpanKind.CLIENT || kind === SpanKind.PRODUCER;
const isHandling = ({ kind }: FinishedSpan) => kind === SpanKind.SERVER || kind === SpanKind.CONSUMER;

/** Returns the span names of each trace from its root, as one line. */
function lines(services: Microservices): string[] {
  const { recorder } = services;
  const parents = new Set(recorder.spans.map(span => recorder.parentOf(span)));
  const leaves = recorder.spans.filter(span => !parents.has(span));
  return leaves.map(leaf => {
    const names: string[] = [];
    for (let span: FinishedSpan | undefined = leaf; span !== undefined; span = recorder.parentOf(span)) names.unshift(span.name);
    return names.join(' > ');
  });
}

function counted(of: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const line of of) counts[line] = (counts[line] ?? 0) + 1;
  return counts;
}

describe.each(transports)('trouble on the way of a message over $name', transport => {
  let services: Microservices;
  let service: Service;
  beforeAll(() => transport.prepare(), 60_000);
  beforeEach(async () => {
    services = await Microservices.start(transport, { controllers: [Handlers], providers: [Service] });
    service = services.server.get(Service);
  });

  const ask = (pattern: string, data: unknown, ms = 2000) =>
    services.inRequest(client => firstValueFrom(client.send<unknown>(pattern, data).pipe(timeout(ms))));

  it('leaves no span open where a handler never answers: the caller gives up, and the server ends', async () => {
    const patience = from(service.standing(1));
    await services.inRequest(client => lastValueFrom(client.send('never', {}).pipe(takeUntil(patience)), { defaultValue: undefined }));
    await services.recorder.waitForSpan('request');
    expect([...services.open].map(span => (span as { name: string }).name)).toEqual([services.handling('never')]);
    await services.close();
    expect(services.open.size).toBe(0);
    expect(services.recorder.parentOf(services.recorder.find(isHandling)!)).toBe(services.recorder.find(isSending));
  });

  it('leaves no span open where a caller waits until the application ends', async () => {
    const { client } = services.caller;
    const asked = lastValueFrom(client.send('never', {})).catch(() => undefined);
    await service.standing(1);
    await services.close();
    expect(services.open.size).toBe(0);
    expect(services.recorder.find(isSending)).toBeDefined();
    void asked;
  });

  it('mixes up nothing among a thousand calls and events that are under way at once, some of which fail', async () => {
    const sent = Array.from({ length: 1000 }, (_, i) => ({ i, ms: (i * 7) % 23, fails: i % 10 === 9, text: `message ${i}` }));
    const answers = await Promise.allSettled(
      sent.map(data =>
        data.i % 2 === 0
          ? services.inRequest(client => lastValueFrom(client.emit('told', data), { defaultValue: data }))
          : ask('exact', data, 15_000),
      ),
    );
    // 500 events with 4 spans each, 400 calls with 4 spans, 100 failed calls with 3 spans.
    await services.recorder.waitForSpans(3900, { timeoutMs: 15_000 });
    for (const [i, answer] of answers.entries()) expect(answer.status).toBe(sent[i]!.fails ? 'rejected' : 'fulfilled');
    for (const [i, answer] of answers.entries()) {
      if (i % 2 === 1 && answer.status === 'fulfilled') expect(answer.value).toEqual(sent[i]);
    }
    const line = (name: string) => `request > ${services.sending(name)} > ${services.handling(name)}`;
    expect(counted(lines(services))).toEqual({
      [`${line('told')} > Service.work`]: 500,
      [`${line('exact')} > Service.work`]: 400,
      [line('exact')]: 100,
    });
    expect(new Set(services.recorder.spans.map(span => span.spanContext().traceId)).size).toBe(1000);
    const failed = services.recorder.spans.filter(({ status }) => status.code === SpanStatusCode.ERROR);
    expect(counted(failed.map(({ name }) => name))).toEqual(
      counted(Array.from({ length: 100 }, () => ['request', services.sending('exact'), services.handling('exact')]).flat()),
    );
    const byNumber = (a: unknown, b: unknown) => (a as { i: number }).i - (b as { i: number }).i;
    expect([...service.seen].sort(byNumber)).toEqual(sent.filter(({ fails }) => !fails));
    await services.close();
    expect(services.open.size).toBe(0);
  });

  const hasBroker = transport.broker !== undefined;
  const itWithBroker = hasBroker ? it : it.skip; // TCP has no broker that could die.
  itWithBroker(
    'ends every span when the broker dies in the middle, and traces what comes after its return as before',
    async () => {
      const broker = await brokerOf(transport);
      const underWay = Array.from({ length: 20 }, (_, i) => ask('gated', i));
      const outcomes = Promise.allSettled(underWay);
      await service.standing(20);
      await broker.kill();
      service.openGates();
      await outcomes;
      await services.recorder.waitForSpans(spans => spans.filter(({ name }) => name === 'request').length === 20);
      await broker.restart();
      await answered(() => ask('echo', 'back', 500));
      services.recorder.clear();
      const sent = Array.from({ length: 50 }, (_, i) => ({ i, ms: i % 5, fails: false }));
      expect(await Promise.all(sent.map(data => ask('exact', data, 10_000)))).toEqual(sent);
      await services.recorder.waitForSpans(
        spans => spans.filter(isHandling).filter(({ name }) => name === services.handling('exact')).length === 50,
      );
      const line = `request > ${services.sending('exact')} > ${services.handling('exact')} > Service.work`;
      expect(lines(services).filter(found => found === line)).toHaveLength(50);
      await services.close();
      expect([...services.open].map(span => (span as { name: string }).name)).toEqual([]);
    },
    60_000,
  );

  /** Repeats the question until there is an answer. */
  async function answered(question: () => Promise<unknown>): Promise<void> {
    for (;;) {
      try {
        await question();
        return;
      } catch {
        await new Promise(resolve => setTimeout(resolve, 50));
      }
    }
  }
});
