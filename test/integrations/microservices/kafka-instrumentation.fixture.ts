/** Services that communicate over Kafka with OpenTelemetry's kafkajs instrumentation. It prints the spans of each exchange. */
import { createRequire } from 'node:module';
import { Controller, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type ClientKafka, ClientsModule, EventPattern, MessagePattern, Payload, Transport } from '@nestjs/microservices';
import { SpanKind } from '@opentelemetry/api';
import { KafkaJsInstrumentation } from '@opentelemetry/instrumentation-kafkajs';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { NoSpan, Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

const { server, client } = JSON.parse(process.argv[2] ?? '{}') as { server: object; client: object };

new KafkaJsInstrumentation().enable();
const { Kafka } = createRequire(`${process.cwd()}/`)('kafkajs') as { Kafka: { prototype: { producer: { __wrapped?: boolean } } } };

@Controller()
class Orders {
  @EventPattern('orders.placed') placed(@Payload() _data: unknown) {}

  @MessagePattern('orders.price') price(@Payload() { amount }: { amount: number }) {
    if (amount < 0) throw new RangeError('negative');
    return { price: amount };
  }

  @NoSpan() @EventPattern('orders.quiet') quiet(@Payload() _data: unknown) {}
}

const recorder = new TraceRecorder();
const module = (name: string, imports: unknown[], controllers: Type[]) => {
  @Module({ imports: [TracingModule.forRoot({ serviceName: name, exporter: recorder }), ...(imports as [])], controllers })
  class AppModule {}
  return AppModule;
};
const service = await NestFactory.createMicroservice(module('server', [], [Orders]), {
  transport: Transport.KAFKA,
  options: server,
  logger: false,
  abortOnError: false,
});
await service.listen();
const clients = ClientsModule.register([{ name: 'CLIENT', transport: Transport.KAFKA, options: client }]);
const application = await NestFactory.createApplicationContext(module('client', [clients], []), { logger: false, abortOnError: false });
const sender = application.get<ClientKafka>('CLIENT');
sender.subscribeToResponseOf('orders.price');
await sender.connect();

/** Returns the spans of one exchange: name, kind, scope, parent, handler method, and whether it failed. */
async function spansOf(send: () => Promise<unknown>, last: string, count = 1): Promise<unknown[]> {
  recorder.clear();
  const traceId = await application.get(Tracer).span('request', async span => {
    await send().catch(() => undefined);
    return span.spanContext().traceId;
  });
  // Spans of the previous exchange may still arrive.
  const own = () => recorder.spans.filter(span => span.spanContext().traceId === traceId);
  const isWhole = () => own().every(span => span.parentSpanContext === undefined || recorder.parentOf(span) !== undefined);
  await recorder.waitForSpans(() => own().filter(({ name }) => name === last).length >= count && isWhole(), { timeoutMs: 20_000 });
  return own().map(span => [
    span.name,
    SpanKind[span.kind],
    span.instrumentationScope.name,
    recorder.parentOf(span)?.name,
    span.attributes['code.function.name'],
    span.attributes['error.type'],
  ]);
}

const whole = (emitted: ReturnType<ClientKafka['emit']>) => lastValueFrom(emitted, { defaultValue: undefined });
const messages = [{ value: '1' }, { value: '2' }];
const output = {
  isPatched: Kafka.prototype.producer.__wrapped === true,
  emitted: await spansOf(() => whole(sender.emit('orders.placed', { id: 1 })), 'process orders.placed'),
  batch: await spansOf(() => whole(sender.emitBatch('orders.placed', { messages })), 'process orders.placed', 2),
  answered: await spansOf(() => firstValueFrom(sender.send('orders.price', { amount: 1 })), 'process orders.price.reply'),
  failed: await spansOf(() => firstValueFrom(sender.send('orders.price', { amount: -1 })), 'process orders.price.reply'),
  quiet: await spansOf(() => whole(sender.emit('orders.quiet', {})), 'process orders.quiet'),
};
process.stdout.write(`\n${JSON.stringify(output)}\n`);
await application.close();
await service.close();
