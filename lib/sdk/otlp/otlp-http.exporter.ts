/** Sends spans to a collector as OTLP over HTTP. Temporary failures are retried within one deadline. */
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { ExportResultCode } from '@opentelemetry/core';
import { reportTrouble } from '../../options/trouble.js';
import { messages } from '../../options/messages.js';
import { VERSION } from '../../options/version.js';
import { encodeJson } from './encode-json.js';
import { encodeProtobuf } from './encode-protobuf.js';
import { shown } from './endpoint.js';
import { codeOf, ExportFailure, PartialFailure } from './export-failure.js';
import { type Answer, post } from './http-post.js';
import { readAnswer, textOf } from './answer.js';
import type { OtlpSettings } from './settings.js';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace-node';

type Done = Parameters<SpanExporter['export']>[1];

const FORMATS = {
  'http/protobuf': { type: 'application/x-protobuf', encode: encodeProtobuf },
  'http/json': { type: 'application/json', encode: encodeJson },
};

// https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes
const RETRYABLE_STATUS: readonly number[] = [429, 502, 503, 504];
const RETRYABLE_CODES = ['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ETIMEDOUT', 'EAI_AGAIN', 'ENOTFOUND', 'ENETUNREACH', 'EHOSTUNREACH'];
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 5000;
const SHORTEST_PAUSE_MS = 100;

/** @internal */
export class OtlpHttpExporter implements SpanExporter {
  private readonly end = new AbortController();
  private readonly address: string;
  private readonly headers: Readonly<Record<string, string>>;

  constructor(
    private readonly protocol: keyof typeof FORMATS,
    private readonly settings: OtlpSettings,
  ) {
    this.address = shown(settings.endpoint.url);
    this.headers = {
      'user-agent': `nestjs-tracing/${VERSION} OTLP-Exporter-JavaScript`,
      ...settings.headers,
      'content-type': FORMATS[protocol].type,
      ...(settings.isCompressed && { 'content-encoding': 'gzip' }),
    };
  }

  export(spans: ReadableSpan[], done: Done): void {
    this.deliver(spans).then(
      () => done({ code: ExportResultCode.SUCCESS }),
      (error: unknown) => done({ code: ExportResultCode.FAILED, error: error as Error }),
    );
  }

  async forceFlush(): Promise<void> {
    // The caller of `export()` waits for the answer.
  }

  /** Aborts the requests that are in flight. */
  shutdown(): Promise<void> {
    this.end.abort();
    this.settings.target.agent.destroy();
    return Promise.resolve();
  }

  private async deliver(spans: ReadableSpan[]): Promise<void> {
    const { settings, address } = this;
    const encoded = FORMATS[this.protocol].encode(spans);
    const body = settings.isCompressed ? await promisify(gzip)(encoded) : encoded;
    const answer = await this.answerTo(body);
    if (answer.status < 200 || answer.status > 299) throw this.refusal(answer);
    const read = answer.isWhole ? readAnswer(answer, spans.length) : undefined;
    if (read === undefined) reportTrouble(`otlp:${address}:answer`, messages.answerUnreadable(address));
    else if (read.refused > 0 || read.reason !== '') throw new PartialFailure(read.refused, this.redacted(read.reason));
  }

  /** Sends `body`, retries temporary failures until the deadline, and returns the last answer. */
  private async answerTo(body: Uint8Array): Promise<Answer> {
    const { target, timeoutMs } = this.settings;
    const { signal } = this.end;
    let deadline = performance.now() + timeoutMs;
    for (let next = FIRST_PAUSE_MS; ; next *= 1.5) {
      const begunAt = performance.now();
      const outcome = await post(target, this.headers, body, Math.max(1, deadline - begunAt), signal).catch((error: unknown) => {
        if (signal.aborted || !RETRYABLE_CODES.includes(codeOf(error) ?? '')) throw this.failure(error);
        return { error };
      });
      if (!('error' in outcome) && !RETRYABLE_STATUS.includes(outcome.status)) return outcome;
      // If an attempt took longer than its timeout, the whole process was paused.
      const late = performance.now() - Math.max(begunAt + timeoutMs, deadline);
      if (late > timeoutMs / 2) deadline = performance.now() + timeoutMs;
      const jittered = Math.min(next, LONGEST_PAUSE_MS) * (0.8 + Math.random() * 0.4);
      const asked = 'error' in outcome ? undefined : retryAfter(outcome);
      const wait = Math.max(asked ?? jittered, SHORTEST_PAUSE_MS);
      if (performance.now() + wait >= deadline) {
        if ('error' in outcome) throw this.failure(outcome.error);
        return outcome;
      }
      const wakesAt = performance.now() + wait;
      await pause(wait, undefined, { ref: false, signal });
      deadline += Math.max(0, performance.now() - wakesAt);
    }
  }

  private failure(error: unknown, status?: number, text = ''): ExportFailure {
    const { endpoint, target } = this.settings;
    const place = { address: this.address, variable: endpoint.variable, proxy: target.proxy && shown(target.proxy) };
    return new ExportFailure(place, status, text, error);
  }

  private refusal(answer: Answer): ExportFailure {
    const { url } = this.settings.endpoint;
    const { location } = answer.headers;
    const to = location === undefined || !URL.canParse(location, url.href) ? '' : shown(new URL(location, url));
    return this.failure(undefined, answer.status, this.redacted(answer.status < 400 ? to : textOf(answer)));
  }

  /** Removes header values from `text`, because a collector may repeat an unknown key in its answer. */
  private redacted(text: string): string {
    return Object.values(this.settings.headers)
      .flatMap(value => value.split(/\s+/))
      .filter(secret => secret.length > 3)
      .reduce((redacted, secret) => redacted.replaceAll(secret, '…'), text);
  }
}

/** Returns the wait of `Retry-After` (seconds or a date) in milliseconds. */
function retryAfter({ headers }: Answer): number | undefined {
  const text = headers['retry-after'];
  if (text === undefined) return undefined;
  const seconds = Number(text);
  const wait = Number.isNaN(seconds) ? Date.parse(text) - Date.now() : seconds * 1000;
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
}
