/**
 * Measures the heap bytes for each call whose answers never end or never come. It runs in its own process, where it can call the garbage
 * collector.
 */
import 'reflect-metadata';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, MessagePattern, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { catchError, concat, firstValueFrom, NEVER, of, timeout } from 'rxjs';
import { TracingModule } from '../../../lib/index.js';

const CALLS = 2000;
/** Smaller values are normal noise. */
const ENOUGH = 200;

@Controller()
class Handlers {
  @MessagePattern('answered') answered() {
    return of('answer');
  }

  @MessagePattern('first and no more') firstAndNoMore() {
    return concat(of('first'), NEVER);
  }

  @MessagePattern('never') never() {
    return NEVER;
  }

  @MessagePattern('unsettled') unsettled() {
    return new Promise(() => undefined);
  }
}

@Module({
  imports: [TracingModule.forRoot({ exporter: { export: (_, done) => done({ code: 0 }), shutdown: () => Promise.resolve() } })],
  controllers: [Handlers],
})
class AppModule {}

const probe = createServer().listen(0, '127.0.0.1');
await new Promise(resolve => probe.once('listening', resolve));
const { port } = probe.address() as AddressInfo;
await new Promise(resolve => probe.close(resolve));

const options = { host: '127.0.0.1', port };
const app = await NestFactory.createMicroservice<MicroserviceOptions>(AppModule, { transport: Transport.TCP, options, logger: false });
await app.listen();
const client = ClientProxyFactory.create({ transport: Transport.TCP, options });

const ask = (pattern: string) =>
  firstValueFrom(
    client.send(pattern, {}).pipe(
      timeout(20),
      catchError(() => of(undefined)),
    ),
  );

async function heapUsed(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    gc!();
    await pause(50);
  }
  return process.memoryUsage().heapUsed;
}

async function callOften(pattern: string): Promise<void> {
  for (let i = 0; i < CALLS; i += 200) await Promise.all(Array.from({ length: 200 }, () => ask(pattern)));
}

await callOften('answered');
const before = await heapUsed();
const patterns = ['first and no more', 'never', 'unsettled'];
for (const pattern of patterns) await callOften(pattern);
// Calls without an answer are released after ten seconds.
const deadline = performance.now() + 25_000;
let kept: number;
do {
  await pause(500);
  kept = ((await heapUsed()) - before) / (CALLS * patterns.length);
} while (kept > ENOUGH && performance.now() < deadline);
console.log(kept);
process.exit(0);
