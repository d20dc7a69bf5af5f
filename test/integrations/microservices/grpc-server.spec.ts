import { join } from 'node:path';
import { Controller, Inject, Injectable, Module, Scope } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type Client, Metadata, type ServerDuplexStream, status } from '@grpc/grpc-js';
import { type ClientGrpc, ClientsModule, GrpcMethod, GrpcStreamCall, Transport } from '@nestjs/microservices';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { firstValueFrom, interval, lastValueFrom, map } from 'rxjs';
import { type InboundMessage, type InboundOptions, Span, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { Program } from '../../../sample/runner/program.js';
import { type Answer, Books, DeskController, deskOf, PROTO, type Question, type RawDesk } from './desk.js';
import { PlainPeer, plainClient } from './plain-grpc.js';
import { freePort } from '../../../sample/runner/free-ports.js';

const isServing = ({ kind }: FinishedSpan) => kind === SpanKind.SERVER;
const isCalling = ({ kind }: FinishedSpan) => kind === SpanKind.CLIENT;
const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const SPAN_ID = 'b7ad6b7169203331';
const TRACEPARENT = `00-${TRACE_ID}-${SPAN_ID}-01`;

/** Forwards a question to the next service. */
@Injectable()
class Downstream {
  constructor(@Inject('DOWNSTREAM') private readonly client: ClientGrpc) {}
  ask(question: Question) {
    return deskOf(this.client).ask(question);
  }
}

@Injectable({ scope: Scope.REQUEST })
class PerRequest {
  @Span() work() {
    return 'done';
  }
}

@Controller()
class PassingOn {
  constructor(private readonly downstream: Downstream) {}
  @GrpcMethod('Desk', 'Ask') async ask(question: Question) {
    await new Promise(resolve => setImmediate(resolve));
    return this.downstream.ask(question);
  }
  @GrpcMethod('Desk', 'List') list() {
    return interval(2).pipe(map(number => ({ number, text: 'more' })));
  }
  @GrpcStreamCall('Desk', 'Pass') pass(call: ServerDuplexStream<Question, Answer>) {
    call.on('data', (question: Question) => {
      this.downstream.ask(question).subscribe(answer => call.write(answer));
    });
    call.on('end', () => call.end());
  }
}

@Controller()
class RequestScoped {
  constructor(private readonly perRequest: PerRequest) {}
  @GrpcMethod('Desk', 'Ask') ask() {
    return { number: 0, text: this.perRequest.work() };
  }
}

describe('a gRPC service', () => {
  let recorder: TraceRecorder;
  let peer: PlainPeer;
  const closing: (() => unknown)[] = [];
  beforeAll(async () => void (peer = await PlainPeer.serve()));
  afterAll(() => peer.close());
  beforeEach(() => {
    recorder = new TraceRecorder();
    peer.headers.length = 0;
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  async function start(
    settings: { inbound?: InboundOptions; enabled?: boolean; controllers?: (typeof PassingOn | typeof RequestScoped)[] } = {},
  ) {
    const options = { url: `127.0.0.1:${await freePort()}`, package: 'library', protoPath: PROTO };
    @Module({
      imports: [
        TracingModule.forRoot({ serviceName: 'server', exporter: recorder, enabled: settings.enabled ?? true, inbound: settings.inbound }),
        ClientsModule.register([{ name: 'DOWNSTREAM', transport: Transport.GRPC, options: { ...options, url: peer.url } }]),
      ],
      controllers: settings.controllers ?? [PassingOn],
      providers: [Downstream, PerRequest],
    })
    class AppModule {}
    const application = await NestFactory.createMicroservice(AppModule, { transport: Transport.GRPC, options, logger: false });
    await application.listen();
    closing.push(() => application.close());
    const client = plainClient(options.url);
    closing.push(() => client.close());
    return { application, client, url: options.url };
  }

  const ask = (client: RawDesk & Client, headers: Record<string, string | Buffer> = {}): Promise<Answer | undefined> => {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    return new Promise((resolve, reject) => {
      client.ask({ what: 'it', number: 7 }, metadata, {}, (error, answer) => (error === null ? resolve(answer) : reject(error)));
    });
  };

  it('goes on with the trace of a caller that knows nothing of this library, and passes it on', async () => {
    const { client } = await start();
    expect(await ask(client, { traceparent: TRACEPARENT, tracestate: 'v=1' })).toMatchObject({ number: 7 });
    const serve = await recorder.waitForSpan(isServing);
    const call = await recorder.waitForSpan(isCalling);
    expect(serve.spanContext().traceId).toBe(TRACE_ID);
    expect(serve.parentSpanContext?.spanId).toBe(SPAN_ID);
    expect(recorder.parentOf(call)).toBe(serve);
    expect(peer.headers.at(-1)).toMatchObject({ traceparent: `00-${TRACE_ID}-${call.spanContext().spanId}-01`, tracestate: 'v=1' });
  });

  it('goes on with a trace in the headers of Zipkin', async () => {
    const { client } = await start();
    await ask(client, { 'x-b3-traceid': TRACE_ID, 'x-b3-spanid': SPAN_ID, 'x-b3-sampled': '1' });
    expect((await recorder.waitForSpan(isServing)).parentSpanContext?.spanId).toBe(SPAN_ID);
  });

  it('has spans for the streaming methods that nobody handles, and answers them as ever', async () => {
    const { client } = await start({ controllers: [RequestScoped] });
    const refused = (call: { on(event: 'error', listener: (error: Error) => void): unknown; resume?(): unknown }) =>
      new Promise(resolve => {
        call.on('error', resolve);
        call.resume?.();
      });
    const collected = new Promise(resolve => client.collect(resolve).end());
    const errors = await Promise.all([refused(client.list({})), collected, refused(client.talk().on('data', () => undefined))]);
    expect(errors).toEqual(
      ['List', 'Collect', 'Talk'].map(name =>
        expect.objectContaining({ code: status.UNIMPLEMENTED, details: `The server does not implement the method ${name}` }),
      ),
    );
    await recorder.waitForSpans(3);
    expect(recorder.spans.map(({ name, status: { code } }) => [name, code]).sort()).toEqual(
      ['Collect', 'List', 'Talk'].map(name => [`library.Desk/${name}`, SpanStatusCode.ERROR]),
    );
  });

  it('begins a trace where the caller has none', async () => {
    const { client } = await start();
    await ask(client);
    expect((await recorder.waitForSpan(isServing)).parentSpanContext).toBeUndefined();
  });

  it('does not go on with the trace of a caller that is not trusted', async () => {
    const seen: unknown[] = [];
    const trust = (request: { headers: object }) => {
      seen.push(request);
      return false;
    };
    const { client } = await start({ inbound: { trust } });
    await ask(client, { traceparent: TRACEPARENT, 'key-bin': Buffer.from([0, 255]) });
    const serve = await recorder.waitForSpan(isServing);
    expect(serve.parentSpanContext).toBeUndefined();
    expect(serve.links.map(link => link.context.spanId)).toEqual([SPAN_ID]);
    expect(seen).toMatchObject([
      { system: 'grpc', destination: 'library.Desk/Ask', headers: { traceparent: TRACEPARENT, 'key-bin': 'AP8=' } },
    ]);
  });

  it('makes no span of ignored calls, and passes the context of their caller on', async () => {
    const seen: InboundMessage[] = [];
    const { client } = await start({ inbound: { ignoreMessages: ['library.Desk/*', message => seen.push(message) > 9] } });
    await ask(client, { traceparent: TRACEPARENT });
    expect(peer.headers.at(-1)?.traceparent).toBe(TRACEPARENT);
    const call = client.pass().on('data', () => call.end());
    call.write({ number: 1 });
    await new Promise(resolve => call.on('end', resolve));
    expect(recorder.spans).toEqual([]);
  });

  it('passes the context of the caller on where the application is not traced, from handlers and from their streams', async () => {
    const { client } = await start({ enabled: false });
    expect(await ask(client, { traceparent: TRACEPARENT })).toMatchObject({ number: 7 });
    expect(peer.headers.at(-1)?.traceparent).toBe(TRACEPARENT);
    const metadata = new Metadata();
    const other = TRACEPARENT.replace(SPAN_ID, 'b7ad6b7169203332');
    metadata.set('traceparent', other);
    const call = client.pass(metadata).on('data', () => call.end());
    call.write({ number: 1 });
    await new Promise(resolve => call.on('end', resolve));
    expect(peer.headers.at(-1)?.traceparent).toBe(other);
    expect(recorder.spans).toEqual([]);
  });

  it('passes nothing on where the application is not traced and the caller sent nothing', async () => {
    const { client } = await start({ enabled: false });
    await ask(client);
    expect(peer.headers.at(-1)?.traceparent).toBeUndefined();
  });

  it('makes no span that the caller has not sampled, and says so to whom it calls', async () => {
    const { client } = await start();
    await ask(client, { traceparent: TRACEPARENT.replace(/1$/, '0') });
    expect(peer.headers.at(-1)?.traceparent).toMatch(new RegExp(`^00-${TRACE_ID}-[0-9a-f]{16}-00$`));
    expect(recorder.spans).toEqual([]);
  });

  it('has the span in controllers that are made per request', async () => {
    const { client } = await start({ controllers: [RequestScoped] });
    expect(await ask(client)).toMatchObject({ text: 'done' });
    const work = await recorder.waitForSpan('PerRequest.work');
    expect(recorder.parentOf(work)).toBe(await recorder.waitForSpan(isServing));
  });

  it('of a hybrid application has a span per call, too', async () => {
    const options = { url: `127.0.0.1:${await freePort()}`, package: 'library', protoPath: PROTO };
    @Module({ imports: [TracingModule.forRoot({ exporter: recorder })], controllers: [DeskController], providers: [Books] })
    class AppModule {}
    for (const inheritAppConfig of [false, true]) {
      recorder.clear();
      const application = await NestFactory.create(AppModule, { logger: false });
      application.connectMicroservice({ transport: Transport.GRPC, options }, { inheritAppConfig });
      await application.startAllMicroservices();
      await application.listen(0, '127.0.0.1');
      const client = plainClient(options.url);
      expect(await ask(client)).toMatchObject({ number: 8 });
      await recorder.waitForTrace();
      expect(recorder.spans.map(({ name }) => name).sort()).toEqual(['Books.look', 'library.Desk/Ask']);
      client.close();
      await application.close();
    }
  });

  it('ends the spans of calls that it breaks off when it is closed', async () => {
    const { application, client } = await start();
    const call = client.list({});
    await new Promise(resolve => call.once('data', resolve));
    const failed = new Promise(resolve => call.once('error', resolve));
    await application.close();
    closing.shift();
    expect(await failed).toMatchObject({ code: expect.any(Number) as number });
    expect(recorder.spans.filter(isServing).map(({ attributes }) => attributes['rpc.status_code'])).toEqual(['CANCELLED']);
  });

  const peerProgram = join(process.cwd(), 'test/integrations/microservices/grpc-peer.cjs');

  it('ends the span of a call whose caller is killed mid-stream', async () => {
    const { url } = await start();
    const caller = await Program.start({ command: process.execPath, args: [peerProgram, 'list', url] }, /got (\d+)/);
    await caller.stop('SIGKILL');
    const serve = await recorder.waitForSpan(isServing);
    expect(serve.attributes['rpc.status_code']).toBe('CANCELLED');
    expect(serve.status.code).toBe(SpanStatusCode.UNSET);
    expect(recorder.spans).toHaveLength(1);
  });

  it('that is killed mid-stream fails the span of its caller', async () => {
    const server = await Program.start({ command: process.execPath, args: [peerProgram, 'serve'] }, /listens on (\S+)/);
    @Module({
      imports: [
        TracingModule.forRoot({ exporter: recorder }),
        ClientsModule.register([
          { name: 'CLIENT', transport: Transport.GRPC, options: { url: server.found, package: 'library', protoPath: PROTO } },
        ]),
      ],
    })
    class AppModule {}
    const application = await NestFactory.createApplicationContext(AppModule, { logger: false });
    closing.push(() => application.close());
    const desk = deskOf(application.get<ClientGrpc>('CLIENT'));
    let isKilled = false;
    const listed = lastValueFrom(
      desk.list({ number: 1_000_000 }).pipe(
        map(() => {
          if (!isKilled) void server.stop('SIGKILL');
          isKilled = true;
        }),
      ),
    );
    await expect(listed).rejects.toMatchObject({ code: expect.any(Number) as number });
    const call = await recorder.waitForSpan(isCalling);
    expect(call.status.code).toBe(SpanStatusCode.ERROR);
    expect(call.attributes['rpc.status_code']).toMatch(/^(UNAVAILABLE|INTERNAL|CANCELLED)$/);
    await expect(firstValueFrom(desk.ask({}))).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await recorder.waitForSpan(({ name }) => name === 'library.Desk/Ask');
    expect(recorder.spans).toHaveLength(2);
  });
});
