/** The client of a viewer in another process: checks whether it runs, sends spans to it, and gets the spans of a trace from it. */
import { Agent, request, type RequestOptions } from 'node:http';
import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import { suppressed } from '../../propagation/context-values.js';
import { readOtlp } from '../model/otlp-json.js';
import type { TraceSpan } from '../model/trace-span.js';

/** Who listens on the port: a viewer, another program (`foreign`), nobody, or a program that does not answer now (`silent`). @internal */
export type PortOwner = 'viewer' | 'foreign' | 'nobody' | 'silent';

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

const STATUS_TIMEOUT_MS = 1000;
/** Is long, because the process of the viewer may be busy or stopped at a breakpoint. */
const SEND_TIMEOUT_MS = 5000;
const MAX_STATUS_BYTES = 10_000;
/** A larger trace is not shown in the terminal with the spans of other services. */
const MAX_TRACE_BYTES = 16 * 1024 * 1024;
/** Requests for traces that may be in flight. One more gets no spans. */
const MAX_TRACE_REQUESTS = 8;
const NOT_TRACED = suppressed(ROOT_CONTEXT);

/** @internal */
export class OtherViewer {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 4 });
  /** Has its own connections, so that requests for traces never delay spans and status checks. */
  private readonly traceAgent = new Agent({ keepAlive: true, maxSockets: 2 });
  /** The requests in flight, by trace id: many local roots of one trace may end at the same time. */
  private readonly traceRequests = new Map<string, Promise<readonly TraceSpan[]>>();

  constructor(private readonly port: number) {}

  async owner(): Promise<PortOwner> {
    try {
      const { status, body } = await this.call({ path: '/api/status', timeout: STATUS_TIMEOUT_MS }, undefined, MAX_STATUS_BYTES);
      return status === 200 && isViewer(body) ? 'viewer' : 'foreign';
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ECONNREFUSED' || code === 'ECONNRESET' || code === 'EPIPE') return 'nobody';
      return code === 'ETIMEDOUT' ? 'silent' : 'foreign';
    }
  }

  /** Sends an OTLP request in protobuf. Resolves with false if the viewer refuses it for good. Rejects if a retry may help. */
  async send(body: Uint8Array): Promise<boolean> {
    const headers = { 'content-type': 'application/x-protobuf', 'content-length': body.length };
    const { status } = await this.call({ method: 'POST', path: '/v1/traces', headers, timeout: SEND_TIMEOUT_MS }, body, MAX_STATUS_BYTES);
    if (status >= 500) throw new Error(`the viewer answered ${status}`);
    return status === 200;
  }

  /** Resolves with the spans that the viewer has of a trace; with none if it does not answer within `timeoutMs`. */
  async spansOf(traceId: string, timeoutMs: number): Promise<readonly TraceSpan[]> {
    const inFlight = this.traceRequests.get(traceId);
    if (inFlight !== undefined) return inFlight;
    if (this.traceRequests.size >= MAX_TRACE_REQUESTS) return [];
    const traceRequest = this.fetchTrace(traceId, timeoutMs).finally(() => this.traceRequests.delete(traceId));
    this.traceRequests.set(traceId, traceRequest);
    return traceRequest;
  }

  close(): void {
    this.agent.destroy();
    this.traceAgent.destroy();
  }

  /** Never rejects. */
  private async fetchTrace(traceId: string, timeout: number): Promise<readonly TraceSpan[]> {
    const options = { path: `/api/traces/${traceId}/otlp`, timeout, agent: this.traceAgent };
    try {
      const { status, body } = await this.call(options, undefined, MAX_TRACE_BYTES);
      return status === 200 ? readOtlp(JSON.parse(body.toString())).spans : [];
    } catch {
      return [];
    }
  }

  /** Sends a request that no instrumentation makes a span for, on a connection that does not keep the process alive. */
  private call(options: RequestOptions, body: Uint8Array | undefined, maxBytes: number): Promise<Answer> {
    return context.with(
      NOT_TRACED,
      () =>
        new Promise<Answer>((resolve, reject) => {
          const { timeout = STATUS_TIMEOUT_MS } = options;
          const call = request({ agent: this.agent, ...options, timeout: 0, host: '127.0.0.1', port: this.port }, response => {
            const chunks: Buffer[] = [];
            let bytes = 0;
            response.on('data', (chunk: Buffer) => {
              chunks.push(chunk);
              if ((bytes += chunk.length) > maxBytes) call.destroy(new Error('the answer is too long'));
            });
            response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
            response.on('error', reject);
          });
          // The timeout covers the whole answer. The option `timeout` would only end a connection without any traffic.
          const timer = setTimeout(() => call.destroy(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' })), timeout);
          timer.unref();
          call.on('socket', socket => socket.unref());
          call.on('error', reject);
          call.on('close', () => {
            clearTimeout(timer);
            reject(new Error('the connection was closed'));
          });
          call.end(body);
        }),
    );
  }
}

function isViewer(body: Buffer): boolean {
  try {
    return (JSON.parse(body.toString()) as { viewer?: unknown } | null)?.viewer === 'nestjs-tracing';
  } catch {
    return false;
  }
}
