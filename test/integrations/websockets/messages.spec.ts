import { type CanActivate, Catch, type ExceptionFilter, Injectable, type PipeTransform, UseFilters, UseGuards } from '@nestjs/common';
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway, WsException } from '@nestjs/websockets';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { concat, delay, finalize, interval, map, of, Subject, throwError } from 'rxjs';
import { NoSpan, Span, Tracer } from '../../../lib/index.js';
import { type Client, SocketApplication, socketAdapters } from './socket-application.js';

@Injectable()
class Service {
  readonly seen: unknown[] = [];
  readonly left = new Subject<void>();
  constructor(readonly tracer: Tracer) {}

  @Span() work(data?: unknown) {
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

@Injectable()
class Strict implements PipeTransform {
  transform(value: unknown) {
    if (typeof value !== 'object' || value === null || 'bad' in value) throw new WsException('not what was asked for');
    return value;
  }
}

@Catch(RangeError)
class Reporting implements ExceptionFilter {
  catch() {
    // Sends nothing to the client.
  }
}

@WebSocketGateway()
class Gateway {
  constructor(
    readonly service: Service,
    readonly tracer: Tracer,
  ) {}

  @SubscribeMessage('greet') async greet(@MessageBody() body: { name: string }) {
    await new Promise(resolve => setTimeout(resolve, 5));
    this.tracer.addEvent('greeting');
    this.service.work(body);
    return { hello: body.name };
  }

  @SubscribeMessage('event') event(@MessageBody() body: { name: string }) {
    this.service.work(body);
    return { event: 'greeted', data: { hello: body.name } };
  }

  @SubscribeMessage('silent') silent(@MessageBody() body: unknown) {
    this.service.work(body);
  }

  @SubscribeMessage('many') many() {
    return concat(of(1), of(2).pipe(delay(10)), of(3)).pipe(
      map(data => {
        this.service.work(data);
        return { event: 'one', data };
      }),
    );
  }

  @SubscribeMessage('watch') watch() {
    return interval(20).pipe(
      map(data => {
        this.service.work(data);
        return { event: 'tick', data };
      }),
    );
  }

  @SubscribeMessage('watched') watched() {
    return interval(20).pipe(
      map(data => ({ event: 'tick', data })),
      finalize(() => this.service.left.next()),
    );
  }

  @SubscribeMessage('fails') fails() {
    throw new RangeError('out of range');
  }

  @SubscribeMessage('refuses') async refuses() {
    await Promise.resolve();
    throw new WsException('no');
  }

  @SubscribeMessage('fails-late') failsLate() {
    return concat(
      of({ event: 'one', data: 1 }),
      throwError(() => new RangeError('too late')),
    );
  }

  @UseGuards(Refusing)
  @SubscribeMessage('guarded')
  guarded() {
    return 'never';
  }

  @SubscribeMessage('piped') piped(@MessageBody(Strict) body: unknown) {
    return body;
  }

  @UseFilters(Reporting)
  @SubscribeMessage('reported')
  reported() {
    throw new RangeError('reported');
  }

  @NoSpan()
  @SubscribeMessage('quiet')
  quiet() {
    this.service.work('quiet');
    return { event: 'done', data: {} };
  }

  @SubscribeMessage('slow') async slow(@ConnectedSocket() client: { disconnect?: (close: boolean) => void; close: () => void }) {
    if (client.disconnect) client.disconnect(true);
    else client.close();
    await new Promise(resolve => setTimeout(resolve, 30));
    this.service.work('slow');
    return { event: 'too late' };
  }
}

describe.each(socketAdapters)('a message to a gateway over %s', adapter => {
  let test: SocketApplication;
  let client: Client;
  beforeAll(async () => {
    test = await SocketApplication.start(adapter, { gateways: [Gateway], providers: [Service] });
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    client = await test.connect();
    await test.recorder.waitForSpan('connect /');
    test.recorder.clear();
  });
  afterEach(() => client.close());

  it('is one server span that lasts until its answer and has what the handler does inside', async () => {
    expect(await client.ask('greet', { name: 'Ada' })).toEqual({ hello: 'Ada' });
    const span = await test.recorder.waitForSpan('message greet');
    expect(span.kind).toBe(SpanKind.SERVER);
    expect(span.attributes).toMatchObject({
      'rpc.system.name': test.system,
      'rpc.method': 'greet',
      'code.function.name': 'Gateway.greet',
    });
    expect(span.events.map(({ name }) => name)).toEqual(['greeting']);
    expect(span.status.code).toBe(SpanStatusCode.UNSET);
    expect(test.recorder.parentOf(test.recorder.find('Service.work')!)).toBe(span);
    expect(test.recorder.spans).toHaveLength(2);
  });

  it('that is answered by another event, or not at all, is one span too', async () => {
    client.send('event', { name: 'Ada' });
    expect(await client.next('greeted')).toEqual({ hello: 'Ada' });
    await test.recorder.waitForSpan('message event');
    client.send('silent', { a: 1 });
    await test.recorder.waitForSpan('message silent');
    expect(test.recorder.spans).toHaveLength(4);
  });

  it('that is answered by several values lasts until the last one, all of which are made inside', async () => {
    client.send('many');
    expect([await client.next('one'), await client.next('one'), await client.next('one')]).toEqual([1, 2, 3]);
    const span = await test.recorder.waitForSpan('message many');
    const works = test.recorder.spans.filter(({ name }) => name === 'Service.work');
    expect(works.map(work => test.recorder.parentOf(work))).toEqual([span, span, span]);
  });

  it('whose answers go on and on ends with the handing over, while they stay in its trace', async () => {
    client.send('watch');
    await client.next('tick');
    const span = await test.recorder.waitForSpan('message watch');
    expect(span.endTime[0] + span.endTime[1] / 1e9 - span.startTime[0] - span.startTime[1] / 1e9).toBeLessThan(0.9);
    test.recorder.clear();
    const work = await test.recorder.waitForSpan('Service.work');
    expect(work.parentSpanContext?.spanId).toBe(span.spanContext().spanId);
  });

  it('whose client leaves while answers go on ends then', async () => {
    const left = new Promise<void>(resolve => test.app.get(Service).left.subscribe(resolve));
    client.send('watched');
    await client.next('tick');
    await client.close();
    await left;
    const span = await test.recorder.waitForSpan('message watched');
    expect(span.status.code).toBe(SpanStatusCode.UNSET);
  });

  it('whose client leaves while the handler runs ends with the handler', async () => {
    client.send('slow');
    const span = await test.recorder.waitForSpan('message slow');
    expect(test.recorder.parentOf(test.recorder.find('Service.work')!)).toBe(span);
  });

  it.each([
    ['fails', 'RangeError', 'out of range'],
    ['refuses', 'WsException', 'no'],
    ['fails-late', 'RangeError', 'too late'],
    ['guarded', 'WsException', 'Forbidden resource'],
    ['reported', 'RangeError', 'reported'],
  ])('that "%s" fails with what was thrown, once', async (event, type, message) => {
    client.send(event);
    const span = await test.recorder.waitForSpan(`message ${event}`);
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message });
    expect(span.attributes['error.type']).toBe(type);
    expect(span.events.map(({ name }) => name)).toEqual(['exception']);
  });

  it('that a pipe refuses has failed, and tells the client as ever', async () => {
    client.send('piped', { bad: true });
    // Nest 11 does not report the error to clients of ws.
    if (adapter === 'socket.io') {
      expect(await client.next('exception')).toMatchObject({ status: 'error', message: 'not what was asked for' });
    }
    const span = await test.recorder.waitForSpan('message piped');
    expect(span.attributes['error.type']).toBe('WsException');
    expect(span.events).toHaveLength(1);
  });

  it('whose handler wants no span makes none, and neither does what it calls', async () => {
    client.send('quiet');
    await client.next('done');
    client.send('silent');
    await test.recorder.waitForSpan('message silent');
    expect(test.recorder.spans.map(({ name }) => name).sort()).toEqual(['Service.work', 'message silent']);
  });
});
