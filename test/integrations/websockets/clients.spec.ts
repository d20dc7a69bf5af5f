import {
  type CallHandler,
  type CanActivate,
  Catch,
  type ExceptionFilter,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  type PipeTransform,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { MessageBody, type OnGatewayDisconnect, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { SpanStatusCode } from '@opentelemetry/api';
import { config as rxjs, EMPTY, of, tap } from 'rxjs';
import { Span, Tracer, type TracingOptions } from '../../../lib/index.js';
import { type Client, SocketApplication, socketAdapters } from './socket-application.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const HANDSHAKE = `00-${TRACE}-b7ad6b7169203331-01`;
const MESSAGE = '00-11111111111111111111111111111111-2222222222222222-01';

@Injectable()
class Service {
  readonly carried: Record<string, string>[] = [];
  constructor(readonly tracer: Tracer) {}

  @Span() work() {
    this.carry();
  }

  carry() {
    const headers: Record<string, string> = {};
    this.tracer.inject(headers);
    this.carried.push(headers);
  }
}

@Injectable()
class Watching implements NestInterceptor {
  constructor(readonly service: Service) {}
  intercept(_context: ExecutionContext, next: CallHandler) {
    this.service.work();
    return next.handle().pipe(tap(() => this.service.work()));
  }
}

@Injectable()
class Allowing implements CanActivate {
  constructor(readonly service: Service) {}
  canActivate() {
    this.service.work();
    return true;
  }
}

@Injectable()
class Checking implements PipeTransform {
  constructor(readonly service: Service) {}
  transform(value: unknown) {
    this.service.work();
    if (value === 'nothing') throw new RangeError('nothing is asked for');
    return value;
  }
}

@Catch(RangeError)
class Reporting implements ExceptionFilter {
  constructor(readonly service: Service) {}
  catch() {
    this.service.work();
  }
}

@WebSocketGateway()
class First {
  constructor(readonly service: Service) {}

  @SubscribeMessage('take') take(@MessageBody() body: unknown) {
    this.service.work();
    return { event: 'took', data: body ?? null };
  }

  @SubscribeMessage('carry') carry() {
    this.service.carry();
    return { event: 'took', data: 1 };
  }

  @UseFilters(Reporting)
  @UseGuards(Allowing)
  @UseInterceptors(Watching)
  @SubscribeMessage('watched')
  watched(@MessageBody(Checking) _body: unknown) {
    this.service.work();
    return Promise.resolve(of({ event: 'took', data: 1 }, { event: 'took', data: 2 }));
  }

  @SubscribeMessage('nothing') nothing() {
    return EMPTY;
  }

  @SubscribeMessage('odd') odd() {
    throw undefined;
  }

  @SubscribeMessage('both') both() {
    return { event: 'first', data: 1 };
  }
}

@WebSocketGateway()
class Second {
  @SubscribeMessage('both') both() {
    return { event: 'second', data: 2 };
  }
}

const setup = (tracing: TracingOptions = {}) => ({
  gateways: [First, Second],
  providers: [Service, Watching, Allowing, Checking, Reporting],
  tracing,
});

describe.each(socketAdapters)('whoever talks to gateways over %s', adapter => {
  let test: SocketApplication;
  let client: Client;
  beforeAll(async () => {
    test = await SocketApplication.start(adapter, setup());
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    client = await test.connect({ headers: { traceparent: HANDSHAKE } });
    await test.recorder.waitForSpan('connect /');
    test.recorder.clear();
  });
  afterEach(() => client.close());

  it.each([
    ['a number for tracestate', { traceparent: MESSAGE, tracestate: 5 }, '2222222222222222'],
    ['an object for baggage', { traceparent: MESSAGE, baggage: { a: [1] } }, '2222222222222222'],
    ['a tracestate without end', { traceparent: MESSAGE, tracestate: 'a=b,'.repeat(5000) }, '2222222222222222'],
    ['names of Object.prototype', { traceparent: MESSAGE, constructor: 1, hasOwnProperty: 1, toString: {} }, '2222222222222222'],
    ['a list for traceparent', { _trace: 'x', headers: [MESSAGE], metadata: { traceparent: [MESSAGE] } }, 'b7ad6b7169203331'],
    ['a context that it inherits', JSON.parse(`{"__proto__":{"traceparent":"${MESSAGE}"}}`), 'b7ad6b7169203331'],
    ['half a context of B3', { 'x-b3-traceid': TRACE, 'x-b3-spanid': 5, 'x-b3-sampled': {} }, 'b7ad6b7169203331'],
    ['a text without end', { text: 'x'.repeat(500_000) }, 'b7ad6b7169203331'],
    ['lists in lists', JSON.parse('['.repeat(2000) + ']'.repeat(2000)), 'b7ad6b7169203331'],
    ['nothing', null, 'b7ad6b7169203331'],
  ])('may send %s, and has one span and its own words back', async (_, body: unknown, parent) => {
    client.send('take', body);
    expect(await client.next('took')).toEqual(body);
    const message = await test.recorder.waitForSpan('message take');
    expect(message.parentSpanContext?.spanId).toBe(parent);
    expect(message.status.code).toBe(SpanStatusCode.UNSET);
    await test.recorder.waitForSpans(2);
    expect(test.recorder.parentOf(test.recorder.find('Service.work')!)).toBe(message);
    expect(JSON.stringify(message.attributes)).not.toMatch(/xxxx/);
  });

  it('has guards, interceptors, pipes, filters, the handler and what its stream does in the span of the message', async () => {
    client.send('watched', {});
    expect([await client.next('took'), await client.next('took')]).toEqual([1, 2]);
    const message = await test.recorder.waitForSpan('message watched');
    const works = test.recorder.spans.filter(({ name }) => name === 'Service.work');
    expect(works.map(work => test.recorder.parentOf(work))).toEqual(Array(6).fill(message));
    test.recorder.clear();
    client.send('watched', 'nothing');
    const refused = await test.recorder.waitForSpan('message watched');
    expect(refused.attributes['error.type']).toBe('RangeError');
    const others = test.recorder.spans.filter(({ name }) => name === 'Service.work');
    expect(others.map(work => test.recorder.parentOf(work))).toEqual(Array(4).fill(refused));
  });

  it('has a span for each gateway that handles the message, and the answers of all', async () => {
    client.send('both');
    expect([await client.next('first'), await client.next('second')]).toEqual([1, 2]);
    await test.recorder.waitForSpans(2);
    expect(test.recorder.spans.map(({ attributes }) => attributes['code.function.name']).sort()).toEqual(['First.both', 'Second.both']);
  });

  it('has a span where the answer is none, and where what is thrown is nothing', async () => {
    client.send('nothing');
    expect((await test.recorder.waitForSpan('message nothing')).status.code).toBe(SpanStatusCode.UNSET);
    client.send('odd');
    const odd = await test.recorder.waitForSpan('message odd');
    expect(odd.status.code).toBe(SpanStatusCode.ERROR);
    expect(odd.events).toHaveLength(1);
    expect(test.recorder.spans).toHaveLength(2);
  });
});

it.each(socketAdapters)('a client over %s whose leaving fails, fails the span of that handler and nothing else', async adapter => {
  @WebSocketGateway()
  class Failing implements OnGatewayDisconnect {
    handleDisconnect() {
      throw new RangeError('do not go');
    }
  }
  @WebSocketGateway()
  class Calm implements OnGatewayDisconnect {
    handleDisconnect() {
      // The spec only needs the method.
    }
  }
  const reported = new Promise(resolve => (rxjs.onUnhandledError = resolve));
  const test = await SocketApplication.start(adapter, { gateways: [Failing, Calm] });
  try {
    const client = await test.connect();
    await test.recorder.waitForSpan('connect /');
    await client.close();
    await test.recorder.waitForSpans(3);
    const left = test.recorder.spans.filter(({ name }) => name === 'disconnect /');
    const said = left.map(({ attributes, status }) => [attributes['code.function.name'], status.message]);
    expect(said.sort()).toEqual([
      ['Calm.handleDisconnect', undefined],
      ['Failing.handleDisconnect', 'do not go'],
    ]);
    // The same happens without this library.
    expect(await reported).toBeInstanceOf(RangeError);
  } finally {
    rxjs.onUnhandledError = null;
    await test.close();
  }
});

describe.each(socketAdapters)('the context of a client over %s', adapter => {
  async function carried(tracing: TracingOptions, wanted: number) {
    const test = await SocketApplication.start(adapter, setup(tracing));
    const client = await test.connect({ headers: { traceparent: HANDSHAKE } });
    client.send('carry', { traceparent: MESSAGE });
    await client.next('took');
    client.send('carry', {});
    await client.next('took');
    await test.recorder.waitForSpans(wanted);
    await client.close();
    await test.close();
    return { headers: test.app.get(Service).carried.map(({ traceparent }) => traceparent), spans: test.recorder.spans };
  }

  it.each([
    ['is ignored', { inbound: { ignoreMessages: () => true } }],
    ['is not traced', { enabled: false }],
  ])('is passed on where the message %s', async (_, tracing) => {
    const { headers, spans } = await carried(tracing, 0);
    expect(headers).toEqual([MESSAGE, HANDSHAKE]);
    expect(spans).toHaveLength(0);
  });

  it('is passed on as unsampled, and makes no span, where the sender did not sample', async () => {
    const test = await SocketApplication.start(adapter, setup());
    const client = await test.connect({ headers: { traceparent: HANDSHAKE.replace(/1$/, '0') } });
    client.send('carry', {});
    await client.next('took');
    await client.close();
    await test.close();
    expect(test.app.get(Service).carried[0]?.['traceparent']).toMatch(new RegExp(`^00-${TRACE}-.*-00$`));
    expect(test.recorder.spans).toHaveLength(0);
  });

  it('becomes a link where the client is not trusted', async () => {
    const { spans } = await carried({ inbound: { trust: false } }, 3);
    const [connection, first, second] = spans;
    expect(spans.map(({ parentSpanContext }) => parentSpanContext)).toEqual([undefined, undefined, undefined]);
    const linked = [connection, first, second].map(span => span?.links.map(({ context }) => context.spanId));
    const connected = connection?.spanContext().spanId;
    expect(linked).toEqual([['b7ad6b7169203331'], ['2222222222222222', connected], ['b7ad6b7169203331', connected]]);
  });
});
