/** One request through the application, and what its trace must look like. */
import { SpanKind } from '@opentelemetry/api';
import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { get } from 'node:http';
import { recorder } from './greetings.js';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const CALLER = 'b7ad6b7169203331';

/** Asks the application at `port` for a greeting as a service would that is traced itself, and checks the four spans it makes. */
export async function checkJourney(port: number): Promise<void> {
  recorder.clear();
  strictEqual(await ask(`http://127.0.0.1:${port}/greet/ada`), 'Hello ADA');
  const spans = await recorder.waitForSpans(4);
  const found = (name: string, kind: SpanKind) => {
    const span = spans.find(candidate => candidate.name === name && candidate.kind === kind);
    ok(span, `no span "${name}" of kind ${kind} among ${spans.map(({ name, kind }) => `"${name}" (${kind})`).join(', ')}`);
    return span;
  };
  const server = found('GET /greet/:name', SpanKind.SERVER);
  const local = found('GreetingService.greet', SpanKind.INTERNAL);
  const client = found('GET', SpanKind.CLIENT);
  const called = found('GET /name/:name', SpanKind.SERVER);
  strictEqual(spans.length, 4);

  const parentId = (span: typeof server) => span.parentSpanContext?.spanId;
  strictEqual(parentId(server), CALLER);
  strictEqual(parentId(local), server.spanContext().spanId);
  strictEqual(parentId(client), local.spanContext().spanId);
  strictEqual(parentId(called), client.spanContext().spanId);
  for (const span of spans) strictEqual(span.spanContext().traceId, TRACE_ID);

  strictEqual(server.attributes['http.route'], '/greet/:name');
  strictEqual(server.attributes['http.response.status_code'], 200);
  strictEqual(server.attributes['code.function.name'], 'GreetingController.greet');
  strictEqual(server.resource.attributes['service.name'], 'greetings');
  strictEqual(local.attributes['greeting.name'], 'ada');
  deepStrictEqual(
    local.events.map(event => event.name),
    ['greeting.started'],
  );
}

function ask(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { headers: { traceparent: `00-${TRACE_ID}-${CALLER}-01` } }, response => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve(body));
    }).on('error', reject);
  });
}
