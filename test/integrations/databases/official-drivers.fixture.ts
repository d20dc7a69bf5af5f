/** An application whose drivers OpenTelemetry's official instrumentations have wrapped. Prints the names and the scopes of its spans. */
import 'reflect-metadata';
import { createRequire } from 'node:module';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { MySQL2Instrumentation } from '@opentelemetry/instrumentation-mysql2';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

registerInstrumentations({ instrumentations: [new MySQL2Instrumentation(), new PgInstrumentation()] });

// The instrumentations wrap only what is loaded by `require`, after them.
const require = createRequire(import.meta.url);
const { createPool } = require('mysql2/promise') as typeof import('mysql2/promise');
const { Pool } = require('pg') as typeof import('pg');
const { Sequelize } = require('sequelize') as typeof import('sequelize');

const recorder = new TraceRecorder();
const { MYSQL_PORT, PG_PORT } = process.env;
const mysql = createPool({ host: '127.0.0.1', port: Number(MYSQL_PORT), user: 'tester', database: 'test' });
const pg = new Pool({ host: '127.0.0.1', port: Number(PG_PORT), user: 'postgres', database: 'postgres' });
const orm = new Sequelize(`postgres://postgres@127.0.0.1:${PG_PORT}/postgres`, { logging: false });

@Module({
  imports: [TracingModule.forRoot({ exporter: recorder })],
  providers: [
    { provide: 'mysql', useValue: mysql },
    { provide: 'pg', useValue: pg },
    { provide: 'orm', useValue: orm },
  ],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
await app.get(Tracer).span('request', async () => {
  await mysql.query('SELECT 1');
  await mysql.execute('SELECT 2');
  await pg.query('SELECT 3');
  await orm.query('SELECT 4');
});
const spans = recorder.spans.map(({ instrumentationScope: { name }, attributes }) => ({
  scope: name,
  text: attributes['db.query.text'] ?? attributes['db.statement'],
}));
await Promise.all([app.close(), mysql.end(), pg.end(), orm.close()]);
process.stdout.write(`${JSON.stringify(spans)}\n`);
