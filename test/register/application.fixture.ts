/**
 * An application whose clients are created while its modules are loaded, before AppModule. It starts twice, and answers one request each
 * time. Prints the spans of each start as a line of JSON.
 */
import { GetQueueUrlCommand, SQSClient } from '@aws-sdk/client-sqs';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AwsInstrumentation } from '@opentelemetry/instrumentation-aws-sdk';
import { IORedisInstrumentation } from '@opentelemetry/instrumentation-ioredis';
import { MongoDBInstrumentation } from '@opentelemetry/instrumentation-mongodb';
import { OpenAIInstrumentation } from '@opentelemetry/instrumentation-openai';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { Redis } from 'ioredis';
import { MongoClient } from 'mongodb';
import OpenAI from 'openai';
import pg from 'pg';
import { TracingModule } from '../../lib/index.js';
import { TraceRecorder } from '../../lib/testing/index.js';

const { PG, MONGODB, IOREDIS, HTTP, OPTIONS = '{}' } = process.env;
const options = JSON.parse(OPTIONS) as { enabled?: boolean; listed?: boolean };

const postgres = new pg.Pool({ host: '127.0.0.1', port: Number(PG), user: 'postgres', database: 'postgres' });
const mongodb = new MongoClient(`mongodb://127.0.0.1:${MONGODB}`, { serverSelectionTimeoutMS: 2000 });
const redis = new Redis({ host: '127.0.0.1', port: Number(IOREDIS) });
const openai = new OpenAI({ baseURL: `http://127.0.0.1:${HTTP}/v1`, apiKey: 'none', maxRetries: 0 });
const credentials = { accessKeyId: 'none', secretAccessKey: 'none' };
const sqs = new SQSClient({ endpoint: `http://127.0.0.1:${HTTP}`, region: 'local', credentials, maxAttempts: 1 });

@Controller()
class AppController {
  @Get('all')
  async all(): Promise<string> {
    if (PG !== undefined) await postgres.query('SELECT 7 AS number');
    if (MONGODB !== undefined) await mongodb.db('test').collection('orders').findOne({ number: 7 });
    if (IOREDIS !== undefined) await redis.get('number');
    await sqs.send(new GetQueueUrlCommand({ QueueName: 'orders' }));
    const { choices } = await openai.chat.completions.create({ model: 'tiny', messages: [{ role: 'user', content: 'Hello' }] });
    return choices[0]?.message.content ?? '';
  }
}

const recorder = new TraceRecorder();
const instrumentations = [
  new PgInstrumentation({ requireParentSpan: true, requestHook: span => span.setAttribute('configured', true) }),
  new MongoDBInstrumentation(),
  new IORedisInstrumentation(),
  new AwsInstrumentation(),
  new OpenAIInstrumentation(),
];

@Module({
  imports: [
    TracingModule.forRoot({
      exporter: recorder,
      enabled: options.enabled,
      instrumentations: options.listed === false ? undefined : instrumentations,
    }),
  ],
  controllers: [AppController],
})
class AppModule {}

async function start(): Promise<void> {
  recorder.clear();
  const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
  await app.listen(0, '127.0.0.1');
  const answer = await fetch(`${await app.getUrl()}/all`);
  const said = await answer.text();
  await app.close();
  const spans = recorder.spans.map(span => ({
    maker: span.instrumentationScope.name.replace('@opentelemetry/instrumentation-', ''),
    name: span.name,
    isConfigured: span.attributes['configured'] === true,
    parent: recorder.parentOf(span)?.name,
  }));
  console.log(JSON.stringify({ said, spans }));
}

async function main(): Promise<void> {
  await start();
  await start();
  await Promise.allSettled([postgres.end(), mongodb.close(), redis.quit()]);
}

void main().finally(() => process.exit());
