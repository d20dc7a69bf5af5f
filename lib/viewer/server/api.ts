/** Answers the page's questions about stored traces, as model/wire.ts has settled them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { VERSION } from '../../tracing.version.js';
import { parseFilter } from '../model/filter.js';
import { writeOtlp } from '../model/otlp-json.js';
import type { ViewerStatus } from '../model/wire.js';
import type { LiveUpdates } from './live-updates.js';
import { serviceMap } from './service-map.js';
import { listTraces } from './trace-list.js';
import { traceRows } from './trace-rows.js';
import type { TraceStore } from './trace-store.js';

const compress = promisify<Buffer, { level: number }, Buffer>(gzip);
/** Below it compressing takes longer than sending. */
const COMPRESS_FROM_BYTES = 32 * 1024;
const TRACE = /^\/api\/traces\/([0-9a-f]{32})(\/otlp)?$/;

/** @internal */
export class Api {
  /** The page asks for the trace it shows again and again. */
  private last: { readonly traceId: string; readonly revision: number; readonly body: Buffer } | undefined;

  constructor(
    private readonly store: TraceStore,
    private readonly live: LiveUpdates,
  ) {}

  /** False where there is no such question. */
  async answer(request: IncomingMessage, response: ServerResponse, path: string, query: URLSearchParams): Promise<boolean> {
    const { method } = request;
    const filter = query.get('q') ?? '';
    if (method === 'DELETE' && path === '/api/traces') {
      this.store.clear();
      this.last = undefined;
      response.writeHead(204).end();
      return true;
    }
    if (method !== 'GET' && method !== 'HEAD') return false;
    if (path === '/api/live') this.live.watch(response, filter);
    else if (path === '/api/traces') await send(request, response, json(listTraces(this.store, parseFilter(filter))));
    else if (path === '/api/services') await send(request, response, json(serviceMap(this.store.all())));
    else if (path === '/api/status') await send(request, response, json(this.status()));
    else return this.answerTrace(request, response, path);
    return true;
  }

  private async answerTrace(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
    const [, traceId, otlp] = TRACE.exec(path) ?? [];
    const trace = traceId === undefined ? undefined : this.store.trace(traceId);
    if (trace === undefined) return false;
    if (otlp !== undefined) {
      response.setHeader('content-disposition', `attachment; filename="trace-${trace.traceId}.json"`);
      await send(request, response, json(writeOtlp(trace.spans.values())));
      return true;
    }
    if (this.last?.traceId !== trace.traceId || this.last.revision !== trace.revision) {
      this.last = { traceId: trace.traceId, revision: trace.revision, body: json(traceRows(trace)) };
    }
    await send(request, response, this.last.body);
    return true;
  }

  private status(): ViewerStatus {
    const { traceCount, spanCount, storedBytes, maxBytes } = this.store;
    return { viewer: 'nestjs-tracing', version: VERSION, pid: process.pid, traceCount, spanCount, storedBytes, maxBytes };
  }
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

async function send(request: IncomingMessage, response: ServerResponse, body: Buffer): Promise<void> {
  const isCompressed = body.length >= COMPRESS_FROM_BYTES && acceptsGzip(request);
  const sent = isCompressed ? await compress(body, { level: 1 }) : body;
  response.writeHead(200, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': sent.length,
    'cache-control': 'no-store',
    vary: 'accept-encoding',
    ...(isCompressed && { 'content-encoding': 'gzip' }),
  });
  response.end(request.method === 'HEAD' ? undefined : sent);
}

/** @internal */
export function acceptsGzip({ headers }: IncomingMessage): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test(headers['accept-encoding']?.toString() ?? '');
}
