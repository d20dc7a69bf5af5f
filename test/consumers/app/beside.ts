/**
 * Runs the application beside what else traces the process: `node dist/beside.js <file> <loaded|listening>`, where the file registers it
 * when our module is loaded, or when the application listens; with `--import <file>` that has happened before either.
 */
import { Controller, Get, Module, Param } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { SpanKind } from '@opentelemetry/api';
import { strictEqual } from 'node:assert';
import { pathToFileURL } from 'node:url';
import type { FinishedSpan } from 'nestjs-tracing/testing';
import { AppModule, GreetingService, listen, recorder } from './greetings.js';
import { ask, checkChain, checkGreeting, checkServer, found } from './journey.js';

@Controller()
class FetchController {
  constructor(private readonly greetings: GreetingService) {}

  @Get('fetch/:name')
  async fetch(@Param('name') name: string): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.greetings.port}/name/${name}`)).text();
  }
}

@Module({ imports: [AppModule], controllers: [FetchController] })
class BesideModule {}

const API = Symbol.for('opentelemetry.js.api.1');

/** What the file may export: where it sends spans itself. */
interface Other {
  readonly spans?: readonly FinishedSpan[];
}

/** What OpenTelemetry's API holds for the whole process; the application leaves it as it was. */
function globals(): readonly unknown[] {
  const { trace, context, propagation } = (globalThis as { [API]?: Record<string, unknown> })[API] ?? {};
  return [trace, context, propagation];
}

async function main(): Promise<void> {
  const [file = '', when] = process.argv.slice(2);
  const register = async () => (await import(pathToFileURL(file).href)) as Other;
  if (when === 'loaded') await register();
  const before = globals();
  const app = await NestFactory.create(BesideModule, { logger: ['error', 'warn'] });
  const port = await listen(app);
  const other = await register();
  // Twice: an instrumentation that comes late may be noticed by the first call only.
  const rounds = ['1', '2'].map(digit => ({ greeting: `a${digit}`.repeat(16), fetching: `f${digit}`.repeat(16) }));
  for (const { greeting, fetching } of rounds) {
    strictEqual(await ask(port, '/greet/ada', greeting), 'Hello ADA');
    strictEqual(await ask(port, '/fetch/ada', fetching), 'ADA');
  }
  await app.close();

  // Closing has delivered every span, also through somebody else's batches.
  const spans = other.spans ?? recorder.spans;
  const ofTrace = (traceId: string) => spans.filter(span => span.spanContext().traceId === traceId);
  const makers = rounds.map(({ greeting, fetching }) => {
    const made = [...checkGreeting(ofTrace(greeting), greeting), checkFetching(ofTrace(fetching), fetching)];
    return made.map(span => span.instrumentationScope.name.replace('@opentelemetry/', '')).join(', ');
  });
  strictEqual(spans.length, 14, 'spans of other traces were made');
  globals().forEach((held, index) => strictEqual(held, before[index]));
  console.log(`request, call and fetch by ${makers.join('; then ')}`);
}

/** Checks the spans of one request that calls `fetch`; returns that of the call. */
function checkFetching(spans: readonly FinishedSpan[], traceId: string): FinishedSpan {
  const server = found(spans, 'GET /fetch/:name', SpanKind.SERVER);
  const client = found(spans, 'GET', SpanKind.CLIENT);
  checkChain(spans, [server, client, found(spans, 'GET /name/:name', SpanKind.SERVER)], traceId);
  checkServer(server, '/fetch/:name', 'FetchController.fetch');
  return client;
}

void main();
