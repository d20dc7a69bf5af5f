/** The part of the HTTP API that the page reads: stored traces, in the format of model/wire.ts. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { VERSION } from '../../options/version.js';
import { matchesSpan, parseFilter } from '../model/filter.js';
import { writeOtlp } from '../model/otlp-json.js';
import type { FoundSpans, ViewerStatus } from '../model/wire.js';
import type { LiveUpdates } from './live-updates.js';
import { serviceMap } from './service-map.js';
import { spanDetails } from './span-details.js';
import type { StoredTrace } from './stored-trace.js';
import { listTraces, type TraceStore } from './trace-store.js';
import { wireTraceOf } from './wire-trace.js';

const TRACE_PATH = /^\/api\/traces\/([0-9a-f]{32})(?:\/(otlp|span|found))?$/;

/** @internal */
export class Api {
  /** The last trace that was sent: a page asks for the trace that it shows several times. */
  private last: { readonly traceId: string; readonly revision: number; readonly body: Buffer } | undefined;

  constructor(
    private readonly store: TraceStore,
    private readonly live: LiveUpdates,
  ) {}

  /** Returns false if the API has no such path. */
  answer(request: IncomingMessage, response: ServerResponse, path: string, query: URLSearchParams): boolean {
    const { method } = request;
    const filter = query.get('q') ?? '';
    if (method === 'DELETE' && path === '/api/traces') {
      this.store.clear();
      this.last = undefined;
      response.writeHead(204).end();
      return true;
    }
    if (method !== 'GET' && method !== 'HEAD') return false;
    // GET only: the answer to HEAD would never end.
    if (path === '/api/live' && method === 'GET') this.live.watch(response, filter);
    else if (path === '/api/traces') send(request, response, json(listTraces(this.store, parseFilter(filter))));
    else if (path === '/api/services') send(request, response, json(serviceMap(this.store.all())));
    else if (path === '/api/status') send(request, response, json(this.status()));
    else return this.answerTrace(request, response, path, query);
    return true;
  }

  private answerTrace(request: IncomingMessage, response: ServerResponse, path: string, query: URLSearchParams): boolean {
    const [, traceId = '', part] = TRACE_PATH.exec(path) ?? [];
    const trace = this.store.trace(traceId);
    if (trace === undefined) return false;
    if (part === 'otlp') {
      response.setHeader('content-disposition', `attachment; filename="trace-${traceId}.json"`);
      send(request, response, json(writeOtlp(trace.spans.values())));
    } else if (part === 'span') {
      const span = trace.spans.get(query.get('id') ?? '');
      if (span === undefined) return false;
      send(request, response, json(spanDetails(span)));
    } else if (part === 'found') send(request, response, json(foundIn(trace, query.get('q') ?? '')));
    else send(request, response, this.wireTrace(trace));
    return true;
  }

  private wireTrace(trace: StoredTrace): Buffer {
    const { traceId, revision } = trace;
    if (this.last?.traceId !== traceId || this.last.revision !== revision) {
      this.last = { traceId, revision, body: json(wireTraceOf(trace)) };
    }
    return this.last.body;
  }

  private status(): ViewerStatus {
    const { traceCount, spanCount, storedBytes, maxBytes } = this.store;
    return { viewer: 'nestjs-tracing', version: VERSION, pid: process.pid, traceCount, spanCount, storedBytes, maxBytes };
  }
}

function foundIn({ spans }: StoredTrace, query: string): FoundSpans {
  const filter = parseFilter(query);
  if (filter.terms.length === 0) return null;
  const found: string[] = [];
  for (const span of spans.values()) if (matchesSpan(filter, span)) found.push(span.spanId);
  return found;
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Does not compress: for 50,000 spans, this would take twice as long as sending them over the loopback. */
function send(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  response.writeHead(200, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': body.length,
    'cache-control': 'no-store',
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
