/**
 * Specs of handlers whose answers never end or never come. Nest does not unsubscribe from them, and brokers do not report that a caller has
 * left.
 */
import { Controller, Injectable } from '@nestjs/common';
import { EventPattern, MessagePattern } from '@nestjs/microservices';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import {
  BehaviorSubject,
  concat,
  firstValueFrom,
  lastValueFrom,
  map,
  Subject,
  take,
  takeUntil,
  tap,
  throwError,
  timer,
  toArray,
} from 'rxjs';
import { Span } from '../../../lib/index.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { outputOf } from '../../own-process.js';
import { Microservices } from './microservices.js';
import { tcp, transportsAndKafka } from './transports.js';

@Injectable()
class Service {
  readonly asked = new Subject<void>();
  /** Ends the timers. Otherwise jest would not end. */
  readonly over = new Subject<void>();
  @Span() work() {}
}

@Controller()
class Handlers {
  private readonly state = new BehaviorSubject('on');
  private readonly silent = new Subject();

  constructor(private readonly service: Service) {}

  @MessagePattern('state') current() {
    this.service.work();
    return this.state;
  }

  @MessagePattern('ticks') ticks() {
    return timer(0, 700).pipe(
      tap(() => this.service.work()),
      takeUntil(this.service.over),
    );
  }

  @MessagePattern('slow') slow() {
    return timer(1500).pipe(map(() => 'slow'));
  }

  @MessagePattern('slowly-failing') slowlyFailing() {
    return concat(
      timer(1500).pipe(map(() => 'slow')),
      throwError(() => new RangeError('too slow')),
    );
  }

  @EventPattern('watched') watched(_data: unknown) {
    return this.state;
  }

  @MessagePattern('silent') quiet() {
    this.service.asked.next();
    return this.silent;
  }
}

const durationOf = ({ startTime, endTime }: FinishedSpan) => (endTime[0] - startTime[0]) * 1000 + (endTime[1] - startTime[1]) / 1e6;

describe.each(transportsAndKafka)('a message over $name', transport => {
  let services: Microservices;
  beforeAll(async () => {
    services = await Microservices.start(transport, { controllers: [Handlers], providers: [Service] });
  });
  afterAll(() => {
    services.server.get(Service).over.next();
    return services.close();
  });
  beforeEach(() => services.recorder.clear());

  const handlingKind = transport.protocol === 'rpc' ? SpanKind.SERVER : SpanKind.CONSUMER;
  const handled = () => services.recorder.waitForSpan(({ kind }) => kind === handlingKind, { timeoutMs: 4000 });
  const eventsOf = ({ events }: FinishedSpan) => events.map(({ name }) => name);

  it('that is answered by a stream that never completes ends with its first answer, and says that it went on', async () => {
    expect(await services.inRequest(client => firstValueFrom(client.send('state', {})))).toBe('on');
    const handling = await handled();
    expect(handling.name).toBe(services.handling('state'));
    expect(eventsOf(handling)).toEqual(['stream.going_on']);
    expect(handling.status.code).toBe(SpanStatusCode.UNSET);
    expect(durationOf(handling)).toBeLessThan(900);
    expect(services.recorder.parentOf(services.recorder.find('Service.work')!)).toBe(handling);
    expect([...services.open]).toEqual([]);
  });

  it('gets its later answers, too, in the same trace', async () => {
    const ticks = await services.inRequest(client => lastValueFrom(client.send('ticks', {}).pipe(take(4), toArray())));
    expect(ticks.map(Number)).toEqual([0, 1, 2, 3]);
    const handling = await handled();
    await services.recorder.waitForSpans(spans => spans.filter(({ name }) => name === 'Service.work').length >= 4);
    for (const span of services.recorder.spans) expect(span.spanContext().traceId).toBe(handling.spanContext().traceId);
  });

  it('that is answered late lasts until its answer, and fails with it', async () => {
    expect(await services.inRequest(client => firstValueFrom(client.send('slow', {})))).toBe('slow');
    const late = await handled();
    expect(durationOf(late)).toBeGreaterThan(1400);
    expect(eventsOf(late)).toEqual([]);
    services.recorder.clear();
    await expect(services.inRequest(client => lastValueFrom(client.send('slowly-failing', {})))).rejects.toBeDefined();
    expect((await handled()).attributes['error.type']).toBe('RangeError');
  });

  if (transport.system !== 'kafka') {
    it('that nobody answers ends with the first value of what its handler returns', async () => {
      await services.inRequest(client => lastValueFrom(client.emit('watched', {}), { defaultValue: undefined }));
      expect(eventsOf(await handled())).toEqual(['stream.going_on']);
    });
  }
});

describe('a call over TCP', () => {
  it('whose answer has not come ends when the caller has closed its connection', async () => {
    const services = await Microservices.start(tcp, { controllers: [Handlers], providers: [Service] });
    const asked = firstValueFrom(services.server.get(Service).asked);
    const { client } = services.caller;
    client.send('silent', {}).subscribe({ error: () => undefined });
    await asked;
    await services.context.close();
    const handling = await services.recorder.waitForSpan(({ kind }) => kind === SpanKind.SERVER, { timeoutMs: 4000 });
    expect(handling.status.code).toBe(SpanStatusCode.UNSET);
    await services.server.close();
  });

  it('keeps nothing in memory that is answered for ever, or never', async () => {
    const bytesPerCall = Number(await outputOf('test/integrations/microservices/endless-answers.fixture.ts', '--expose-gc'));
    expect(bytesPerCall).toBeLessThan(400);
  });
});
