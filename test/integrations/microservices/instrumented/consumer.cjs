/**
 * An application in CommonJS that consumes with amqplib itself and has Nest run its handlers, bound, as libraries for RabbitMQ do; it prints
 * its spans. Arguments: the folder of the library, `rabbitmq`, the port, whether amqplib is instrumented.
 */
const { AmqplibInstrumentation } = require('@opentelemetry/instrumentation-amqplib');

const [folder, , port, mode] = process.argv.slice(2);
// It patches what is required from here on.
if (mode === 'instrumented') new AmqplibInstrumentation();
const amqplib = require('amqplib');

require('reflect-metadata');
const { Module } = require('@nestjs/common');
const { ExternalContextCreator, NestFactory } = require('@nestjs/core');
const { lineOf, print } = require('../../printed-spans.cjs');

const { NoSpan, Tracer, TracingModule } = require(`${folder}/index.js`);
const { TraceRecorder } = require(`${folder}/testing/index.js`);

const recorder = new TraceRecorder();
let tracer;

class Subs {
  async onA() {
    await tracer.span('work', () => undefined);
  }

  async quiet() {
    await tracer.span('work', () => undefined);
  }
}
NoSpan()(Subs.prototype, 'quiet', Object.getOwnPropertyDescriptor(Subs.prototype, 'quiet'));

class ApplicationModule {}
Module({ imports: [TracingModule.forRoot({ exporter: recorder })], providers: [Subs] })(ApplicationModule);

async function main() {
  const application = await NestFactory.createApplicationContext(ApplicationModule, { logger: false });
  tracer = application.get(Tracer);
  const subs = application.get(Subs);
  const connection = await amqplib.connect(`amqp://127.0.0.1:${port}`);
  const channel = await connection.createChannel();
  for (const method of ['onA', 'quiet']) {
    for (const noAck of [true, false]) {
      const queue = `${mode}-${method}-${noAck ? 'by-broker' : 'by-hand'}`;
      await channel.assertQueue(queue, { durable: false, autoDelete: true });
      const handler = application.get(ExternalContextCreator).create(subs, subs[method].bind(subs), method);
      const handled = new Promise(resolve => {
        void channel.consume(
          queue,
          async message => {
            await handler(message);
            if (!noAck) channel.ack(message);
            resolve();
          },
          { noAck },
        );
      });
      await tracer.span('telling', () => channel.publish('', queue, Buffer.from('{}')));
      await handled;
    }
  }
  await channel.close();
  await connection.close();
  await application.close();
  const spans = recorder.spans.map(span => ({
    scope: span.instrumentationScope.name,
    line: lineOf(recorder, span),
    kind: span.kind,
    status: span.status,
    attributes: span.attributes,
  }));
  return { spans };
}

print(main);
