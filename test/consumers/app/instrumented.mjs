/** An application that lists five official instrumentations. Prints which of them have made the spans of its calls. */
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
import { TracingModule } from 'nestjs-tracing';
import { TraceRecorder } from 'nestjs-tracing/testing';
import OpenAI from 'openai';
import pg from 'pg';
import { startServices } from './services.mjs';

async function main() {
  const ports = await startServices();
  const host = '127.0.0.1';
  const pool = new pg.Pool({ host, port: ports.pg, user: 'postgres', database: 'postgres' });
  const mongo = new MongoClient(`mongodb://${host}:${ports.mongodb}`);
  const redis = new Redis({ host, port: ports.ioredis });
  const openai = new OpenAI({ baseURL: `http://${host}:${ports.http}/v1`, apiKey: 'none', maxRetries: 0 });
  const credentials = { accessKeyId: 'none', secretAccessKey: 'none' };
  const sqs = new SQSClient({ endpoint: `http://${host}:${ports.http}`, region: 'local', credentials, maxAttempts: 1 });

  class CallsController {
    async calls() {
      await pool.query('SELECT 7');
      await mongo.db('test').collection('orders').findOne({ number: 7 });
      await redis.get('number');
      await sqs.send(new GetQueueUrlCommand({ QueueName: 'orders' }));
      const { choices } = await openai.chat.completions.create({ model: 'tiny', messages: [{ role: 'user', content: 'Hello' }] });
      return choices[0].message.content;
    }
  }
  Controller()(CallsController);
  Get('calls')(CallsController.prototype, 'calls', Object.getOwnPropertyDescriptor(CallsController.prototype, 'calls'));

  const recorder = new TraceRecorder();
  const instrumentations = [
    new PgInstrumentation(),
    new MongoDBInstrumentation(),
    new IORedisInstrumentation(),
    new AwsInstrumentation(),
    new OpenAIInstrumentation(),
  ];
  class AppModule {}
  Module({ imports: [TracingModule.forRoot({ exporter: recorder, instrumentations })], controllers: [CallsController] })(AppModule);
  const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
  await app.listen(0, host);
  const answer = await (await fetch(`http://${host}:${app.getHttpServer().address().port}/calls`)).text();
  await app.close();

  const server = recorder.spans.find(span => span.name === 'GET /calls');
  const made = recorder.spans
    .filter(span => recorder.parentOf(span) === server && !/^pg(-pool)?\.connect$/.test(span.name))
    .map(span => `${span.name} by ${span.instrumentationScope.name.replace('@opentelemetry/instrumentation-', '')}`);
  console.log(`${answer}: ${made.join(', ')}`);
  // Clients and services are still connected.
  process.exit();
}

void main();
