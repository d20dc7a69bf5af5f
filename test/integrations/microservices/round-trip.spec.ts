import { CanActivate, Catch, Controller, type ExceptionFilter, Injectable, UseFilters, UseGuards } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { concat, delay, firstValueFrom, lastValueFrom, map, of, tap, throwError, timeout, timer, toArray } from 'rxjs';
import { NoSpan, Span, Tracer } from '../../../lib/index.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { Microservices } from './microservices.js';
import { transportsAndKafka } from './transports.js';

@Injectable()
class Service {
  readonly seen: unknown[] = [];
  constructor(readonly tracer: Tracer) {}

  @Span() work(data: unknown) {
    this.seen.push(data);
    return this.tracer.traceId;
  }
}

@Injectable()
class Refusing implements CanActivate {
  canActivate() {
    return false;
  }
}

class Forgiven extends Error {}

@Catch(Forgiven)
class Forgiving implements ExceptionFilter {
  catch() {
    return of('forgiven');
  }
}

@Controller()
class Handlers {
  constructor(
    private readonly service: Service,
    private readonly tracer: Tracer,
  ) {}

  @MessagePattern('sum') async sum(@Payload() numbers: number[]) {
    await new Promise(resolve => setTimeout(resolve, 5));
    this.tracer.addEvent('adding');
    this.service.work(numbers);
    return numbers.reduce((a, b) => a + b, 0);
  }

  @MessagePattern('many') many() {
    return concat(of(1), of(2).pipe(delay(10)), of(3)).pipe(tap(value => this.service.work(value)));
  }

  @MessagePattern('fails') fails() {
    throw new RangeError('out of range');
  }

  @MessagePattern('fails-late') failsLate() {
    return concat(
      of(1),
      throwError(() => new RpcException({ code: 'LATE', message: 'too late' })),
    );
  }

  @UseGuards(Refusing)
  @MessagePattern('guarded')
  guarded() {
    return 'never';
  }

  @UseFilters(Forgiving)
  @MessagePattern('forgiven')
  forgiven() {
    throw new Forgiven('no matter');
  }

  /** The delay is limited, because Kafka's consumer takes no other message until it is over. */
  @MessagePattern('slow') slow() {
    return timer(300);
  }

  @NoSpan()
  @MessagePattern('quiet')
  quiet() {
    this.service.work('quiet');
    return 'done';
  }

  @EventPattern('happened') async happened(@Payload() data: unknown) {
    await new Promise(resolve => setTimeout(resolve, 5));
    this.service.work(data);
  }
}

describe.each(transportsAndKafka)('a message over $name', transport => {
  let services: Microservices;
  beforeAll(async () => {
    services = await Microservices.start(transport, { controllers: [Handlers], providers: [Service] });
  });
  afterAll(() => services.close());
  beforeEach(() => {
    services.recorder.clear();
    services.server.get(Service).seen.length = 0;
  });

  const sendingKind = transport.protocol === 'rpc' ? SpanKind.CLIENT : SpanKind.PRODUCER;
  const handlingKind = transport.protocol === 'rpc' ? SpanKind.SERVER : SpanKind.CONSUMER;
  const isSending = ({ kind }: FinishedSpan) => kind === sendingKind;
  const isHandling = ({ kind }: FinishedSpan) => kind === handlingKind;

  it('that is answered is one trace: who asks, the sending, the handling, what the handler does', async () => {
    const sum = await services.inRequest(client => firstValueFrom(client.send('sum', [1, 2])));
    expect(Number(sum)).toBe(3); // Kafka's is a text.
    await services.recorder.waitForTrace();
    const [root] = services.recorder.roots;
    expect(root?.name).toBe('request');
    const sending = services.recorder.find(isSending)!;
    const handling = services.recorder.find(isHandling)!;
    expect(sending.name).toBe(services.sending('sum'));
    expect(handling.name).toBe(services.handling('sum'));
    expect(services.recorder.parentOf(sending)).toBe(root);
    expect(services.recorder.parentOf(handling)).toBe(sending);
    // The span of a message also has a link to its parent, the span of a call does not.
    expect(handling.links.map(({ context }) => context.spanId)).toEqual(
      transport.protocol === 'messaging' ? [sending.spanContext().spanId] : [],
    );
    expect(services.recorder.parentOf(services.recorder.find('Service.work')!)).toBe(handling);
    expect(handling.attributes['code.function.name']).toBe('Handlers.sum');
    expect(handling.events.map(({ name }) => name)).toEqual(['adding']);
    expect(handling.status.code).toBe(SpanStatusCode.UNSET);
    expect(sending.status.code).toBe(SpanStatusCode.UNSET);
    expect(services.recorder.spans).toHaveLength(4);
  });

  it('says which system it went through and where it went', async () => {
    await services.inRequest(client => firstValueFrom(client.send('sum', [1, 2])));
    await services.recorder.waitForTrace();
    const [sending, handling] = [isSending, isHandling].map(query => services.recorder.find(query)!.attributes);
    const expected =
      transport.protocol === 'rpc'
        ? { 'rpc.system.name': transport.system, 'rpc.method': 'sum', 'server.address': '127.0.0.1' }
        : { 'messaging.system.name': transport.system, 'messaging.destination.name': expect.stringContaining('') as string };
    expect(sending).toMatchObject(expected);
    expect(handling).toMatchObject(expected);
  });

  it('that nobody answers is one trace, too', async () => {
    await services.inRequest(client => lastValueFrom(client.emit('happened', { id: 7 }), { defaultValue: undefined }));
    await services.recorder.waitForSpan('Service.work');
    const handling = await services.recorder.waitForSpan(isHandling);
    expect(handling.name).toBe(services.handling('happened'));
    expect(services.recorder.parentOf(handling)?.kind).toBe(sendingKind);
    expect(services.recorder.parentOf(services.recorder.find('Service.work')!)).toBe(handling);
    expect(services.server.get(Service).seen).toEqual([{ id: 7 }]);
  });

  it('that is answered by a stream lasts until its last value, and all that the stream does is inside', async () => {
    const values = await services.inRequest(client => firstValueFrom(client.send('many', {}).pipe(toArray())));
    expect(values.map(Number)).toEqual([1, 2, 3]);
    await services.recorder.waitForTrace();
    const handling = services.recorder.find(isHandling)!;
    const works = services.recorder.spans.filter(({ name }) => name === 'Service.work');
    expect(works.map(work => services.recorder.parentOf(work))).toEqual([handling, handling, handling]);
  });

  it('whose handler throws fails both spans, the handling one with what was thrown', async () => {
    await expect(services.inRequest(client => firstValueFrom(client.send('fails', {})))).rejects.toBeDefined();
    await services.recorder.waitForTrace();
    const handling = services.recorder.find(isHandling)!;
    expect(handling.status).toEqual({ code: SpanStatusCode.ERROR, message: 'out of range' });
    expect(handling.attributes['error.type']).toBe('RangeError');
    expect(handling.events.map(({ name }) => name)).toEqual(['exception']);
    expect(services.recorder.find(isSending)!.status.code).toBe(SpanStatusCode.ERROR);
  });

  it('whose stream fails half-way fails with what the stream failed with', async () => {
    await expect(services.inRequest(client => lastValueFrom(client.send('fails-late', {})))).rejects.toBeDefined();
    await services.recorder.waitForTrace();
    expect(services.recorder.find(isHandling)!.status).toEqual({ code: SpanStatusCode.ERROR, message: 'too late' });
  });

  it('that a guard refuses has its span, which fails', async () => {
    await expect(services.inRequest(client => firstValueFrom(client.send('guarded', {})))).rejects.toBeDefined();
    await services.recorder.waitForTrace();
    expect(services.recorder.find(isHandling)!.attributes['error.type']).toBe('RpcException');
  });

  it('whose exception a filter turns into an answer has not failed', async () => {
    expect(await services.inRequest(client => firstValueFrom(client.send('forgiven', {})))).toBe('forgiven');
    await services.recorder.waitForTrace();
    expect(services.recorder.find(isHandling)!.status.code).toBe(SpanStatusCode.UNSET);
  });

  it('that the caller gives up on ends the span of the sending', async () => {
    const asked = services.inRequest(client => firstValueFrom(client.send('slow', {}).pipe(timeout(50))));
    await expect(asked).rejects.toThrow('Timeout');
    const sending = await services.recorder.waitForSpan(isSending);
    expect(sending.status.code).toBe(SpanStatusCode.UNSET);
    await services.recorder.waitForSpan(isHandling);
  });

  it('leaves who asked in its own context when the answer comes', async () => {
    const { tracer } = services.caller;
    const ids = await services.inRequest(async client => {
      const inside = tracer.traceId;
      const seen = await firstValueFrom(client.send('sum', [1]).pipe(map(() => [tracer.traceId, tracer.currentSpan()])));
      return { inside, seen: seen[0], isSame: seen[1] === tracer.currentSpan() };
    });
    expect(ids.seen).toBe(ids.inside);
    expect(ids.isSame).toBe(true);
  });

  it('whose handler wants no span makes none, and neither does what it calls', async () => {
    expect(await services.inRequest(client => firstValueFrom(client.send('quiet', {})))).toBe('done');
    await services.recorder.waitForTrace();
    expect(services.recorder.spans.map(({ name }) => name).sort()).toEqual([services.sending('quiet'), 'request'].sort());
  });

  it('is not mixed up with a thousand others that are under way', async () => {
    await Promise.all(Array.from({ length: 1000 }, (_, i) => services.inRequest(client => firstValueFrom(client.send('sum', [i, 1])))));
    await services.recorder.waitForSpans(4000);
    expect(services.recorder.roots).toHaveLength(1000);
    const traces = new Map<string, string[]>();
    for (const span of services.recorder.spans) {
      const { traceId } = span.spanContext();
      traces.set(traceId, [...(traces.get(traceId) ?? []), span.name]);
    }
    expect(traces.size).toBe(1000);
    const expected = ['Service.work', services.handling('sum'), services.sending('sum'), 'request'].sort();
    for (const names of traces.values()) expect(names.sort()).toEqual(expected);
  });
});
