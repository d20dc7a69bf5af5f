import { createServer } from 'node:net';
import { Controller, Inject, Injectable, Module, type OnModuleInit } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type ChannelOptions, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { Client, type ClientGrpc, type ClientOptions, ClientProxyFactory, ClientsModule, Transport } from '@nestjs/microservices';
import { context, createContextKey, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { suppressTracing } from '@opentelemetry/core';
import { firstValueFrom, from, lastValueFrom, map, toArray } from 'rxjs';
import {
  type OutboundMessage,
  type OutboundOptions,
  type OutboundRequest,
  traceClientProxy,
  Tracer,
  TracingModule,
} from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { type Answer, type Desk, deskOf, PROTO, type RawDesk } from './desk.js';
import { PlainPeer } from './plain-grpc.js';

const isCalling = ({ kind }: FinishedSpan) => kind === SpanKind.CLIENT;
const nothing = () => undefined;

describe('a gRPC client', () => {
  let peer: PlainPeer;
  let recorder: TraceRecorder;
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

  const optionsFor = (url: string, channelOptions?: ChannelOptions): ClientOptions & { transport: Transport.GRPC } => ({
    transport: Transport.GRPC,
    options: { url, package: 'library', protoPath: PROTO, ...(channelOptions && { channelOptions }) },
  });

  async function start(outbound: OutboundOptions = {}, settings: { enabled?: boolean; options?: ClientOptions } = {}) {
    @Module({
      imports: [
        TracingModule.forRoot({ serviceName: 'client', exporter: recorder, enabled: settings.enabled ?? true, outbound }),
        ClientsModule.register([{ name: 'CLIENT', ...(settings.options ?? optionsFor(peer.url)) }]),
      ],
    })
    class AppModule {}
    const application = await NestFactory.createApplicationContext(AppModule, { logger: false });
    closing.push(() => application.close());
    const client = application.get<ClientGrpc>('CLIENT');
    return {
      application,
      client,
      desk: deskOf(client),
      raw: client.getClientByServiceName<RawDesk>('Desk'),
      tracer: application.get(Tracer),
    };
  }

  /** Returns a matcher for the `traceparent` of a span. */
  const traceparentOf = (span: FinishedSpan) =>
    expect.stringMatching(`^00-${span.spanContext().traceId}-${span.spanContext().spanId}-0[13]$`) as string;
  const expectCarried = async (call: string) => {
    const span = await recorder.waitForSpan(isCalling);
    expect(span.name).toBe(`library.Desk/${call}`);
    expect(peer.headers.at(-1)).toMatchObject({ ':path': `/library.Desk/${call}`, traceparent: traceparentOf(span) });
    await recorder.waitForTrace();
    recorder.clear();
  };

  it('carries its span in the headers of every kind of call', async () => {
    const { desk } = await start();
    const questions = () => from([{ number: 1 }, { number: 2 }]);
    expect(await lastValueFrom(desk.ask({ number: 1 }))).toMatchObject({ number: 1 });
    await expectCarried('Ask');
    expect(await lastValueFrom(desk.list({ number: 2 }).pipe(toArray()))).toHaveLength(2);
    await expectCarried('List');
    expect(await lastValueFrom(desk.collect(questions()))).toMatchObject({ number: 3 });
    await expectCarried('Collect');
    expect(await lastValueFrom(desk.talk(questions()).pipe(toArray()))).toHaveLength(2);
    await expectCarried('Talk');
  });

  it('carries them with the Metadata that the caller gives, which stays as it is', async () => {
    const { desk } = await start();
    const questions = () => from([{ number: 1 }]);
    const given = () => {
      const metadata = new Metadata({ waitForReady: true });
      metadata.add('tenant', 'a');
      metadata.add('tenant', 'b');
      metadata.set('key-bin', Buffer.from([0, 255]));
      return metadata;
    };
    const calls = {
      Ask: (metadata: Metadata) => desk.ask({}, metadata),
      List: (metadata: Metadata) => desk.list({ number: 1 }, metadata),
      Collect: (metadata: Metadata) => desk.collect(questions(), metadata),
      Talk: (metadata: Metadata) => desk.talk(questions(), metadata),
    };
    for (const [name, call] of Object.entries(calls)) {
      const metadata = given();
      await lastValueFrom(call(metadata));
      await expectCarried(name);
      expect(peer.headers.at(-1)).toMatchObject({ tenant: 'a, b', 'key-bin': 'AP8=' });
      expect(metadata).toEqual(given());
    }
  });

  it('keeps what only this process knows of the Metadata', async () => {
    const seen: unknown[] = [];
    const options: ChannelOptions = {};
    Object.assign(options, {
      interceptors: [
        (callOptions: never, next: (options: never) => { start: (metadata: Metadata, listener: never) => void }) => {
          const call = next(callOptions);
          const { start: begin } = call;
          call.start = (metadata, listener) => {
            seen.push((metadata as Metadata & { getOpaque?(key: string): unknown }).getOpaque?.('mine'), metadata.getOptions());
            begin.call(call, metadata, listener);
          };
          return call;
        },
      ],
    });
    const { desk } = await start({}, { options: optionsFor(peer.url, options) });
    const metadata = new Metadata({ waitForReady: true });
    (metadata as Metadata & { setOpaque?(key: string, value: unknown): void }).setOpaque?.('mine', 7);
    await lastValueFrom(desk.ask({}, metadata));
    await expectCarried('Ask');
    // Older versions of @grpc/grpc-js do not have this.
    expect(seen).toEqual(['setOpaque' in metadata ? 7 : undefined, { waitForReady: true }]);
  });

  it('keeps the options of a call, with Metadata and without', async () => {
    const { desk, raw } = await start();
    // Long enough for a busy machine to connect.
    const late = () => ({ deadline: Date.now() + 1000 });
    const isLate = { code: status.DEADLINE_EXCEEDED };
    await expect(lastValueFrom(desk.ask({ what: 'never' }, late()))).rejects.toMatchObject(isLate);
    await expect(lastValueFrom(desk.ask({ what: 'never' }, new Metadata(), late()))).rejects.toMatchObject(isLate);
    await expect(lastValueFrom(desk.list({ what: 'never' }, late()))).rejects.toMatchObject(isLate);
    const failure = await new Promise<ServiceError | null>(resolve => raw.collect(late(), error => resolve(error)));
    expect(failure).toMatchObject(isLate);
    expect(peer.headers.map(headers => typeof headers.traceparent)).toEqual(Array(4).fill('string'));
  });

  it('leaves a trace context that the caller has written, and is linked to it', async () => {
    const { desk } = await start();
    const metadata = new Metadata();
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    metadata.set('traceparent', traceparent);
    await lastValueFrom(desk.ask({}, metadata));
    const call = await recorder.waitForSpan(isCalling);
    expect(peer.headers.at(-1)?.traceparent).toBe(traceparent);
    expect(call.links.map(link => link.context.spanId)).toEqual(['b7ad6b7169203331']);
  });

  it('that is called without Nest is traced with its callback and its events in the context of the caller', async () => {
    const { raw, tracer } = await start();
    await tracer.span('request', async own => {
      const seen = await new Promise<unknown[]>(resolve => {
        const events: unknown[] = [];
        const call = raw.ask({ number: 7 }, (error, answer) => events.push(error, answer?.number, trace.getActiveSpan() === own));
        call.on('metadata', () => events.push('metadata', trace.getActiveSpan() === own));
        call.on('status', ({ code }) => resolve([...events, code, trace.getActiveSpan() === own]));
      });
      expect(seen).toEqual(['metadata', true, null, 7, true, status.OK, true]);
      const listed = await new Promise<unknown[]>((resolve, reject) => {
        const events: unknown[] = [];
        raw
          .list({ number: 2 })
          .on('data', ({ number }: Answer) => events.push(number, trace.getActiveSpan() === own))
          .on('error', reject)
          .on('end', () => resolve(events));
      });
      expect(listed).toEqual([0, true, 1, true]);
    });
    await recorder.waitForTrace();
    const [root] = recorder.roots;
    const calls = recorder.spans.filter(isCalling);
    expect(calls.map(({ name }) => name).sort()).toEqual(['library.Desk/Ask', 'library.Desk/List']);
    expect(calls.map(call => recorder.parentOf(call))).toEqual([root, root]);
  });

  it('leaves an error that nobody listens to as unhandled as it is', async () => {
    const { raw } = await start();
    const call = raw.list({ what: 'fails' });
    expect(call.listenerCount('error')).toBe(0);
    call.on('error', nothing);
    call.on('data', nothing);
    expect((await recorder.waitForSpan(isCalling)).attributes['rpc.status_code']).toBe('NOT_FOUND');
  });

  it('keeps what the methods say about themselves, and gives them back when the application ends', async () => {
    const { application, raw } = await start();
    const names = ['ask', 'Ask', 'list', 'talk'] as const;
    const methods = raw as unknown as Record<string, { path: string; requestStream: boolean }>;
    expect(names.map(name => methods[name]?.path)).toEqual([
      '/library.Desk/Ask',
      '/library.Desk/Ask',
      '/library.Desk/List',
      '/library.Desk/Talk',
    ]);
    expect(methods['talk']?.requestStream).toBe(true);
    expect(Object.keys(raw)).toEqual([]);
    expect(names.map(name => Object.hasOwn(raw, name))).toEqual([true, true, true, true]);
    await application.close();
    closing.pop();
    expect(names.map(name => Object.hasOwn(raw, name))).toEqual([false, false, false, false]);
  });

  it('fails its span where the server cannot be reached', async () => {
    const probe = createServer();
    const port = await new Promise<number>(resolve =>
      probe.listen(0, '127.0.0.1', () => resolve((probe.address() as { port: number }).port)),
    );
    await new Promise(resolve => probe.close(resolve));
    const { desk } = await start({}, { options: optionsFor(`127.0.0.1:${port}`) });
    await expect(lastValueFrom(desk.ask({}))).rejects.toMatchObject({ code: status.UNAVAILABLE });
    const call = await recorder.waitForSpan(isCalling);
    expect(call.status.code).toBe(SpanStatusCode.ERROR);
    expect(call.attributes).toMatchObject({ 'rpc.status_code': 'UNAVAILABLE', 'error.type': 'UNAVAILABLE', 'server.port': port });
    expect(call.attributes['network.peer.address']).toBeUndefined();
  });

  it('fails its span where the call cannot even be made, and throws what it would have thrown', async () => {
    const { client, desk, raw } = await start();
    (client as unknown as { close(): void }).close();
    await expect(lastValueFrom(desk.ask({}))).rejects.toThrow('Channel has been shut down');
    expect((await recorder.waitForSpan(isCalling)).status).toMatchObject({ code: SpanStatusCode.ERROR });
    expect(() => (raw.ask as (...args: unknown[]) => unknown)({}, 1, 2)).toThrow('Incorrect arguments passed');
  });

  it('makes no span of ignored calls, and gives them no headers', async () => {
    const seen: OutboundMessage[] = [];
    const { desk } = await start({
      ignoreMessages: [
        'library.Desk/Ask',
        message => {
          seen.push(message);
          return message.destination.endsWith('/List');
        },
      ],
    });
    await lastValueFrom(desk.ask({}));
    await lastValueFrom(desk.list({ number: 1 }));
    await lastValueFrom(desk.collect(from([{ number: 1 }])));
    await expectCarried('Collect');
    expect(peer.headers.map(headers => headers.traceparent).slice(0, 2)).toEqual([undefined, undefined]);
    expect(seen).toContainEqual({ system: 'grpc', destination: 'library.Desk/List' });
  });

  it('gives its headers only to hosts that may see them', async () => {
    const seen: string[] = [];
    const hear = ({ url }: OutboundRequest) => {
      seen.push(url.host + url.pathname);
      return false;
    };
    const rules: [OutboundOptions['propagateTo'], boolean][] = [
      ['elsewhere', false],
      [hear, false],
      [peer.url, true],
      ['127.0.0.1', true],
    ];
    for (const [propagateTo, isCarried] of rules) {
      const { desk } = await start({ propagateTo });
      await lastValueFrom(desk.ask({}));
      expect(await recorder.waitForSpan(isCalling)).toBeDefined();
      expect(peer.headers.at(-1)?.traceparent !== undefined).toBe(isCarried);
      recorder.clear();
      await closing.pop()?.();
      recorder = new TraceRecorder();
    }
    expect(seen).toEqual([`${peer.url}/library.Desk/Ask`]);
  });

  it('makes no span where tracing is suppressed, and passes nothing on', async () => {
    const { desk, tracer } = await start();
    await tracer.span('request', () => context.with(suppressTracing(context.active()), () => lastValueFrom(desk.ask({}))));
    await recorder.waitForTrace();
    expect(recorder.spans.map(({ name }) => name)).toEqual(['request']);
    expect(peer.headers.at(-1)?.traceparent).toBeUndefined();
  });

  it('of an application that is not traced works as before', async () => {
    const { desk, raw } = await start({}, { enabled: false });
    expect(await lastValueFrom(desk.ask({ number: 3 }))).toMatchObject({ number: 3 });
    const answer = await new Promise(resolve => raw.ask({ number: 4 }, new Metadata(), {}, (_error, given) => resolve(given?.number)));
    expect(answer).toBe(4);
    expect(peer.headers.map(headers => headers.traceparent)).toEqual([undefined, undefined]);
  });

  it('leaves a caller outside any span in its own context', async () => {
    const { desk } = await start();
    const key = createContextKey('own');
    const own = await context.with(context.active().setValue(key, 7), () =>
      firstValueFrom(desk.ask({}).pipe(map(() => [context.active().getValue(key), trace.getActiveSpan()]))),
    );
    expect(own).toEqual([7, undefined]);
  });

  it('is traced wherever the application has it from', async () => {
    const url = peer.url;

    @Injectable()
    class InConstructor {
      readonly desk: Desk;
      constructor(@Inject('REGISTERED') client: ClientGrpc) {
        this.desk = client.getService<Desk>('Desk');
      }
    }
    @Injectable()
    class InHook implements OnModuleInit {
      desk!: Desk;
      constructor(@Inject('REGISTERED_ASYNC') private readonly client: ClientGrpc) {}
      onModuleInit() {
        this.desk = this.client.getService<Desk>('Desk');
      }
    }
    @Controller()
    class InProperty {
      @Client(optionsFor(url)) readonly client!: ClientGrpc;
    }
    @Module({
      imports: [
        ClientsModule.register([{ name: 'REGISTERED', ...optionsFor(url) }]),
        ClientsModule.registerAsync([{ name: 'REGISTERED_ASYNC', useFactory: () => optionsFor(url) }]),
        TracingModule.forRoot({ exporter: recorder }),
      ],
      controllers: [InProperty],
      providers: [
        InConstructor,
        InHook,
        { provide: 'MADE', useFactory: () => ClientProxyFactory.create(optionsFor(url)) },
        { provide: 'SERVICE', inject: ['MADE'], useFactory: (client: ClientGrpc) => client.getService<Desk>('Desk') },
      ],
    })
    class AppModule {}
    const application = await NestFactory.create(AppModule, { logger: false });
    closing.push(() => application.close());
    await application.init();
    const own = traceClientProxy(ClientProxyFactory.create(optionsFor(url)) as object) as ClientGrpc;
    closing.push(() => (own as unknown as { close(): void }).close());
    const desks: Desk[] = [
      application.get(InConstructor).desk,
      application.get(InHook).desk,
      application.get<Desk>('SERVICE'),
      own.getService<Desk>('Desk'),
      application.get(InProperty).client.getService<Desk>('Desk'),
    ];
    for (const desk of desks) {
      await lastValueFrom(desk.ask({}));
      await expectCarried('Ask');
    }
    expect(desks).toHaveLength(5);
  });
});
