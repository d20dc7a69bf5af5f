/**
 * An application in CommonJS, where the official instrumentation of ioredis is at work as it is with `node --require`: it adds a job, whose
 * processor asks Redis for something, and prints its spans. Arguments: the folder of the library, the port of Redis.
 */
const { IORedisInstrumentation } = require('@opentelemetry/instrumentation-ioredis');
// It patches what is required from here on.
new IORedisInstrumentation();
const { Redis } = require('ioredis');

require('reflect-metadata');
const { BullModule, Processor, WorkerHost } = require('@nestjs/bullmq');
const { Module } = require('@nestjs/common');
const { NestFactory } = require('@nestjs/core');
const { lineOf, print } = require('../printed-spans.cjs');

const [folder, port] = process.argv.slice(2);
const { Tracer, TracingModule } = require(`${folder}/index.js`);
const { TraceRecorder } = require(`${folder}/testing/index.js`);

const connection = { host: '127.0.0.1', port: Number(port) };
const redis = new Redis(connection);

class MailProcessor extends WorkerHost {
  process() {
    return redis.get('some key');
  }
}
Processor('mail')(MailProcessor);

const recorder = new TraceRecorder();
class ApplicationModule {}
Module({
  imports: [TracingModule.forRoot({ exporter: recorder }), BullModule.forRoot({ connection }), BullModule.registerQueue({ name: 'mail' })],
  providers: [MailProcessor],
})(ApplicationModule);

async function main() {
  const application = await NestFactory.createApplicationContext(ApplicationModule, { logger: false });
  await application.get(Tracer).span('request', () => application.get('BullQueue_mail').add('welcome', {}));
  await recorder.waitForSpan('process mail');
  await application.close();
  await redis.quit();
  const lines = recorder.spans.map(span => `${lineOf(recorder, span)} (${span.instrumentationScope.name})`);
  return lines.sort();
}

print(main);
