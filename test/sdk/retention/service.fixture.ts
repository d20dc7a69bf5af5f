/** A service in its own process: answers, or calls the next service. Prints the spans that it exports, each as a line of JSON. */
import { createInterface } from 'node:readline';
import type { AddressInfo } from 'node:net';
import { Controller, Get, Inject, InternalServerErrorException, Module, Param } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { trace } from '@opentelemetry/api';
import type { SpanExporter } from '@opentelemetry/sdk-trace-node';
import { Tracer, TracingModule, type TracingOptions } from '../../../lib/index.js';

interface Settings {
  readonly adapter: 'express' | 'fastify';
  readonly next?: string;
  readonly tracing: TracingOptions;
}
const { adapter, next, tracing } = JSON.parse(process.env['SETTINGS'] ?? '') as Settings;

@Controller()
class WorkController {
  constructor(@Inject(Tracer) private readonly tracer: Tracer) {}

  @Get('fine') fine() {
    return 'fine';
  }

  /** Fails inside, but answers. */
  @Get('hidden') hidden() {
    return this.tracer.span('in vain', () => Promise.reject(new Error('broken'))).catch(() => 'fine');
  }

  @Get('broken') broken() {
    throw new InternalServerErrorException();
  }

  @Get('call/:path') async call(@Param('path') path: string) {
    const { status } = await fetch(`${next}/${path}`);
    return { status, traceId: trace.getActiveSpan()?.spanContext().traceId };
  }

  @Get('keep/:path') keep(@Param('path') path: string) {
    this.tracer.keep();
    return this.call(path);
  }
}

const exporter: SpanExporter = {
  export: (spans, done) => {
    for (const span of spans) {
      const { traceId, spanId, traceState } = span.spanContext();
      const state = traceState?.serialize();
      const reason = span.attributes['nestjs.keep.reason'];
      console.log(`SPAN ${JSON.stringify({ name: span.name, traceId, spanId, parentId: span.parentSpanContext?.spanId, state, reason })}`);
    }
    done({ code: 0 });
  },
  shutdown: () => Promise.resolve(),
};

@Module({ imports: [TracingModule.forRoot({ ...tracing, exporter })], controllers: [WorkController] })
class ServiceModule {}

const app = await (adapter === 'express'
  ? NestFactory.create(ServiceModule, { logger: false, forceCloseConnections: true })
  : NestFactory.create(ServiceModule, new FastifyAdapter(), { logger: false, forceCloseConnections: true }));
await app.listen(0, '127.0.0.1');
console.log(`PORT ${(app.getHttpServer().address() as AddressInfo).port}`);
createInterface(process.stdin).once('line', () => void app.close().then(() => process.exit(0)));
