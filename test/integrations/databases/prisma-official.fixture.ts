/** Prisma beside its own instrumentation. Prints the spans of one query. Needs `SPEC_CLIENT`, the folder of the client, and `SPEC_PORT`. */
import { createRequire } from 'node:module';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { PrismaPg } from '@prisma/adapter-pg';
import { PrismaInstrumentation } from '@prisma/instrumentation';
import { Tracer, traceDatabase, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

interface Client {
  readonly user: { findFirst(query: object): Promise<unknown> };
  $transaction<T>(work: readonly T[]): Promise<unknown>;
  $disconnect(): Promise<void>;
}

const { PrismaClient } = createRequire(import.meta.url)(process.env.SPEC_CLIENT ?? '') as { PrismaClient: new (options: object) => Client };
const adapter = traceDatabase(
  new PrismaPg({ host: '127.0.0.1', port: Number(process.env.SPEC_PORT), user: 'postgres', database: 'postgres' }),
);
const client = new PrismaClient({ adapter });
const recorder = new TraceRecorder();

@Module({
  imports: [TracingModule.forRoot({ exporter: recorder, instrumentations: [new PrismaInstrumentation()] })],
  providers: [{ provide: 'prisma', useValue: client }],
})
class AppModule {}

const application = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
const find = () => client.user.findFirst({ where: { id: 7 } });
await find();
recorder.clear();
await application.get(Tracer).span('request', () => client.$transaction([find()]));
const lines = recorder.spans.map(({ name, instrumentationScope }) => `${instrumentationScope.name}: ${name}`);
await application.close();
await client.$disconnect();
console.log('spans', JSON.stringify(lines));
