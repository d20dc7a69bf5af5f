/**
 * Libraries above drivers beside their official instrumentations. Prints the makers of the spans of each call. Needs `SPEC_PG`, and may get
 * `SPEC_MONGODB`: ports.
 */
import { createRequire } from 'node:module';
import { NestFactory } from '@nestjs/core';
import { Module } from '@nestjs/common';
import { KnexInstrumentation } from '@opentelemetry/instrumentation-knex';
import { MongooseInstrumentation } from '@opentelemetry/instrumentation-mongoose';
import { Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

const { SPEC_PG, SPEC_MONGODB } = process.env;
const instrumentations = [new KnexInstrumentation(), new MongooseInstrumentation()];

// The instrumentations wrap only what is loaded by `require`, after them.
const require = createRequire(import.meta.url);
const { knex } = require('knex') as typeof import('knex');
const mongoose = require('mongoose') as typeof import('mongoose');

const db = knex({ client: 'pg', connection: `postgres://postgres@127.0.0.1:${SPEC_PG}/postgres`, pool: { min: 0, max: 2 } });
const connection = SPEC_MONGODB === undefined ? undefined : mongoose.createConnection(`mongodb://127.0.0.1:${SPEC_MONGODB}/test`);
const User = (connection ?? mongoose).model('User', new mongoose.Schema({ n: Number }));

const recorder = new TraceRecorder();
@Module({
  imports: [TracingModule.forRoot({ exporter: recorder, instrumentations })],
  providers: [
    { provide: 'knex', useValue: db },
    { provide: 'mongoose', useValue: connection ?? {} },
  ],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
const during = async (call: () => Promise<unknown>): Promise<string[]> => {
  recorder.clear();
  await app.get(Tracer).span('request', call);
  return recorder.spans.filter(({ name }) => name !== 'request').map(span => span.instrumentationScope.name.replace('@opentelemetry/', ''));
};

const result = {
  knex: await during(async () => {
    await db.raw('SELECT 1');
    await db.transaction(trx => trx.raw('SELECT 2'));
  }),
  mongoose:
    connection &&
    (await during(async () => {
      await User.init();
      await User.create({ n: 1 });
      await User.findOne({ n: 1 });
    })),
};
await app.close();
await Promise.all([db.destroy(), connection?.close()]);
console.log('makers', JSON.stringify(result));
