/** One request through the application, and what its trace must look like. */
import { SpanKind } from '@opentelemetry/api';
import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import type { FinishedSpan } from 'nestjs-tracing/testing';
import { recorder } from './greetings.js';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const CALLER = 'b7ad6b7169203331';

/** Asks the application at `port` for a greeting as a service would that is traced itself, and checks the four spans it makes. */
export async function checkJourney(port: number): Promise<void> {
  recorder.clear();
  strictEqual(await ask(port, '/greet/ada'), 'Hello ADA');
  checkGreeting(await recorder.waitForSpans(4));
}

/** Checks the spans of one greeting; returns that of the request and that of the call. */
export function checkGreeting(spans: readonly FinishedSpan[], traceId = TRACE_ID): readonly [server: FinishedSpan, client: FinishedSpan] {
  const server = found(spans, 'GET /greet/:name', SpanKind.SERVER);
  const local = found(spans, 'GreetingService.greet', SpanKind.INTERNAL);
  const client = found(spans, 'GET', SpanKind.CLIENT);
  const called = found(spans, 'GET /name/:name', SpanKind.SERVER);
  checkChain(spans, [server, local, client, called], traceId);
  checkServer(server, '/greet/:name', 'GreetingController.greet');
  checkServer(called, '/name/:name', 'GreetingController.name');
  strictEqual(server.resource.attributes['service.name'], 'greetings');
  strictEqual(local.attributes['greeting.name'], 'ada');
  deepStrictEqual(
    local.events.map(event => event.name),
    ['greeting.started'],
  );
  return [server, client];
}

/** Checks that `chain` is all there is, one below the other, and that the first continues the caller's trace. */
export function checkChain(spans: readonly FinishedSpan[], chain: readonly FinishedSpan[], traceId = TRACE_ID): void {
  strictEqual(spans.length, chain.length, `other spans than expected: ${listOf(spans)}`);
  let parentId = CALLER;
  for (const span of chain) {
    strictEqual(span.parentSpanContext?.spanId, parentId, `the parent of "${span.name}" among ${listOf(spans)}`);
    strictEqual(span.spanContext().traceId, traceId);
    parentId = span.spanContext().spanId;
  }
}

export function checkServer({ attributes }: FinishedSpan, route: string, handler: string): void {
  strictEqual(attributes['http.route'], route);
  strictEqual(attributes['http.response.status_code'], 200);
  strictEqual(attributes['code.function.name'], handler);
}

export function found(spans: readonly FinishedSpan[], name: string, kind: SpanKind): FinishedSpan {
  const span = spans.find(candidate => candidate.name === name && candidate.kind === kind);
  ok(span, `no span "${name}" of kind ${SpanKind[kind]} among ${listOf(spans)}`);
  return span;
}

function listOf(spans: readonly FinishedSpan[]): string {
  const list = spans.map(({ name, kind, instrumentationScope }) => `"${name}" (${SpanKind[kind]} by ${instrumentationScope.name})`);
  return list.join(', ') || 'none at all';
}

/** Over a bare socket: what else traces this process shall see the application's calls, not ours to it. */
export async function ask(port: number, path: string, traceId = TRACE_ID): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\ntraceparent: 00-${traceId}-${CALLER}-01\r\nConnection: close\r\n\r\n`);
  const answer = await text(socket);
  return answer.slice(answer.indexOf('\r\n\r\n') + 4);
}
