/**
 * An application in CommonJS, where the official instrumentations of brokers' libraries are at work as they are with `node --require`: it
 * sends what it is told to itself, and prints its spans. Arguments: the folder of the library, `redis` or `rabbitmq`, the port, whether
 * messages are acknowledged by hand.
 */
const { AmqplibInstrumentation } = require('@opentelemetry/instrumentation-amqplib');
const { IORedisInstrumentation } = require('@opentelemetry/instrumentation-ioredis');
// They patch what is required from here on.
new AmqplibInstrumentation();
new IORedisInstrumentation();
// Before Nest: what it imports as an ES module is patched only where somebody has required it.
const { Redis } = require('ioredis');
require('amqplib');

require('reflect-metadata');
const { Controller, Module } = require('@nestjs/common');
const { NestFactory } = require('@nestjs/core');
const { lineOf, print } = require('../../printed-spans.cjs');
const { ClientsModule, Ctx, EventPattern, MessagePattern, Payload, Transport } = require('@nestjs/microservices');
const { firstValueFrom, lastValueFrom } = require('rxjs');

const [folder, kind, port, byHand] = process.argv.slice(2);
const { Tracer, TracingModule } = require(`${folder}/index.js`);
const { TraceRecorder } = require(`${folder}/testing/index.js`);

const noAck = byHand !== 'by-hand';
const settings = {
  redis: () => ({ transport: Transport.REDIS, options: { host: '127.0.0.1', port: Number(port) } }),
  rabbitmq: isServer => ({
    transport: Transport.RMQ,
    options: {
      urls: [`amqp://127.0.0.1:${port}`],
      queue: `queue-${byHand}`,
      noAck: isServer ? noAck : true,
      queueOptions: { durable: false },
    },
  }),
}[kind];

const recorder = new TraceRecorder();
let tracer;
let wasToldOf;
const wasTold = new Promise(resolve => (wasToldOf = resolve));
const redis = kind === 'redis' ? new Redis({ host: '127.0.0.1', port: Number(port) }) : undefined;

class Handlers {
  async echo(data, ctx) {
    await tracer.span('inner', () => redis?.get('some key'));
    if (kind === 'rabbitmq' && !noAck) ctx.getChannelRef().ack(ctx.getMessage());
    return data;
  }

  async told(data, ctx) {
    try {
      await tracer.span('inner', () => undefined);
      throw new RangeError('not today');
    } finally {
      // After the handler has failed.
      setTimeout(() => {
        if (kind === 'rabbitmq' && !noAck) ctx.getChannelRef().ack(ctx.getMessage());
        wasToldOf();
      }, 50);
    }
  }
}
Controller()(Handlers);
for (const [method, decorate] of [
  ['echo', MessagePattern('echo')],
  ['told', EventPattern('told')],
]) {
  decorate(Handlers.prototype, method, Object.getOwnPropertyDescriptor(Handlers.prototype, method));
  Payload()(Handlers.prototype, method, 0);
  Ctx()(Handlers.prototype, method, 1);
}

class ApplicationModule {}
Module({
  imports: [TracingModule.forRoot({ exporter: recorder }), ClientsModule.register([{ name: 'CLIENT', ...settings(false) }])],
  controllers: [Handlers],
})(ApplicationModule);

async function main() {
  const application = await NestFactory.create(ApplicationModule, { logger: false });
  application.connectMicroservice(settings(true));
  await application.startAllMicroservices();
  await application.init();
  tracer = application.get(Tracer);
  const client = application.get('CLIENT');
  await client.connect();
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => tracer.span('asking', () => firstValueFrom(client.send('echo', { i })))),
  );
  await tracer.span('telling', () => lastValueFrom(client.emit('told', {}), { defaultValue: undefined }));
  await wasTold;
  await redis?.quit();
  await application.close();
  const spans = recorder.spans.map(span => ({
    name: span.name,
    kind: span.kind,
    scope: span.instrumentationScope.name,
    parent: recorder.parentOf(span)?.name,
    line: lineOf(recorder, span),
    status: span.status,
    attributes: span.attributes,
  }));
  return { answers, spans };
}

print(main);
