/** Viewers on real sockets for specs, and a plain HTTP client that says exactly what it is told to say. */
import { afterEach } from '@jest/globals';
import { type IncomingHttpHeaders, request } from 'node:http';
import type { OtlpSpan } from '../../../lib/viewer/model/otlp-json.js';
import { toTraceSpan, type TraceSpan } from '../../../lib/viewer/model/trace-span.js';
import { TraceStore } from '../../../lib/viewer/server/trace-store.js';
import { ViewerServer } from '../../../lib/viewer/server/viewer-server.js';
import { untraced } from '../../untraced-call.js';
import { finishedSpan, type SpanSketch } from '../finished-span.js';

const running: ViewerServer[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map(viewer => viewer.close()));
});

export async function startViewer(maxBytes = 32e6): Promise<ViewerServer> {
  const viewer = await ViewerServer.listen(new TraceStore({ maxBytes }), { port: 0, isKeptAlive: false });
  running.push(viewer);
  return viewer;
}

/** What JSON holds is known to who asked for it. */
type Json = ReturnType<typeof JSON.parse>;

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  json(): Json;
}

export interface Call {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array;
}

export function call(url: string, { method = 'GET', headers = {}, body }: Call = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = untraced(() => request(url, { method, headers, agent: false })).once('response', response => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const received = Buffer.concat(chunks);
        const text = received.toString();
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: received, text, json: () => JSON.parse(text) });
      });
      response.on('error', reject);
    });
    sent.on('error', reject);
    untraced(() => sent.end(body));
  });
}

export const post = (url: string, body: string | Uint8Array, type = 'application/json', headers: Record<string, string> = {}) =>
  call(url, { method: 'POST', body, headers: { 'content-type': type, ...headers } });

export const spansOf = (...sketches: SpanSketch[]): TraceSpan[] => sketches.map(sketch => toTraceSpan(finishedSpan(sketch)));

export const otlpSpan = (rest: Partial<OtlpSpan> = {}): OtlpSpan => ({
  traceId: 'a'.repeat(32),
  spanId: 'b'.repeat(16),
  name: 'GET /orders',
  kind: 2,
  startTimeUnixNano: '1790000000000000000',
  endTimeUnixNano: '1790000000010000000',
  ...rest,
});

export const otlp = (...spans: unknown[]): string =>
  JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: [{ key: 'service.name', value: { stringValue: 'orders' } }] },
        scopeSpans: [{ scope: { name: 'test' }, spans }],
      },
    ],
  });

/** The events of a live connection, in order; ends with it. */
export class Live {
  status = 0;
  readonly events: { readonly name: string; readonly data: Json }[] = [];
  private waiters: (() => void)[] = [];
  private rest = '';
  close: () => void = () => undefined;

  static open(url: string): Promise<Live> {
    return new Promise((resolve, reject) => {
      const live = new Live();
      const sent = request(url, { agent: false }, response => {
        response.on('data', (chunk: Buffer) => live.read(chunk.toString()));
        response.on('error', () => undefined);
        live.status = response.statusCode ?? 0;
        resolve(live);
      });
      live.close = () => sent.destroy();
      sent.on('error', reject);
      sent.end();
    });
  }

  /** The data of the first event of that name from the `from`th on, waited for. */
  async next(name: string, from = 0): Promise<Json> {
    for (;;) {
      const found = this.events.slice(from).find(event => event.name === name);
      if (found !== undefined) return found.data;
      await new Promise<void>(resolve => this.waiters.push(resolve));
    }
  }

  private read(chunk: string): void {
    const blocks = (this.rest + chunk).split('\n\n');
    this.rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const [, name, data] = /^event: (.*)\ndata: (.*)$/s.exec(block) ?? [];
      if (name !== undefined && data !== undefined) this.events.push({ name, data: JSON.parse(data) });
      else this.events.push({ name: 'comment', data: block });
    }
    for (const waiter of this.waiters.splice(0)) waiter();
  }
}
