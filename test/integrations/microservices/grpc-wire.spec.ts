import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type OutgoingHttpHeaders } from 'node:http2';
import { Controller } from '@nestjs/common';
import { InterceptingCall, type Interceptor, status } from '@grpc/grpc-js';
import { type ClientGrpc, GrpcMethod } from '@nestjs/microservices';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { concatMap, delay, firstValueFrom, from, lastValueFrom, type Observable, of, retry, timeout, toArray } from 'rxjs';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { Books, DeskController, deskOf, grpc, PROTO } from './desk.js';
import { Microservices } from './microservices.js';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const isCalling = ({ kind }: FinishedSpan) => kind === SpanKind.CLIENT;
const isServing = ({ kind }: FinishedSpan) => kind === SpanKind.SERVER;

/** Returns a gRPC message. The flag says whether it is compressed. */
const message = (body: Buffer, flag = 0) => Buffer.concat([Buffer.from([flag, 0, 0, 0, body.length]), body]);
const QUESTION = message(Buffer.from([0x0a, 2, 0x69, 0x74]));
const BROKEN = message(Buffer.from([0xff, 0xff, 0xff]));
/** The header of a message of two gigabytes. */
const HUGE = Buffer.from([0, 0x7f, 0xff, 0xff, 0xff, 1]);

describe('a gRPC call', () => {
  let services: Microservices;
  let session: ClientHttp2Session;
  const intercepted: unknown[] = [];
  const interceptor: Interceptor = (options, next) => {
    return new InterceptingCall(next(options), {
      start(metadata, listener, go) {
        intercepted.push(metadata.get('traceparent')[0]);
        go(metadata, listener);
      },
    });
  };

  beforeAll(async () => {
    services = await Microservices.start(grpc, {
      controllers: [DeskController],
      providers: [Books],
      adapt: pair => {
        const { transport, options } = pair.client as { transport: number; options: object };
        return { ...pair, client: { transport, options: { ...options, channelOptions: { interceptors: [interceptor] } } } };
      },
    });
    session = connect(`http://${(services.pair.server as { options: { url: string } }).options.url}`);
  });
  afterAll(async () => {
    session.destroy();
    await services.close();
  });
  beforeEach(() => {
    services.recorder.clear();
    intercepted.length = 0;
  });

  const open = (method: string, headers: OutgoingHttpHeaders): ClientHttp2Stream =>
    session.request({
      ':method': 'POST',
      ':path': `/library.Desk/${method}`,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });

  /** Sends a request and returns the status of the answer. */
  async function post(method: string, body: Buffer | undefined, headers: OutgoingHttpHeaders = {}): Promise<number> {
    const stream = open(method, headers);
    let answered: unknown;
    stream.on('response', ({ 'grpc-status': code }) => (answered ??= code));
    stream.on('trailers', ({ 'grpc-status': code }: OutgoingHttpHeaders) => (answered ??= code));
    stream.resume().end(body);
    await once(stream, 'close');
    return Number(answered);
  }

  it.each([
    ['is not readable', 'Collect', BROKEN, 'INTERNAL'],
    ['is not readable, both ways,', 'Talk', BROKEN, 'INTERNAL'],
    ['is not readable, passed through,', 'Pass', BROKEN, 'INTERNAL'],
    ['is too large', 'Collect', HUGE, 'RESOURCE_EXHAUSTED'],
  ] as const)('whose request stream %s says what it was answered with', async (_, method, body, code) => {
    expect(await post(method, body, { traceparent: TRACEPARENT })).toBe(status[code]);
    const span = await services.recorder.waitForSpan(isServing);
    expect(span.parentSpanContext?.spanId).toBe('b7ad6b7169203331');
    expect(span.attributes['rpc.status_code']).toBe(code);
    expect(span.status.code).toBe(code === 'INTERNAL' ? SpanStatusCode.ERROR : SpanStatusCode.UNSET);
    expect(services.open.size).toBe(0);
  });

  it('that never reaches its method has no span at the service', async () => {
    expect(await post('Ask', BROKEN)).toBe(status.INTERNAL);
    expect(await post('List', BROKEN)).toBe(status.INTERNAL);
    expect(await post('Ask', HUGE)).toBe(status.RESOURCE_EXHAUSTED);
    expect(await post('Ask', message(Buffer.from([1]), 1))).toBe(status.INTERNAL);
    expect(await post('Ask', Buffer.concat([QUESTION, QUESTION]))).toBe(status.UNIMPLEMENTED);
    expect(await post('Ask', QUESTION, { 'grpc-timeout': 'soon' })).toBe(status.INTERNAL);
    expect(await post('Nowhere', QUESTION)).toBe(status.UNIMPLEMENTED);
    expect(await post('Ask', QUESTION)).toBe(status.OK);
    await services.recorder.waitForSpan(isServing);
    expect(services.recorder.spans.filter(isServing)).toHaveLength(1);
  });

  it.each([
    ['two contexts', { traceparent: [TRACEPARENT, TRACEPARENT] }],
    ['a context that is too long', { traceparent: `${TRACEPARENT}-${'x'.repeat(3000)}` }],
    ['half a context of B3', { 'x-b3-traceid': ['a', 'b'], b3: '1' }],
    ['only what accompanies a context', { tracestate: ['a=b', 'c=d'], baggage: `a=${'x'.repeat(3000)}`, 'traceparent-bin': 'AAAA' }],
  ])('with %s in its Metadata begins a trace, and is answered', async (_, headers) => {
    expect(await post('Ask', QUESTION, headers)).toBe(status.OK);
    expect((await services.recorder.waitForSpan(isServing)).parentSpanContext).toBeUndefined();
  });

  it('whose deadline comes before its answer has met its deadline', async () => {
    const question = message(Buffer.from('\n\u0005never'));
    expect(await post('Ask', question, { 'grpc-timeout': '1m' })).toBe(status.DEADLINE_EXCEEDED);
    expect((await services.recorder.waitForSpan(isServing)).attributes['rpc.status_code']).toBe('DEADLINE_EXCEEDED');
  });

  it('whose caller breaks off in the middle of a message has ended', async () => {
    const stream = open('Collect', {});
    stream.on('error', () => undefined);
    stream.write(QUESTION);
    await services.recorder.waitForSpan('Books.look');
    stream.write(Buffer.from([0, 0, 0, 0, 50, 1]));
    stream.close(constants.NGHTTP2_CANCEL);
    await services.recorder.waitForSpan(isServing);
    expect(services.open.size).toBe(0);
  });

  it('passes interceptors of the application, which see its headers', async () => {
    await services.inRequest(client => firstValueFrom(deskOf(client).ask({ what: 'it', number: 1 })));
    const { traceId, spanId } = (await services.recorder.waitForSpan(isCalling)).spanContext();
    expect(intercepted).toEqual([expect.stringMatching(`^00-${traceId}-${spanId}-`)]);
  });

  it('that is made again, or that its caller waits no longer for, is one span each time', async () => {
    await services.inRequest(async client => {
      const asked = deskOf(client).ask({ what: 'UNAVAILABLE', number: 1 });
      await expect(firstValueFrom(asked.pipe(retry(2)))).rejects.toMatchObject({ code: status.UNAVAILABLE });
      const waited = deskOf(client).ask({ what: 'never', number: 1 });
      await expect(firstValueFrom(waited.pipe(timeout(30)))).rejects.toThrow('Timeout');
    });
    await services.recorder.waitForSpans(spans => spans.filter(isServing).length === 4);
    const codes = (is: typeof isServing) => services.recorder.spans.filter(is).map(({ attributes }) => attributes['rpc.status_code']);
    expect(codes(isCalling)).toEqual(['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE', 'CANCELLED']);
    expect(codes(isServing)).toEqual(['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE', 'CANCELLED']);
  });

  it('whose values are taken slowly lasts until the last one', async () => {
    const values = await services.inRequest(client => {
      const slowly = concatMap((answer: object) => of(answer).pipe(delay(1)));
      return lastValueFrom(deskOf(client).list({ what: 'it', number: 100 }).pipe(slowly, toArray()));
    });
    expect(values).toHaveLength(100);
    expect((await services.recorder.waitForSpan(isServing)).attributes['rpc.status_code']).toBe('OK');
    await services.recorder.waitForSpan(isCalling);
    expect(services.open.size).toBe(0);
  });

  it('that is too large fails the same on both sides', async () => {
    const questions = from([{ what: 'it', number: 1 }, { what: 'x'.repeat(5_000_000) }]);
    await expect(services.inRequest(client => lastValueFrom(deskOf(client).collect(questions)))).rejects.toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
    });
    for (const is of [isCalling, isServing]) {
      const span = await services.recorder.waitForSpan(is);
      expect(span.attributes['rpc.status_code']).toBe('RESOURCE_EXHAUSTED');
    }
  });

  it('to one of several packages has the name of its own', async () => {
    @Controller()
    class Shop {
      @GrpcMethod('Shop', 'Ask') ask(wish: object) {
        return wish;
      }
    }
    const adapted = ({ transport, options }: { transport: number; options: object }) => {
      const protoPath = [PROTO, PROTO.replace('desk', 'museum')];
      return { transport, options: { ...options, package: ['library', 'museum.v1'], protoPath } } as never;
    };
    const both = await Microservices.start(grpc, {
      controllers: [DeskController, Shop],
      providers: [Books],
      adapt: ({ server, client }) => ({ server: adapted(server as never), client: adapted(client as never) }),
    });
    await both.inRequest(async client => {
      const shop = (client as unknown as ClientGrpc).getService<{ ask(wish: object): Observable<object> }>('Shop');
      expect(await firstValueFrom(shop.ask({ what: 'a card' }))).toEqual({ what: 'a card' });
      await firstValueFrom(deskOf(client).ask({ what: 'it', number: 1 }));
    });
    await both.recorder.waitForSpans(spans => spans.filter(isServing).length === 2);
    for (const is of [isCalling, isServing]) {
      expect(both.recorder.spans.filter(is).map(({ name }) => name)).toEqual(['museum.v1.Shop/Ask', 'library.Desk/Ask']);
    }
    await both.close();
  });
});
