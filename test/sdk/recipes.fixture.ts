/** The recipes of docs/serverless-and-shutdown.md; RECIPE says which one runs. */
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { configure as serverlessExpress } from '@codegenie/serverless-express';
import { Controller, Get, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Span, Tracer, TracingModule } from '../../lib/index.js';

type Handler = (event: unknown, context: unknown) => Promise<unknown>;

@Injectable()
class Nightly {
  @Span() async run() {
    await pause(5);
    return 'done';
  }
}

@Controller()
class AppController {
  constructor(private readonly nightly: Nightly) {}
  @Get('work') work() {
    return this.nightly.run();
  }
}

@Module({ imports: [TracingModule.forRoot()], controllers: [AppController], providers: [Nightly] })
class AppModule {}

let served: Promise<{ adapter: Handler; tracer: Tracer }> | undefined;

async function start() {
  const app = await NestFactory.create(AppModule);
  await app.init();
  return { adapter: serverlessExpress({ app: app.getHttpAdapter().getInstance() }) as Handler, tracer: app.get(Tracer) };
}

const handler: Handler = async (event, context) => {
  const { adapter, tracer } = await (served ??= start());
  try {
    return await adapter(event, context);
  } finally {
    await tracer.flush();
  }
};

/** The event of an HTTP API, as far as adapters look at it. */
const event = {
  version: '2.0',
  routeKey: '$default',
  rawPath: '/work',
  rawQueryString: '',
  headers: { host: 'api.example.com' },
  requestContext: { http: { method: 'GET', path: '/work', sourceIp: '192.0.2.7' }, stage: '$default' },
  isBase64Encoded: false,
};

/** Serves an event whenever a line comes. */
function onLines(serve: () => Promise<unknown>): void {
  let count = 0;
  createInterface(process.stdin).on('line', () => {
    void serve().then(() => console.log(`answered ${(count += 1)}`));
  });
  console.log('ready');
}

async function inject(): Promise<void> {
  const app = await NestFactory.create<NestFastifyApplication>(AppModule, new FastifyAdapter());
  await app.init();
  onLines(async () => {
    try {
      return await app.inject('/work');
    } finally {
      await app.get(Tracer).flush();
    }
  });
}

async function job(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule);
  try {
    await app.get(Tracer).span('nightly', () => app.get(Nightly).run());
  } finally {
    await app.close();
  }
  process.exit();
}

async function breakDown(how: () => void): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule);
  const tracer = app.get(Tracer);
  const end = async (error: unknown) => {
    console.error(error);
    await tracer.flush();
    process.exit(1);
  };
  process.on('uncaughtException', error => void end(error));
  process.on('unhandledRejection', error => void end(error));
  await app.get(Nightly).run();
  setTimeout(how, 1);
}

async function sigterm(): Promise<void> {
  process.env.PORT ??= '0';
  const app = await NestFactory.create(AppModule);
  app.enableShutdownHooks();
  await app.listen(process.env.PORT);
  await fetch(`${await app.getUrl()}/work`);
  console.log('ready');
}

const recipes: Record<string, () => Promise<void> | void> = {
  serverless: () => onLines(() => handler(event, {})),
  inject,
  job,
  uncaughtException: () =>
    breakDown(() => {
      throw new Error('nobody caught it');
    }),
  unhandledRejection: () => breakDown(() => void Promise.reject(new Error('nobody caught it'))),
  sigterm,
};
await recipes[process.env.RECIPE ?? '']!();
