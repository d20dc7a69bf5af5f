import { Controller, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type ClientOptions, type ClientProxy, ClientsModule, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { type InboundMessage, type OutboundMessage, Span, Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { Microservices, type Setup } from './microservices.js';
import { transports } from './transports.js';
import { freePort } from '../../../sample/runner/free-ports.js';

@Injectable()
class Service {
  constructor(readonly tracer: Tracer) {}
  @Span() work(data: unknown) {
    return data;
  }
}

@Controller()
class Handlers {
  constructor(private readonly service: Service) {}

  @MessagePattern('echo') echo(@Payload() data: unknown) {
    return this.service.work(data);
  }

  @MessagePattern('passed') passed() {
    const headers: Record<string, string> = {};
    this.service.tracer.inject(headers);
    return headers['traceparent'] ?? 'nothing';
  }

  @EventPattern('told') told(@Payload() data: unknown) {
    this.service.work(data);
  }
}

/** A serializer that wraps each message into a box, and a deserializer that unwraps it. */
class Boxing {
  readonly seen: unknown[] = [];
  constructor(private readonly inner: { serialize(packet: unknown, ...rest: unknown[]): unknown }) {}
  serialize(packet: { data?: unknown }, ...rest: unknown[]) {
    this.seen.push(packet);
    return this.inner.serialize('data' in packet ? { ...packet, data: { boxed: packet.data } } : packet, ...rest);
  }
}

class Unboxing {
  constructor(private readonly inner: { deserialize(packet: unknown, ...rest: unknown[]): unknown }) {}
  async deserialize(packet: unknown, ...rest: unknown[]) {
    const { data, ...others } = (await this.inner.deserialize(packet, ...rest)) as { data: { boxed: unknown } };
    // The other members are dropped, as in many custom deserializers.
    const { pattern, id } = others as { pattern?: unknown; id?: unknown };
    return { pattern, data: data.boxed, ...(id === undefined ? {} : { id }) };
  }
}

const isSending = ({ kind }: { kind: SpanKind }) => kind === SpanKind.CLIENT || kind === SpanKind.PRODUCER;
const isHandling = ({ kind }: { kind: SpanKind }) => kind === SpanKind.SERVER || kind === SpanKind.CONSUMER;

describe.each(transports)('tracing of messages over $name', transport => {
  let services: Microservices;
  beforeAll(() => transport.prepare(), 60_000);
  afterEach(() => services.close());

  const start = async (setup: Partial<Setup>) => {
    services = await Microservices.start(transport, { controllers: [Handlers], providers: [Service], ...setup });
    return services.recorder;
  };
  const ask = (pattern: string, data: unknown = {}) => services.inRequest(client => firstValueFrom(client.send(pattern, data)));
  const tell = (data: unknown) => services.inRequest(client => lastValueFrom(client.emit('told', data), { defaultValue: undefined }));

  it('makes no span of an incoming message that is to be ignored, and passes its context on', async () => {
    const seen: InboundMessage[] = [];
    const recorder = await start({
      inbound: {
        ignoreMessages: message => {
          seen.push(message);
          return message.destination === 'passed';
        },
      },
    });
    const passed = await ask('passed');
    await recorder.waitForTrace();
    expect(recorder.spans.map(({ kind }) => kind)).toEqual([recorder.find(isSending)!.kind, SpanKind.INTERNAL]);
    expect(passed).toContain(recorder.find(isSending)!.spanContext().spanId);
    expect(seen.map(({ system, destination }) => [system, destination])).toEqual([[transport.system, 'passed']]);
  });

  it('makes no span of an outgoing message that is to be ignored, and gives it no headers', async () => {
    const seen: OutboundMessage[] = [];
    const recorder = await start({
      outbound: {
        ignoreMessages: message => {
          seen.push(message);
          return true;
        },
      },
    });
    await ask('echo');
    await recorder.waitForSpans(3);
    expect(recorder.find(isSending)).toBeUndefined();
    expect(recorder.find(isHandling)!.parentSpanContext).toBeUndefined();
    expect(seen).toEqual([{ system: transport.system, destination: 'echo' }]);
  });

  it('begins a trace of its own, with a link, where the sender is not trusted', async () => {
    const recorder = await start({ inbound: { trust: false } });
    await ask('echo', 1);
    await recorder.waitForSpans(4);
    const handling = recorder.find(isHandling)!;
    expect(handling.parentSpanContext).toBeUndefined();
    expect(handling.links.map(({ context }) => context.spanId)).toEqual([recorder.find(isSending)!.spanContext().spanId]);
  });

  it("has messages in traces of their own, with a link, where messageOrigin is 'link'; calls stay in that of the caller", async () => {
    const recorder = await start({ inbound: { messageOrigin: 'link' } });
    await tell(1);
    await recorder.waitForSpans(4);
    const handling = recorder.find(isHandling)!;
    const sending = recorder.find(isSending)!;
    const isLinked = transport.protocol === 'messaging';
    expect(handling.parentSpanContext?.spanId).toBe(isLinked ? undefined : sending.spanContext().spanId);
    expect(handling.links.map(({ context }) => context.spanId)).toEqual(isLinked ? [sending.spanContext().spanId] : []);
  });

  it("leaves the user's own serializers and deserializers in their places, and the trace holds", async () => {
    const recorder = await start({
      configure: application => {
        const { serverInstance } = application as unknown as { serverInstance: { deserializer: Unboxing } };
        serverInstance.deserializer = new Unboxing(serverInstance.deserializer);
      },
    });
    const client = services.caller.client as unknown as { serializer: Boxing };
    const boxing = new Boxing(client.serializer);
    client.serializer = boxing;
    expect(await ask('echo', { id: 7 })).toEqual({ id: 7 });
    await recorder.waitForTrace();
    expect(boxing.seen).toHaveLength(1);
    expect(client.serializer).toBe(boxing);
    expect(recorder.parentOf(recorder.find(isHandling)!)).toBe(recorder.find(isSending));
  });

  it.each(['server', 'client'] as const)('works as before where the %s knows nothing of tracing', async untraced => {
    const recorder = await start({ untraced });
    if (untraced === 'client') {
      const { client } = services.caller;
      expect(await firstValueFrom(client.send('echo', { id: 7 }))).toEqual({ id: 7 });
      await recorder.waitForSpans(2);
      expect(recorder.find(isHandling)!.parentSpanContext).toBeUndefined();
      return;
    }
    expect(await ask('echo', { id: 7 })).toEqual({ id: 7 });
    await recorder.waitForSpans(2);
    expect(recorder.spans.map(({ kind }) => kind)).toEqual([recorder.find(isSending)!.kind, SpanKind.INTERNAL]);
  });
});

describe.each(transports)('a message over $name that nobody takes', transport => {
  beforeAll(() => transport.prepare(), 60_000);

  it('fails the span of its sending', async () => {
    const recorder = new TraceRecorder();
    @Module({ imports: [TracingModule.forRoot({ exporter: recorder }), ClientsModule.register([{ name: 'LOST', ...(await nowhere()) }])] })
    class LostModule {}
    const application = await NestFactory.createApplicationContext(LostModule, { logger: false });
    const client = application.get<ClientProxy>('LOST');
    const inRequest = (fn: () => Promise<unknown>) => application.get(Tracer).span('request', fn);
    await expect(inRequest(() => firstValueFrom(client.send('echo', 1)))).rejects.toBeDefined();
    expect(await inRequest(() => lastValueFrom(client.emit('told', 1)).then(String, () => 'failed'))).toBe('failed');
    await recorder.waitForSpans(4);
    expect(recorder.spans.filter(isSending).map(({ status }) => status.code)).toEqual([SpanStatusCode.ERROR, SpanStatusCode.ERROR]);
    // Nest 11 cannot close an unopened client and then skips the hooks of other modules.
    await application.close().catch(() => application.get(TracingModule).onApplicationShutdown());
  });

  /** Returns the settings of a client without a server. */
  async function nowhere(): Promise<ClientOptions> {
    const { client } = await transport.prepare();
    const port = await freePort();
    const { options = {} } = client as { options?: object };
    // Each setting is used only for its transport: the MQTT client would also use the `servers` of NATS.
    const places = { port, servers: `nats://127.0.0.1:${port}`, urls: [`amqp://127.0.0.1:${port}`], url: `mqtt://127.0.0.1:${port}` };
    const place = Object.entries(places).filter(([key]) => key in options);
    return {
      ...client,
      options: { ...options, ...Object.fromEntries(place), reconnectPeriod: 0, retryAttempts: 0, reconnect: false },
    } as ClientOptions;
  }
});
