import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { Broker } from '../../sample/brokers/broker.js';
import { redis } from '../../sample/brokers/redis.js';
import { describeWithRedis } from './jobs.js';

const run = promisify(execFile);

describeWithRedis('BullMQ together with instrumentation-ioredis', () => {
  let broker: Broker;
  let folder: string;
  /** The library as CommonJS: the instrumentation patches what is required. */
  beforeAll(async () => {
    broker = await Broker.start(redis);
    folder = mkdtempSync(join(tmpdir(), 'instrumented-'));
    const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
    await run(process.execPath, [compiler, '-p', 'tsconfig.cjs.json', '--noCheck', '--declaration', 'false', '--outDir', folder]);
    writeFileSync(join(folder, 'package.json'), '{"type":"commonjs"}');
    symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  }, 120_000);
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await broker?.stop();
  });

  it('has the commands of a queue in the span of its sending, and those of a processor below the processing', async () => {
    const { stdout } = await run(process.execPath, [resolve('test/bullmq/instrumented.cjs'), folder, String(broker.port)]);
    expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toEqual([
      'request (nestjs-tracing)',
      'request > send mail (nestjs-tracing)',
      'request > send mail > process mail (nestjs-tracing)',
      'request > send mail > process mail > get (@opentelemetry/instrumentation-ioredis)',
    ]);
  }, 60_000);
});
