/** An application that is told to end while work is under way; KIND says what kind of one, PROVIDER whose pipeline it has. */
import { setTimeout as pause } from 'node:timers/promises';
import { Controller, Get, Injectable, Module, type OnModuleDestroy, Param } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, MessagePattern, Payload, Transport } from '@nestjs/microservices';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { firstValueFrom } from 'rxjs';
import { Tracer, TracingModule } from '../../lib/index.js';

const { KIND = 'express', PROVIDER = 'own' } = process.env;
const batches = () => new BatchSpanProcessor(new OTLPTraceExporter({ url: `${process.env.COLLECTOR}/v1/traces` }));
const provider = new NodeTracerProvider({ spanProcessors: [batches()] });
const pipelines = {
  own: {},
  adopted: { tracerProvider: provider },
  processor: { exporter: 'none', spanProcessors: [batches()] },
} as const;

@Controller()
class AppController {
  @Get('wait/:ms') async get(@Param('ms') ms: string) {
    await pause(Number(ms));
    return 'done';
  }
  @MessagePattern('wait') async wait(@Payload() ms: number) {
    await pause(ms);
    return 'done';
  }
}

/** What closes before the server does takes its time. */
@Injectable()
class Drain implements OnModuleDestroy {
  async onModuleDestroy() {
    console.log('closing');
    if (KIND === 'drain' || KIND === 'jobs') await pause(10_000);
  }
}

@Module({ imports: [TracingModule.forRoot(pipelines[PROVIDER as 'own'])], controllers: [AppController], providers: [Drain] })
class AppModule {}

async function http(adapter?: FastifyAdapter) {
  const app = await (adapter === undefined ? NestFactory.create(AppModule) : NestFactory.create(AppModule, adapter));
  await app.enableShutdownHooks().listen(0, '127.0.0.1');
  const url = await app.getUrl();
  return (ms: number) => fetch(`${url}/wait/${ms}`).then(answer => answer.text());
}

async function microservice() {
  const options = { host: '127.0.0.1', port: Number(process.env.PORT) };
  const app = await NestFactory.createMicroservice(AppModule, { transport: Transport.TCP, options });
  await app.enableShutdownHooks().listen();
  const client = ClientProxyFactory.create({ transport: Transport.TCP, options });
  return (ms: number) => firstValueFrom(client.send<string>('wait', ms));
}

async function jobs() {
  const app = await NestFactory.createApplicationContext(AppModule);
  app.enableShutdownHooks();
  const tracer = app.get(Tracer);
  return (ms: number) => tracer.span('job', () => pause(ms, 'done'));
}

const kinds: Record<string, () => Promise<(ms: number) => Promise<string>>> = {
  express: () => http(),
  drain: () => http(),
  fastify: () => http(new FastifyAdapter()),
  microservice,
  jobs,
};

// What is called by the process itself would be a trace of calls; this is about what is served.
const work = await kinds[KIND]!();
for (let i = 0; i < 5; i++) await work(0);
void work(10_000).catch(() => undefined);
void work(Number(process.env.ENDS_AFTER_MS ?? 600)).catch(() => undefined);
setTimeout(() => console.log('working'), 100);
