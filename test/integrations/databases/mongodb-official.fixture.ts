/** `mongodb` beside its official instrumentation. Prints the spans of one query. Needs `SPEC_PORT`. */
import { createRequire } from 'node:module';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MongoDBInstrumentation } from '@opentelemetry/instrumentation-mongodb';
import type * as MongoDb from 'mongodb';
import { Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

new MongoDBInstrumentation();
const { MongoClient } = createRequire(import.meta.url)('mongodb') as typeof MongoDb;

const recorder = new TraceRecorder();
const client = new MongoClient(`mongodb://127.0.0.1:${process.env.SPEC_PORT}`);

@Module({
  imports: [TracingModule.forRoot({ serviceName: 'official', exporter: recorder })],
  providers: [{ provide: MongoClient, useValue: client }],
})
class AppModule {}

const application = await NestFactory.createApplicationContext(AppModule, { logger: false });
await client.connect();
recorder.clear();
await application.get(Tracer).span('request', () => client.db('shop').collection('users').findOne({}));
const lines = recorder.spans.map(
  ({ name, instrumentationScope }) => `${instrumentationScope.name.replace('@opentelemetry/', '')}: ${name}`,
);
await application.close();
await client.close();
console.log('spans', JSON.stringify(lines.sort()));
