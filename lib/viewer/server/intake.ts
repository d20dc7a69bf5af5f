/** Takes in spans over HTTP: OTLP as protobuf and JSON, Zipkin v2 as JSON, files; answers each sender in its own language. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Attributes } from '@opentelemetry/api';
import { readOtlp } from '../model/otlp-json.js';
import type { OpenedFile } from '../model/wire.js';
import { maxFileBytes, readOtlpFile } from './otlp-file.js';
import { decodeOtlp, encodeAnswer, encodeStatus } from './otlp-protobuf.js';
import { BodyReader, parseJson, Refusal } from './request-body.js';
import type { TraceStore } from './trace-store.js';
import { readZipkin } from './zipkin-json.js';

const JSON_TYPE = 'application/json';
const PROTOBUF_TYPE = 'application/x-protobuf';
const MAX_BODY_BYTES = 16 * 1024 * 1024;
const SKIPPED = 'spans without valid traceId, spanId or start were skipped';

/** `google.rpc.Code` of the HTTP status codes that are used here. */
const CODES: Readonly<Record<number, number>> = { 400: 3, 405: 12, 413: 8, 415: 3, 503: 14 };

type Intake = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** What takes in spans, by path. @internal */
export function intakes(store: TraceStore, maxBodyBytes = MAX_BODY_BYTES): ReadonlyMap<string, Intake> {
  const bodies = new BodyReader(maxBodyBytes);
  const files = new BodyReader(maxFileBytes(store.maxBytes), 'This file');
  const shared = (resource: Attributes) => store.sharedResource(resource);
  const answering =
    (act: Intake): Intake =>
    async (request, response) => {
      try {
        if (request.method !== 'POST') throw new Refusal(405, 'only POST is answered here');
        await act(request, response);
      } catch (error) {
        refuse(request, response, error instanceof Refusal ? error : new Refusal(400, 'the body is not what its content-type says'));
      }
    };
  const quietly = answering((request, response) => {
    const type = typeOf(request);
    // Services send metrics and logs by default; an error would fill their logs.
    request.resume();
    send(response, 200, type, type === PROTOBUF_TYPE ? encodeAnswer(0, '') : '{}');
    return Promise.resolve();
  });
  return new Map<string, Intake>([
    [
      '/v1/traces',
      answering(async (request, response) => {
        const type = typeOf(request);
        const body = await bodies.read(request);
        const { spans, rejected } = readOtlp(type === JSON_TYPE ? parseJson(body) : decodeOtlp(body), shared);
        store.add(spans);
        if (type === PROTOBUF_TYPE) send(response, 200, type, encodeAnswer(rejected, SKIPPED));
        else send(response, 200, type, rejected === 0 ? '{}' : jsonAnswer(rejected));
      }),
    ],
    ['/v1/metrics', quietly],
    ['/v1/logs', quietly],
    [
      '/api/v2/spans',
      answering(async (request, response) => {
        if (typeOf(request) !== JSON_TYPE) throw new Refusal(415, `Zipkin spans are taken as ${JSON_TYPE}`);
        store.add(readZipkin(parseJson(await bodies.read(request)), shared).spans);
        send(response, 202, JSON_TYPE, '');
      }),
    ],
    [
      // Whatever it says of its type: that comes from the file's name.
      '/api/files',
      answering(async (request, response) => {
        const spans = readOtlpFile(await files.read(request), shared);
        store.add(spans);
        const traceIds = new Set(spans.map(({ traceId }) => traceId));
        const traces = Array.from(traceIds, traceId => store.trace(traceId)?.summary()).filter(trace => trace !== undefined);
        send(response, 200, JSON_TYPE, JSON.stringify({ traces } satisfies OpenedFile));
      }),
    ],
  ]);
}

function typeOf({ headers }: IncomingMessage): typeof JSON_TYPE | typeof PROTOBUF_TYPE {
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (type === JSON_TYPE || type === PROTOBUF_TYPE) return type;
  throw new Refusal(415, `content-type must be ${PROTOBUF_TYPE} or ${JSON_TYPE}`);
}

function jsonAnswer(rejected: number): string {
  return JSON.stringify({ partialSuccess: { rejectedSpans: String(rejected), errorMessage: SKIPPED } });
}

/** In the encoding of the request, as the protocol wants it. */
function refuse(request: IncomingMessage, response: ServerResponse, { status, message }: Refusal): void {
  if (response.headersSent || response.destroyed) return;
  const code = CODES[status] ?? 2;
  const isProtobuf = request.headers['content-type']?.startsWith(PROTOBUF_TYPE) === true;
  if (status === 503) response.setHeader('retry-after', '1');
  if (status === 405) response.setHeader('allow', 'POST');
  // The rest of a body that nobody reads would be taken for the next request.
  response.setHeader('connection', 'close');
  send(
    response,
    status,
    isProtobuf ? PROTOBUF_TYPE : JSON_TYPE,
    isProtobuf ? encodeStatus(code, message) : JSON.stringify({ code, message }),
  );
}

function send(response: ServerResponse, status: number, type: string, body: string | Uint8Array): void {
  response.writeHead(status, { 'content-type': type }).end(body);
}
