/** An application that traces `act`, and prints each span with its parent once it has gone. */
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { InMemorySpanExporter } from '@opentelemetry/sdk-trace-node';
import { Tracer, TracingModule } from '../../lib/index.js';

class KeepingExporter extends InMemorySpanExporter {
  override shutdown = () => Promise.resolve();
}

const exporter = new KeepingExporter();

@Module({ imports: [TracingModule.forRoot({ exporter })] })
class AppModule {}

export async function run(act: () => void): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'] });
  app.get(Tracer).span('outer', () => act());
  await new Promise(resolve => setImmediate(resolve));
  await app.close();
  act();
  const spans = exporter.getFinishedSpans();
  const nameOf = (id?: string) => spans.find(span => span.spanContext().spanId === id)?.name ?? 'nothing';
  for (const span of spans) console.log(`${span.name} below ${nameOf(span.parentSpanContext?.spanId)}`);
}
