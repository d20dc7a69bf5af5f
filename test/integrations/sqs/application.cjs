/**
 * An application in CommonJS that sends and handles messages by @ssut/nestjs-sqs, which cannot be loaded by jest, and prints its spans. With
 * "instrumented", the official instrumentation of the AWS SDK is at work as it is with `node --require`. Arguments: the folder of the
 * library, the port of SQS, "instrumented" or "plain".
 */
const [folder, port, mode] = process.argv.slice(2);
const { AwsInstrumentation } = require('@opentelemetry/instrumentation-aws-sdk');
// It patches what is required from here on.
if (mode === 'instrumented') new AwsInstrumentation();
const { CreateQueueCommand, SendMessageCommand, SQSClient } = require('@aws-sdk/client-sqs');

require('reflect-metadata');
const { Module } = require('@nestjs/common');
const { NestFactory } = require('@nestjs/core');
const { lineOf, print } = require('../printed-spans.cjs');
const { SqsMessageHandler, SqsModule, SqsService } = require('@ssut/nestjs-sqs');
const { NoSpan, Tracer, TracingModule } = require(`${folder}/index.js`);
const { TraceRecorder } = require(`${folder}/testing/index.js`);

const credentials = { accessKeyId: 'x', secretAccessKey: 'x' };
const client = () => new SQSClient({ endpoint: `http://127.0.0.1:${port}`, region: 'x', credentials });
const sender = client();
const names = ['orders', 'batches', 'quiet'];
const handled = [];

class Handlers {
  async order(message) {
    handled.push(message.Body);
  }
  async batch(messages) {
    handled.push(...messages.map(({ Body }) => Body));
  }
  async quiet(message) {
    handled.push(message.Body);
  }
}
function decorate(method, ...decorators) {
  const descriptor = Object.getOwnPropertyDescriptor(Handlers.prototype, method);
  for (const decorator of decorators) decorator(Handlers.prototype, method, descriptor);
}
decorate('order', SqsMessageHandler('orders'));
decorate('batch', SqsMessageHandler('batches', true));
decorate('quiet', SqsMessageHandler('quiet'), NoSpan());

async function main() {
  const urls = new Map();
  for (const QueueName of names) {
    const { QueueUrl } = await client().send(new CreateQueueCommand({ QueueName }));
    urls.set(QueueName, QueueUrl);
  }
  const recorder = new TraceRecorder();
  class ApplicationModule {}
  Module({
    imports: [
      TracingModule.forRoot({ exporter: recorder }),
      SqsModule.register({
        consumers: names.map(name => ({ name, queueUrl: urls.get(name), sqs: client(), batchSize: 10, waitTimeSeconds: 1 })),
        producers: [{ name: 'batches', queueUrl: urls.get('batches'), sqs: client() }],
      }),
    ],
    providers: [Handlers, { provide: 'sender', useValue: sender }],
  })(ApplicationModule);
  const application = await NestFactory.createApplicationContext(ApplicationModule, { logger: false });
  await application.get(Tracer).span('request', async () => {
    for (const name of ['orders', 'quiet']) await sender.send(new SendMessageCommand({ QueueUrl: urls.get(name), MessageBody: name }));
    await application.get(SqsService).send('batches', { id: '1', body: 'batches' });
  });
  await recorder.waitForSpan('process orders');
  await recorder.waitForSpan('process batches');
  for (let looks = 0; looks < 100 && handled.length < names.length; looks++) await new Promise(resolve => setTimeout(resolve, 50));
  await application.close();
  const spans = recorder.spans.filter(({ name }) => !/receive|ChangeMessage|SQS\.|^(GET|POST)/.test(name));
  const lines = spans.map(
    span => `${lineOf(recorder, span)} (${span.instrumentationScope.name})${handlerOf(span)}${linksOf(recorder, span)}`,
  );
  const libraries = [...new Set(recorder.spans.map(span => span.instrumentationScope.name))].sort();
  return { handled: handled.sort(), lines: lines.sort(), libraries };
}

function handlerOf({ attributes }) {
  const handler = attributes['code.function.name'];
  return handler === undefined ? '' : ` ${handler}`;
}

function linksOf(recorder, { links }) {
  const linked = links.map(({ context }) => recorder.spans.find(span => span.spanContext().spanId === context.spanId)?.name);
  return linked.length === 0 ? '' : ` linked to ${linked.join(', ')}`;
}

print(main);
