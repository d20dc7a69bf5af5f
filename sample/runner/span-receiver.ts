/** A small OTLP/HTTP collector. The services send their spans here, and the runner can forward them. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import type { FinishedSpan } from 'nestjs-tracing/viewer';
import { type OtlpRequest, spansIn } from './otlp-json.js';

const RELAY_TIMEOUT_MS = 5_000;

export class SpanReceiver {
  private constructor(
    private readonly server: Server,
    /** The reasons why spans could not be forwarded. */
    readonly relayFailures: Set<string>,
  ) {}

  /** Starts the receiver. `relayTo` is the traces endpoint of another collector that gets all requests unchanged. */
  static async start(receive: (spans: FinishedSpan[]) => void, relayTo: string | undefined): Promise<SpanReceiver> {
    const relayFailures = new Set<string>();
    const server = createServer((request, response) => {
      void (async () => {
        const body = await buffer(request);
        if (relayTo !== undefined) await relay(request, body, relayTo).catch((reason: unknown) => relayFailures.add(textOf(reason)));
        const json = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
        receive(spansIn(JSON.parse(json.toString()) as OtlpRequest));
        response.setHeader('content-type', 'application/json').end('{}');
      })().catch((reason: unknown) => response.writeHead(400).end(String(reason)));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new SpanReceiver(server, relayFailures);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}

/** Forwards `body` with its original headers, which include those of `OTEL_EXPORTER_OTLP_HEADERS`. */
async function relay(request: IncomingMessage, body: Buffer, to: string): Promise<void> {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (typeof value === 'string' && !HOP_BY_HOP.has(name)) headers.set(name, value);
  }
  const answer = await fetch(to, {
    method: 'POST',
    headers,
    body: new Uint8Array(body),
    signal: AbortSignal.timeout(RELAY_TIMEOUT_MS),
  }).catch((error: unknown) => {
    throw new Error(`${to} cannot be reached (${textOf(error instanceof Error && error.cause ? error.cause : error)})`);
  });
  if (!answer.ok) throw new Error(`${to} answered ${answer.status}`);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const HOP_BY_HOP = new Set(['host', 'connection', 'content-length', 'transfer-encoding', 'keep-alive']);
