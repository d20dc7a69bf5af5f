/** Redis clients beside their official instrumentations. Prints the scopes and names of the spans. Needs `SPEC_PORT`. */
import 'reflect-metadata';
import { createRequire } from 'node:module';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { IORedisInstrumentation } from '@opentelemetry/instrumentation-ioredis';
import { RedisInstrumentation } from '@opentelemetry/instrumentation-redis';
import { Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

registerInstrumentations({ instrumentations: [new IORedisInstrumentation(), new RedisInstrumentation()] });

// The instrumentations wrap only what is loaded by `require`, after them.
const require = createRequire(import.meta.url);
const { Redis } = require('ioredis') as typeof import('ioredis');
const current = require('redis') as typeof import('redis');
const older = require('redis-5.10') as unknown as typeof current;

const port = Number(process.env.SPEC_PORT);
const socket = { host: '127.0.0.1', port };
const recorder = new TraceRecorder();
const held = new Redis({ host: '127.0.0.1', port });
const hidden = new Redis({ host: '127.0.0.1', port });
const node = await current.createClient({ socket }).connect();
const olderNode = await older.createClient({ socket }).connect();

@Module({
  imports: [TracingModule.forRoot({ exporter: recorder })],
  providers: [
    { provide: 'held', useValue: held },
    { provide: 'olderNode', useValue: olderNode },
  ],
})
class AppModule {}

const application = await NestFactory.createApplicationContext(AppModule, { logger: false });
const calls: Record<string, () => Promise<unknown>> = {
  held: () => held.get('a'),
  hidden: () => hidden.get('a'),
  pipeline: () => held.pipeline().get('a').exec(),
  node: () => node.get('a'),
  multi: () => node.multi().get('a').exec(),
  older: () => olderNode.get('a'),
};
for (const [name, call] of Object.entries(calls)) {
  recorder.clear();
  await application.get(Tracer).span('request', call);
  const spans = recorder.spans.filter(span => span.name !== 'request');
  const lines = spans.map(span => `${span.instrumentationScope.name.replace('@opentelemetry/', '')}: ${span.name}`);
  console.log(name, JSON.stringify(lines));
}
await application.close();
held.disconnect();
hidden.disconnect();
node.destroy();
olderNode.destroy();
