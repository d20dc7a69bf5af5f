/** The smallest server that speaks the page's language (wire.ts), with traces from a spec instead of OTLP. */
import { createHash } from 'node:crypto';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { builtPage } from '../../../lib/viewer/page/built-page.js';
import { answer, exceptionIn, peer } from '../../../lib/conventions/reading.js';
import { matchesTrace, parseFilter } from '../../../lib/viewer/model/filter.js';
import { writeOtlp } from '../../../lib/viewer/model/otlp-json.js';
import { mapServices } from '../../../lib/viewer/model/service-map.js';
import { kindNumber, statusNumber, type TraceSpan } from '../../../lib/viewer/model/trace-span.js';
import type { TraceSummary, WireSpan, WireTrace } from '../../../lib/viewer/model/wire.js';

const hash = (tag: string) => {
  const [, content = ''] = new RegExp(`<${tag}>(.*?)</${tag}>`, 's').exec(builtPage) ?? [];
  return `'sha256-${createHash('sha256').update(content).digest('base64')}'`;
};
const POLICY = `default-src 'none'; script-src ${hash('script')}; style-src ${hash('style')}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

export class FixtureServer {
  private server: Server | undefined;
  private readonly sockets = new Set<Socket>();
  private readonly traces = new Map<string, { spans: TraceSpan[]; revision: number; wire?: string }>();
  private readonly streams = new Map<ServerResponse, string>();
  private revision = 0;
  port = 0;

  async start(): Promise<void> {
    const server = createServer((request, response) => {
      const url = new URL(request.url ?? '/', 'http://localhost');
      this.answer(request.method ?? 'GET', url, response);
    });
    this.server = server;
    server.on('connection', socket => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
    await new Promise<void>(resolve => server.listen(this.port, '127.0.0.1', resolve));
    this.port = (server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const closed = new Promise(resolve => this.server?.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    this.streams.clear();
    await closed;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  add(spans: readonly TraceSpan[]): string {
    const traceId = spans[0]?.traceId ?? '';
    const trace = this.traces.get(traceId) ?? { spans: [], revision: 0 };
    this.revision += 1;
    this.traces.set(traceId, { spans: [...trace.spans, ...spans], revision: this.revision });
    for (const [stream, filter] of this.streams) {
      const traces = this.list(filter).traces.filter(summary => summary.traceId === traceId);
      if (traces.length > 0) send(stream, 'changed', { traces, stored: this.traces.size });
    }
    return traceId;
  }

  private list(filter: string): { traces: TraceSummary[]; stored: number } {
    const parsed = parseFilter(filter);
    const traces: TraceSummary[] = [];
    for (const [traceId, { spans, revision }] of this.traces) {
      const summary = summarize(traceId, spans, revision);
      if (matchesTrace(parsed, spans, summary.durationNs)) traces.push(summary);
    }
    return { traces: traces.sort((a, b) => (a.startNs < b.startNs ? 1 : -1)), stored: this.traces.size };
  }

  private answer(method: string, url: URL, response: ServerResponse): void {
    const json = (value: unknown) => {
      response.setHeader('content-type', 'application/json').end(typeof value === 'string' ? value : JSON.stringify(value));
    };
    const filter = url.searchParams.get('q') ?? '';
    const [, traceId = '', rest = ''] = /^\/api\/traces\/([^/]+)(\/otlp)?$/.exec(url.pathname) ?? [];
    const trace = this.traces.get(traceId);
    if (url.pathname === '/api/live') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      this.streams.set(response, filter);
      response.on('close', () => this.streams.delete(response));
      send(response, 'traces', this.list(filter));
    } else if (url.pathname === '/api/traces' && method === 'DELETE') {
      this.traces.clear();
      for (const stream of this.streams.keys()) send(stream, 'gone', { traceIds: 'all' });
      response.writeHead(204).end();
    } else if (url.pathname === '/api/services') json(mapServices([...this.traces.values()].map(({ spans }) => spans)));
    else if (trace && rest !== '') {
      const wanted = url.searchParams.get('span');
      json(writeOtlp(trace.spans.filter(span => wanted === null || span.spanId === wanted)));
    } else if (trace) json((trace.wire ??= JSON.stringify(wireOf(traceId, trace.spans, trace.revision))));
    else if (url.pathname.startsWith('/api/')) response.writeHead(404).end();
    else response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': POLICY }).end(builtPage);
  }
}

function send(stream: ServerResponse, event: string, data: unknown): void {
  stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

function summarize(traceId: string, spans: readonly TraceSpan[], revision: number): TraceSummary {
  const ids = new Set(spans.map(span => span.spanId));
  const earliest = (list: readonly TraceSpan[]) => list.reduce((first, span) => (span.startNs < first.startNs ? span : first));
  const roots = spans.filter(span => !ids.has(span.parentSpanId ?? ''));
  const root = earliest(roots.length > 0 ? roots : spans);
  const startNs = earliest(spans).startNs;
  const endNs = spans.reduce((last, span) => (span.endNs > last ? span.endNs : last), startNs);
  const services = new Map<string, number>();
  for (const span of spans) services.set(span.service, (services.get(span.service) ?? 0) + 1);
  return {
    traceId,
    name: root.name,
    service: root.service,
    kind: root.kind,
    isError: root.status === 'error',
    answer: answer(root.attributes),
    isRootMissing: root.parentSpanId !== undefined,
    services: [...services].map(([name, spanCount]) => ({ name, spanCount })),
    startNs: String(startNs),
    durationNs: Number(endNs - startNs),
    spanCount: spans.length,
    errorCount: spans.filter(span => span.status === 'error').length,
    revision,
  };
}

function wireOf(traceId: string, spans: readonly TraceSpan[], revision: number): WireTrace {
  const startNs = spans.reduce((first, span) => (span.startNs < first ? span.startNs : first), spans[0]?.startNs ?? 0n);
  const texts = new Map<string, number>();
  const text = (value: string) => {
    if (!texts.has(value)) texts.set(value, texts.size);
    return texts.get(value) ?? 0;
  };
  const rows = spans.map((span): WireSpan => {
    const otherSide = peer(span.attributes);
    const row = [
      span.spanId,
      span.parentSpanId ?? '',
      text(span.name),
      text(span.service),
      kindNumber(span.kind),
      statusNumber(span.status),
      Number(span.startNs - startNs),
      Number(span.endNs - span.startNs),
      answer(span.attributes) ?? '',
      otherSide === undefined ? -1 : text(otherSide),
    ] as const;
    if (span.events.length === 0) return row;
    const offsets = span.events.map(event => {
      const offset = Number(BigInt(event.time[0]) * 1_000_000_000n + BigInt(event.time[1]) - startNs);
      return exceptionIn(event) ? -offset - 1 : offset;
    });
    return [...row, offsets];
  });
  return { traceId, revision, droppedSpans: 0, startNs: String(startNs), texts: [...texts.keys()], spans: rows };
}
