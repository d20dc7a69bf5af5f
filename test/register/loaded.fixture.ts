/** An application whose drivers are loaded before its instrumentations, as `--import nestjs-tracing/register` prepares it. Prints its spans. */
import 'reflect-metadata';
import { createRequire } from 'node:module';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Tracer, TracingModule } from '../../lib/index.js';
import { prepareInstrumentations } from '../../lib/register/prepare-instrumentations.js';
import { TraceRecorder } from '../../lib/testing/index.js';

prepareInstrumentations();

const require = createRequire(import.meta.url);
const { Pool } = require('pg') as typeof import('pg');
const { createPool } = require('mysql2/promise') as typeof import('mysql2/promise');
const { PgInstrumentation } = require('@opentelemetry/instrumentation-pg') as typeof import('@opentelemetry/instrumentation-pg');
const { MySQL2Instrumentation } =
  require('@opentelemetry/instrumentation-mysql2') as typeof import('@opentelemetry/instrumentation-mysql2');

const recorder = new TraceRecorder();
const pg = new Pool({ host: '127.0.0.1', port: Number(process.env.PG_PORT), user: 'postgres', database: 'postgres' });
const mysql = createPool({ host: '127.0.0.1', port: Number(process.env.MYSQL_PORT), user: 'tester', database: 'test' });
const instrumentations = [new PgInstrumentation(), new MySQL2Instrumentation()];

@Module({
  imports: [TracingModule.forRoot({ exporter: recorder, instrumentations })],
  providers: [
    { provide: 'pg', useValue: pg },
    { provide: 'mysql', useValue: mysql },
  ],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
await app.get(Tracer).span('request', async () => {
  await pg.query('SELECT 1');
  await mysql.query('SELECT 2');
});
await app.close();
await Promise.all([pg.end(), mysql.end()]);
const spans = recorder.spans.map(({ instrumentationScope: { name }, attributes }) => ({
  scope: name,
  text: attributes['db.query.text'] ?? attributes['db.statement'],
}));
process.stdout.write(`${JSON.stringify(spans)}\n`);
