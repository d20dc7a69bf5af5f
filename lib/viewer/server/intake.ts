/** Receives spans over HTTP: OTLP as protobuf or JSON, Zipkin v2 as JSON, and files. */
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

/** The `google.rpc.Code` for each HTTP status code that is used here. */
const CODES: Readonly<Record<number, number>> = { 400: 3, 405: 12, 413: 8, 415: 3, 503: 14 };

type Intake = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** The handlers that receive spans, by path. @internal */
export function intakes(store: TraceStore, maxBodyBytes = MAX_BODY_BYTES): ReadonlyMap<string, Intake> {
  const bodies = new BodyReader(maxBodyBytes);
  const files = new BodyReader(maxFileBytes(store.maxBytes), 'This file');
  const share = (resource: Attributes) => store.sharedResource(resource);
  const onPost =
    (act: Intake): Intake =>
    async (request, response) => {
      try {
        if (request.method !== 'POST') throw new Refusal(405, 'only POST is allowed');
        await act(request, response);
      } catch (error) {
        refuse(
          request,
          response,
          error instanceof Refusal ? error : new Refusal(400, 'the body does not have the format of its content-type'),
        );
      }
    };
  const discard = onPost((request, response) => {
    const type = typeOf(request);
    // Many services send metrics and logs by default, and would log each error that they get for it.
    request.resume();
    send(response, 200, type, type === PROTOBUF_TYPE ? encodeAnswer(0, '') : '{}');
    return Promise.resolve();
  });
  return new Map<string, Intake>([
    [
      '/v1/traces',
      onPost(async (request, response) => {
        const type = typeOf(request);
        const body = await bodies.read(request);
        const { spans, rejected } = readOtlp(type === JSON_TYPE ? parseJson(body) : decodeOtlp(body), share);
        store.add(spans);
        if (type === PROTOBUF_TYPE) send(response, 200, type, encodeAnswer(rejected, SKIPPED));
        else send(response, 200, type, rejected === 0 ? '{}' : jsonAnswer(rejected));
      }),
    ],
    ['/v1/metrics', discard],
    ['/v1/logs', discard],
    [
      '/api/v2/spans',
      onPost(async (request, response) => {
        if (typeOf(request) !== JSON_TYPE) throw new Refusal(415, `content-type must be ${JSON_TYPE} for Zipkin spans`);
        store.add(readZipkin(parseJson(await bodies.read(request)), share).spans);
        send(response, 202, JSON_TYPE, '');
      }),
    ],
    [
      // The content-type is ignored: the browser guesses it from the name of the file.
      '/api/files',
      onPost(async (request, response) => {
        const spans = readOtlpFile(await files.read(request), share);
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

/** Answers in the encoding of the request, as OTLP demands. */
function refuse(request: IncomingMessage, response: ServerResponse, { status, message }: Refusal): void {
  if (response.headersSent || response.destroyed) return;
  const code = CODES[status] ?? 2;
  const isProtobuf = request.headers['content-type']?.startsWith(PROTOBUF_TYPE) === true;
  if (status === 503) response.setHeader('retry-after', '1');
  if (status === 405) response.setHeader('allow', 'POST');
  // Without this, Node would read the rest of the body as the next request.
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
