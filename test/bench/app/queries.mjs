/** Sends the same query to PostgreSQL again and again: what a query costs through one library, in one set-up. */
import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';
import { trace } from '@opentelemetry/api';
import { droppingExporter, spansDropped } from './dropping.exporter.mjs';
import { answer, tell } from './parent.mjs';

const AT_ONCE = 4;
const IN_ONE_REQUEST = 20;
const [library, setUpName, port] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const server = { host: '127.0.0.1', port: Number(port), user: 'postgres', username: 'postgres', database: 'postgres' };

if (setUpName === 'official') await registerOfficial();
const { provided, query } = await open();
if (setUpName === 'ours') await startOurs();

let sent = 0;
answer({ measure });
tell({});

/** The query and the object that sends it. Instrumentations must be registered before. */
async function open() {
  const text = 'SELECT oid, datname FROM pg_database WHERE datname = $1';
  const values = ['postgres'];
  const pg = require('pg');
  if (library === 'typeorm') {
    const { DataSource } = require('typeorm');
    const dataSource = await new DataSource({ type: 'postgres', ...server, poolSize: AT_ONCE }).initialize();
    return { provided: dataSource, query: () => dataSource.query(text, values) };
  }
  if (library === 'pool') {
    const pool = new pg.Pool({ ...server, max: AT_ONCE });
    return { provided: pool, query: () => pool.query(text, values) };
  }
  const client = new pg.Client(server);
  await client.connect();
  return { provided: client, query: () => client.query(text, values) };
}

async function startOurs() {
  const { Module } = await import('@nestjs/common');
  const { NestFactory } = await import('@nestjs/core');
  const { TracingModule } = await import('nestjs-tracing');
  class AppModule {}
  const providers = [{ provide: 'database', useValue: provided }];
  Module({ imports: [TracingModule.forRoot({ serviceName: 'queries', exporter: droppingExporter })], providers })(AppModule);
  await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
}

async function registerOfficial() {
  const { NodeTracerProvider, BatchSpanProcessor } = await import('@opentelemetry/sdk-trace-node');
  new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(droppingExporter)] }).register();
  const { PgInstrumentation } = await import('@opentelemetry/instrumentation-pg');
  const { TypeormInstrumentation } = await import('@opentelemetry/instrumentation-typeorm');
  new PgInstrumentation();
  if (library === 'typeorm') new TypeormInstrumentation();
}

/** CPU time in µs of a query, and how many spans one has been exported with so far. */
async function measure({ windowMs }) {
  const before = process.cpuUsage();
  const first = sent;
  const end = performance.now() + windowMs;
  await Promise.all(Array.from({ length: AT_ONCE }, () => sendUntil(end)));
  const { user, system } = process.cpuUsage(before);
  return { cpuUs: (user + system) / (sent - first), spans: spansDropped() / sent };
}

async function sendUntil(end) {
  const tracer = trace.getTracer('requests');
  while (performance.now() < end) await tracer.startActiveSpan('request', request);
}

async function request(span) {
  for (let i = 0; i < IN_ONE_REQUEST; i++) {
    await query();
    sent++;
  }
  span.end();
}
