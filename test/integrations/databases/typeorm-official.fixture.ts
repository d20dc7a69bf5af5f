/** TypeORM beside the official instrumentations of `pg` and of TypeORM. Prints the spans of one query. Needs `SPEC_PORT` and `SPEC_OFFICIAL`. */
import { createRequire } from 'node:module';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { TypeormInstrumentation } from '@opentelemetry/instrumentation-typeorm';
import type * as TypeOrm from 'typeorm';
import { Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

const official = process.env.SPEC_OFFICIAL ?? '';
if (official.includes('pg')) new PgInstrumentation();
if (official.includes('typeorm')) new TypeormInstrumentation();
const { DataSource } = createRequire(import.meta.url)('typeorm') as typeof TypeOrm;

const recorder = new TraceRecorder();
const dataSource = new DataSource({
  type: 'postgres',
  host: '127.0.0.1',
  port: Number(process.env.SPEC_PORT),
  username: 'postgres',
  database: 'postgres',
});

@Module({
  imports: [TracingModule.forRoot({ serviceName: 'official', exporter: recorder })],
  providers: [{ provide: DataSource, useValue: dataSource }],
})
class AppModule {}

const application = await NestFactory.createApplicationContext(AppModule, { logger: false });
await dataSource.initialize();

recorder.clear();
await application.get(Tracer).span('request', () => dataSource.query('SELECT 1'));
const spans = recorder.spans.filter(({ name }) => name !== 'request' && !name.startsWith('pg-pool'));
const lines = spans.map(({ name, instrumentationScope }) => `${instrumentationScope.name.replace('@opentelemetry/', '')}: ${name}`);
await application.close();
await dataSource.destroy();
console.log('spans', JSON.stringify(lines.sort()));
