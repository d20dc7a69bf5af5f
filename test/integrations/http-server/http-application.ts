/** Starts a traced Nest application on an HTTP adapter and sends requests over a real socket. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { INestApplication, NestApplicationOptions, Type, VersioningOptions } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { type InboundOptions, TracingModule, type TracingOptions } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { untraced } from '../../untraced-call.js';

export const adapters = ['express', 'fastify'] as const;
export type Adapter = (typeof adapters)[number];

export interface Setup {
  readonly controllers?: Type[];
  readonly providers?: NonNullable<Parameters<typeof Module>[0]['providers']>;
  readonly imports?: NonNullable<Parameters<typeof Module>[0]['imports']>;
  readonly inbound?: InboundOptions;
  readonly tracing?: TracingOptions;
  readonly nest?: NestApplicationOptions;
  readonly versioning?: VersioningOptions;
  readonly fastify?: object;
  readonly configure?: (app: INestApplication) => void;
}

export interface TestApplication {
  readonly app: INestApplication;
  readonly recorder: TraceRecorder;
  readonly port: number;
  request(path: string, options?: http.RequestOptions, body?: string | Buffer): Promise<Answer>;
  close(): Promise<void>;
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

export async function startApplication(adapter: Adapter, setup: Setup): Promise<TestApplication> {
  const recorder = new TraceRecorder();
  @Module({
    imports: [
      TracingModule.forRoot({ serviceName: 'inbound', exporter: recorder, inbound: setup.inbound, ...setup.tracing }),
      ...(setup.imports ?? []),
    ],
    controllers: setup.controllers ?? [],
    providers: setup.providers ?? [],
  })
  class AppModule {}
  const server = adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter(setup.fastify);
  const app = await NestFactory.create(AppModule, server, { logger: false, ...setup.nest });
  if (setup.versioning) app.enableVersioning(setup.versioning);
  setup.configure?.(app);
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  return {
    app,
    recorder,
    port,
    request: (path, options, body) => send(port, path, options, body),
    close: () => app.close(),
  };
}

/** Sends one request on its own connection. */
export function send(port: number, path: string, options: http.RequestOptions = {}, body?: string | Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = { host: '127.0.0.1', port, path, agent: false, ...options };
    const request = untraced(() => http.request(call)).once('response', response => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() }),
      );
      response.on('error', reject);
    });
    request.on('error', reject);
    untraced(() => request.end(body));
  });
}
