/** Sends one POST to a collector, directly or through a proxy. The time and the size of the answer are limited. */
import http from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import { percentDecoded } from '../../options/environment.js';
import { codeOf } from './export-failure.js';

/** Only this much of an answer is read. Normal answers are much shorter. */
const MAX_ANSWER_BYTES = 65_536;

/** @internal */
export interface Target {
  readonly url: URL;
  readonly proxy: URL | undefined;
  readonly agent: http.Agent;
}

/** @internal */
export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
  /** True if {@link body} is the complete answer. */
  readonly isWhole: boolean;
}

/** Certificates for `https.Agent`. */
interface TlsFiles {
  readonly ca?: Buffer | undefined;
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
}

/** Connections stay open between batches. If all sockets are in use, further batches wait. */
const AGENT = { keepAlive: true, maxSockets: 30 };

/** Returns the target for `url` and an agent for it. @internal */
export function targetOf(url: URL, proxy: URL | undefined, files: TlsFiles): Target {
  if (url.protocol === 'http:') return { url, proxy, agent: proxy?.protocol === 'https:' ? new https.Agent(AGENT) : new http.Agent(AGENT) };
  return { url, proxy, agent: proxy === undefined ? new https.Agent({ ...AGENT, ...files }) : new TunnelAgent(proxy, files) };
}

/**
 * Sends `body` and resolves with the answer. Rejects if no answer comes. The server may have closed a kept-alive connection, for example
 * while the process was frozen. The request is then sent once more over a new connection. @internal
 */
export async function post(
  target: Target,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Answer> {
  for (let isLast = false; ; isLast = true) {
    const request = open(target, { ...headers, 'content-length': String(body.byteLength) }, signal);
    try {
      return await answerTo(request, body, timeoutMs);
    } catch (error) {
      if (!request.reusedSocket || isLast || signal.aborted || !['ECONNRESET', 'EPIPE'].includes(codeOf(error) ?? '')) throw error;
    }
  }
}

function answerTo(request: http.ClientRequest, body: Uint8Array, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    // After the whole process was paused, the answer and the timer may both be due. `setImmediate` lets the answer come first.
    const timer = setTimeout(() => setImmediate(() => request.destroy(timedOut(timeoutMs))), timeoutMs).unref();
    const settled = (act: () => void): void => {
      clearTimeout(timer);
      act();
    };
    request.once('response', response => {
      const chunks: Buffer[] = [];
      let size = 0;
      const done = (isWhole: boolean): void => settled(() => resolve(answerOf(response, chunks, isWhole)));
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= MAX_ANSWER_BYTES) chunks.push(chunk);
        else {
          done(false);
          response.destroy();
        }
      });
      response.once('end', () => done(true));
      // The status is known, so the answer can still be used.
      response.once('error', () => done(false));
    });
    request.on('error', error => settled(() => reject(error)));
    // A server may answer with an unwanted protocol upgrade. Without this listener the request would end without any event.
    request.once('upgrade', (response, socket) => {
      socket.destroy();
      settled(() => resolve(answerOf(response, [], false)));
    });
    request.end(body);
  });
}

function answerOf({ statusCode = 0, headers }: http.IncomingMessage, chunks: readonly Buffer[], isWhole: boolean): Answer {
  return { status: statusCode, headers, body: Buffer.concat(chunks), isWhole };
}

function open({ url, proxy, agent }: Target, headers: Record<string, string>, signal: AbortSignal): http.ClientRequest {
  if (url.protocol === 'https:') return https.request(url, { method: 'POST', headers, agent, signal });
  if (proxy === undefined) return http.request(url, { method: 'POST', headers, agent, signal });
  const { request } = proxy.protocol === 'https:' ? https : http;
  const path = url.origin + url.pathname + url.search;
  return request({
    ...placeOf(proxy),
    method: 'POST',
    path,
    headers: { ...credentialsFor(url, 'authorization'), ...headers, host: url.host, ...credentialsFor(proxy) },
    agent,
    signal,
  });
}

/** Opens a tunnel through the proxy (`CONNECT`) and speaks TLS with the collector inside it. */
class TunnelAgent extends https.Agent {
  constructor(
    private readonly proxy: URL,
    files: TlsFiles,
  ) {
    super({ ...AGENT, ...files });
  }

  override createConnection(
    options: https.RequestOptions,
    callback: (error: Error | null, stream: Duplex) => void = () => undefined,
  ): undefined {
    const { request } = this.proxy.protocol === 'https:' ? https : http;
    const authority = `${String(options.host)}:${String(options.port)}`;
    const tunnel = request({
      ...placeOf(this.proxy),
      method: 'CONNECT',
      path: authority,
      headers: { host: authority, ...credentialsFor(this.proxy) },
      agent: false,
    });
    const fail = (error: Error): void => callback(error, undefined as never);
    tunnel.once('error', fail);
    tunnel.once('connect', ({ statusCode }, socket) => {
      if (statusCode === 200) {
        callback(null, connect({ ...(options as object), path: undefined, socket }));
        return;
      }
      socket.destroy();
      fail(new ProxyRefusal(this.proxy, statusCode ?? 0));
    });
    tunnel.end();
  }
}

class ProxyRefusal extends Error {
  override readonly name = 'ProxyRefusal';

  constructor(
    proxy: URL,
    readonly statusCode: number,
  ) {
    super(`the proxy ${proxy.host} answered ${statusCode}`);
  }
}

function placeOf(proxy: URL): { host: string; port: string | number } {
  const host = proxy.hostname.replace(/^\[|\]$/g, '');
  return { host, port: proxy.port || (proxy.protocol === 'https:' ? 443 : 80) };
}

function credentialsFor({ username, password }: URL, header = 'proxy-authorization'): Record<string, string> {
  if (username === '' && password === '') return {};
  const pair = `${percentDecoded(username)}:${percentDecoded(password)}`;
  return { [header]: `Basic ${Buffer.from(pair).toString('base64')}` };
}

function timedOut(timeoutMs: number): Error {
  return Object.assign(new Error(`no answer within ${Math.round(timeoutMs)} ms`), { code: 'ETIMEDOUT' });
}
