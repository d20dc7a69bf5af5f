/** A viewer in another process, as this one talks to it: is it there, take these spans, what do you know of that trace. */
import { Agent, request, type RequestOptions } from 'node:http';
import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import { suppressed } from '../../local/work.js';
import { readOtlp } from '../model/otlp-json.js';
import type { TraceSpan } from '../model/trace-span.js';

/** Who has the port: a viewer, another program, nobody, or somebody who does not answer just now. @internal */
export type PortOwner = 'viewer' | 'foreign' | 'nobody' | 'silent';

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

const ASK_TIMEOUT_MS = 1000;
/** A host may be busy, or stand at a breakpoint. */
const SEND_TIMEOUT_MS = 5000;
const MAX_STATUS_BYTES = 10_000;
/** Of a trace that is longer, nobody reads all of it in a terminal. */
const MAX_TRACE_BYTES = 16 * 1024 * 1024;
/** Questions that wait for an answer; whoever has one more does without. */
const MAX_QUESTIONS = 8;
const QUIET = suppressed(ROOT_CONTEXT);

/** @internal */
export class OtherViewer {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 4 });
  /** Connections of their own: questions are a courtesy, and must keep no span and no look waiting. */
  private readonly questionAgent = new Agent({ keepAlive: true, maxSockets: 2 });
  /** By trace: the requests of one trace end many at a time, and all want to know the same. */
  private readonly questions = new Map<string, Promise<readonly TraceSpan[]>>();

  constructor(private readonly port: number) {}

  async owner(): Promise<PortOwner> {
    try {
      const { status, body } = await this.call({ path: '/api/status', timeout: ASK_TIMEOUT_MS }, undefined, MAX_STATUS_BYTES);
      return status === 200 && isViewer(body) ? 'viewer' : 'foreign';
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ECONNREFUSED' || code === 'ECONNRESET' || code === 'EPIPE') return 'nobody';
      return code === 'ETIMEDOUT' ? 'silent' : 'foreign';
    }
  }

  /** Sends an OTLP request in protobuf: false where it will not be had, now or later; rejects where nobody could be reached. */
  async send(body: Uint8Array): Promise<boolean> {
    const headers = { 'content-type': 'application/x-protobuf', 'content-length': body.length };
    const { status } = await this.call({ method: 'POST', path: '/v1/traces', headers, timeout: SEND_TIMEOUT_MS }, body, MAX_STATUS_BYTES);
    if (status >= 500) throw new Error(`the viewer answered ${status}`);
    return status === 200;
  }

  /** What it has of a trace, nothing where it cannot say within `timeoutMs`. */
  async spansOf(traceId: string, timeoutMs: number): Promise<readonly TraceSpan[]> {
    const asked = this.questions.get(traceId);
    if (asked !== undefined) return asked;
    if (this.questions.size >= MAX_QUESTIONS) return [];
    const question = this.ask(traceId, timeoutMs).finally(() => this.questions.delete(traceId));
    this.questions.set(traceId, question);
    return question;
  }

  close(): void {
    this.agent.destroy();
    this.questionAgent.destroy();
  }

  /** Never rejects. */
  private async ask(traceId: string, timeout: number): Promise<readonly TraceSpan[]> {
    const options = { path: `/api/traces/${traceId}/otlp`, timeout, agent: this.questionAgent };
    try {
      const { status, body } = await this.call(options, undefined, MAX_TRACE_BYTES);
      return status === 200 ? readOtlp(JSON.parse(body.toString())).spans : [];
    } catch {
      return [];
    }
  }

  /** Under no request's context, so that nothing makes a span of it, and on connections that keep no process alive. */
  private call(options: RequestOptions, body: Uint8Array | undefined, maxBytes: number): Promise<Answer> {
    return context.with(
      QUIET,
      () =>
        new Promise<Answer>((resolve, reject) => {
          const { timeout = ASK_TIMEOUT_MS } = options;
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
          // For the whole exchange: an answer that comes byte by byte is none.
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
