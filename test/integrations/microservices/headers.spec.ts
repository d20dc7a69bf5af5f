import { type INestApplicationContext, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientsModule, MqttRecordBuilder, NatsRecordBuilder, RmqRecordBuilder } from '@nestjs/microservices';
import { SpanKind } from '@opentelemetry/api';
import { lastValueFrom } from 'rxjs';
import { type OutboundOptions, Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { Caller } from './microservices.js';
import { describeOver, mqtt311, mqtt5, nats, type Pair, rabbitmq, redis, type TestTransport } from './transports.js';
import { tap, type Wiretap } from './wiretap.js';

const OTHERS = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

interface MsgHdrs {
  set(name: string, value: string): void;
}

/** Adds the user's headers to a message. */
type Recorded = (data: unknown, headers: Record<string, string>) => unknown;

const records = new Map<TestTransport, Recorded>([
  [rabbitmq, (data, headers) => new RmqRecordBuilder(data).setOptions({ headers, priority: 3, messageId: 'm-1' }).build()],
  [mqtt5, (data, headers) => new MqttRecordBuilder(data).setQoS(1).setProperties({ userProperties: headers }).build()],
]);

class Sender {
  private constructor(
    readonly recorder: TraceRecorder,
    readonly application: INestApplicationContext,
    private readonly wiretap: Wiretap,
  ) {}

  static async start(transport: TestTransport, pair: Pair, outbound: OutboundOptions = {}, enabled = true): Promise<Sender> {
    const wiretap = await tap(transport, pair, 'told');
    const recorder = new TraceRecorder();
    @Module({
      imports: [
        TracingModule.forRoot({ exporter: recorder, enabled, outbound }),
        ClientsModule.register([{ name: 'CLIENT', ...pair.client }]),
      ],
      providers: [Caller],
    })
    class ClientModule {}
    return new Sender(recorder, await NestFactory.createApplicationContext(ClientModule, { logger: false }), wiretap);
  }

  async send(data: unknown) {
    const { client } = this.application.get(Caller);
    await this.application.get(Tracer).span('request', () => lastValueFrom(client.emit('told', data), { defaultValue: undefined }));
    return this.wiretap.next();
  }

  get sending() {
    return this.recorder.find(({ kind }) => kind === SpanKind.PRODUCER)!;
  }

  async close() {
    await this.application.close();
    await this.wiretap.close();
  }
}

const data = { text: 'grüße', list: [1, null, { deep: true }] };

describeOver([nats, rabbitmq, mqtt5], 'what goes over the wire of $name', transport => {
  let sender: Sender;
  beforeAll(() => transport.prepare(), 60_000);
  afterEach(() => sender.close());

  async function record(payload: unknown, headers: Record<string, string>): Promise<unknown> {
    const make = records.get(transport);
    if (make !== undefined) return make(payload, headers);
    const name = await Promise.any(['@nats-io/transport-node', 'nats'].map(found => import(found).then(() => found)));
    const own = ((await import(name)) as { headers(): MsgHdrs }).headers();
    for (const [key, value] of Object.entries(headers)) own.set(key, value);
    return new NatsRecordBuilder(payload).setHeaders(own as never).build();
  }

  it('is the same body, byte by byte, as without tracing', async () => {
    sender = await Sender.start(transport, await transport.prepare(), {}, false);
    const untraced = await sender.send(data);
    await sender.close();
    sender = await Sender.start(transport, await transport.prepare());
    const traced = await sender.send(data);
    expect(traced.body).toBe(untraced.body);
    expect(untraced.headers).toEqual({});
    expect(traced.headers['traceparent']).toContain(sender.sending.spanContext().spanId);
  });

  it("has the user's headers next to ours, and his object stays as it was", async () => {
    sender = await Sender.start(transport, await transport.prepare());
    const own = { 'X-User': 'Ada', other: 'b' };
    const given = await record(data, own);
    const before = JSON.stringify([...((given as { headers?: Iterable<unknown> }).headers ?? [])]);
    const first = await sender.send(given);
    expect(first.headers).toMatchObject(own);
    expect(first.headers['traceparent']).toContain(sender.sending.spanContext().spanId);
    expect(own).toEqual({ 'X-User': 'Ada', other: 'b' });
    expect(JSON.stringify([...((given as { headers?: Iterable<unknown> }).headers ?? [])])).toBe(before);
  });

  it.each(['traceparent', 'TraceParent'])('has the %s that the user put there, and the span of the sending is linked to it', async name => {
    sender = await Sender.start(transport, await transport.prepare());
    const { headers } = await sender.send(await record(data, { [name]: OTHERS }));
    expect(headers).toEqual({ [name]: OTHERS });
    expect(sender.sending.links.map(({ context }) => context.spanId)).toEqual(['b7ad6b7169203331']);
  });

  it('has no headers of ours where the message is ignored', async () => {
    sender = await Sender.start(transport, await transport.prepare(), { ignoreMessages: 'told' });
    expect((await sender.send(data)).headers).toEqual({});
    expect(sender.recorder.spans.map(({ name }) => name)).toEqual(['request']);
  });
});

describeOver([redis, mqtt311], 'what goes over the wire of $name', transport => {
  let sender: Sender;
  beforeAll(() => transport.prepare(), 60_000);
  afterEach(() => sender.close());

  it('is the envelope as without tracing, with the headers as its last member', async () => {
    sender = await Sender.start(transport, await transport.prepare(), {}, false);
    const untraced = await sender.send(data);
    await sender.close();
    sender = await Sender.start(transport, await transport.prepare());
    const traced = await sender.send(data);
    const { metadata, ...rest } = JSON.parse(traced.body) as { metadata: Record<string, string> };
    expect(JSON.stringify(rest)).toBe(untraced.body);
    expect(metadata['traceparent']).toContain(sender.sending.spanContext().spanId);
  });
});
