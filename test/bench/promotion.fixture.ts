/**
 * A process that does the same work with and without tracing, and prints how many bytes V8 promotes to the old generation per request or message.
 * What is promoted has been copied twice, and stays until a major collection.
 */
import 'reflect-metadata';
import type { Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { GCProfiler } from 'node:v8';
import { type AbstractHttpAdapter, NestFactory } from '@nestjs/core';
import { Controller, Get, type INestApplicationContext, Module, Param } from '@nestjs/common';
import { type ClientProxy, ClientsModule, MessagePattern, Payload, Transport } from '@nestjs/microservices';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { firstValueFrom } from 'rxjs';
import { TracingModule } from '../../lib/tracing.module.js';
import { freePort } from '../../sample/runner/free-ports.js';

const WARM_UP = 1500;
const MEASURED = 5000;
const AT_ONCE = 24;

/** One unit of work. */
type Unit = (number: number) => Promise<unknown>;

interface Workload {
  readonly unit: Unit;
  close(): Promise<unknown>;
}

let collectIn = Number.POSITIVE_INFINITY;

/** Others are under way when it goes on; now and then the whole heap is collected meanwhile, as happens to any process. */
async function pause(): Promise<void> {
  await setImmediate();
  if (--collectIn === 0) gc?.();
}

@Controller()
class AppController {
  @Get('users/:id')
  async user(@Param('id') id: string) {
    await pause();
    return { id };
  }

  @MessagePattern('users')
  async find(@Payload() id: number) {
    await pause();
    return { id };
  }
}

const imports = {
  bare: [],
  traced: [TracingModule.forRoot({ exporter: { export: (_spans, done) => done({ code: 0 }), shutdown: () => Promise.resolve() } })],
};
type SetUp = keyof typeof imports;

const workloads: Record<string, (setUp: SetUp) => Promise<Workload>> = {
  express: setUp => requests(setUp, new ExpressAdapter()),
  fastify: setUp => requests(setUp, new FastifyAdapter()),
  message: sendMessages,
};

async function requests(setUp: SetUp, adapter: AbstractHttpAdapter): Promise<Workload> {
  @Module({ imports: imports[setUp], controllers: [AppController] })
  class AppModule {}
  const app = await NestFactory.create(AppModule, adapter, { logger: ['error'] });
  await app.listen(0, '127.0.0.1');
  const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
  const clients = Array.from({ length: AT_ONCE }, () => new Client(port));
  return { unit: async number => clients[number % AT_ONCE]!.get(`/users/${number}`), close: () => closing(app, clients) };
}

async function closing(app: INestApplicationContext, clients: readonly Client[]): Promise<void> {
  for (const client of clients) client.close();
  await app.close();
}

async function sendMessages(setUp: SetUp): Promise<Workload> {
  const tcp = { transport: Transport.TCP as const, options: { host: '127.0.0.1', port: await freePort() } };
  @Module({ imports: [...imports[setUp], ClientsModule.register([{ name: 'USERS', ...tcp }])], controllers: [AppController] })
  class AppModule {}
  const app = await NestFactory.createMicroservice(AppModule, { ...tcp, logger: ['error'] });
  await app.listen();
  const client = app.get<ClientProxy>('USERS');
  await client.connect();
  return { unit: number => firstValueFrom(client.send('users', number)), close: () => app.close() };
}

/** A connection that is kept; what it costs is next to nothing. */
class Client {
  private readonly socket;
  private answered: () => void = () => undefined;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1').setNoDelay();
    this.socket.on('data', () => this.answered());
  }

  get(path: string): Promise<void> {
    const parent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    this.socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\ntraceparent: ${parent}\r\n\r\n`);
    return new Promise(resolve => (this.answered = resolve));
  }

  close(): void {
    this.socket.destroy();
  }
}

async function repeat(count: number, unit: Unit): Promise<void> {
  const lane = async (first: number) => {
    for (let number = first; number < count; number += AT_ONCE) await unit(number);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, (_, first) => lane(first)));
}

async function promotedPerUnit(workload: Workload): Promise<number> {
  collectIn = WARM_UP / 2;
  await repeat(WARM_UP, workload.unit);
  const profiler = new GCProfiler();
  profiler.start();
  await repeat(MEASURED, workload.unit);
  const scavenges = profiler.stop().statistics.filter(({ gcType }) => gcType === 'Scavenge');
  await workload.close();
  const promoted = scavenges.map(({ beforeGC, afterGC }) => oldBytes(afterGC) - oldBytes(beforeGC));
  return promoted.reduce((sum, bytes) => sum + bytes, 0) / MEASURED;
}

type Heap = ReturnType<GCProfiler['stop']>['statistics'][number]['afterGC'];

function oldBytes({ heapSpaceStatistics }: Heap): number {
  const old = heapSpaceStatistics.filter(({ spaceName }) => spaceName === 'old_space' || spaceName === 'large_object_space');
  return old.reduce((sum, { spaceUsedSize }) => sum + spaceUsedSize, 0);
}

const promoted: Record<string, Record<SetUp, number>> = {};
for (const [name, start] of Object.entries(workloads)) {
  promoted[name] = { bare: await promotedPerUnit(await start('bare')), traced: await promotedPerUnit(await start('traced')) };
}
console.log(JSON.stringify(promoted));
process.exit(0);
