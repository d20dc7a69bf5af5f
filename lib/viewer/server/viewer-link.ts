/**
 * Brings the spans of this process to a viewer. It hosts a viewer if the port is free, or sends the spans to the viewer on the port, and
 * takes over when that viewer stops. It reports its errors and never throws them.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { reportTrouble } from '../../options/trouble.js';
import { messages } from '../../options/messages.js';
import { type FinishedSpan, toTraceSpan, type TraceSpan } from '../model/trace-span.js';
import type { ResolvedViewerOptions } from '../../options/resolved-options.js';
import { OtherViewer } from './other-viewer.js';
import { TraceStore } from './trace-store.js';
import { ViewerServer } from './viewer-server.js';

/** `seeking`: it is not known yet who has the port. `refused`: another program has it, or it cannot be opened. */
type Role = { readonly name: 'seeking' | 'joined' | 'refused' } | { readonly name: 'hosting'; readonly server: ViewerServer };

/** Is short, so that the page shows a span within 250 ms. */
const FLUSH_AFTER_MS = 40;
const BATCH = 512;
/** The most spans that wait for a viewer. Beyond it, the oldest are dropped. */
const MAX_QUEUED = 10_000;
const CHECK_EVERY_MS = 500;
const CHECK_AFTER_REFUSAL_MS = 10_000;
/** The checks without an answer after which the port is given up, if no viewer has been there before. */
const MAX_SILENT_CHECKS = 5;
const JITTER_MS = 100;

/** The functions that the link needs from its owner, which has the spans. @internal */
export interface ViewerLinkOwner {
  /** Encodes `spans` as an OTLP request in protobuf. */
  encode(spans: readonly FinishedSpan[]): Promise<Uint8Array>;
  say(message: string): void;
}

/** @internal */
export class ViewerLink {
  private role: Role = { name: 'seeking' };
  private queue: FinishedSpan[] = [];
  private readonly other: OtherViewer;
  private readonly url: string;
  private flushTimer: NodeJS.Timeout | undefined;
  private checkTimer: NodeJS.Timeout | undefined;
  private seeking: Promise<void> | undefined;
  private sending: Promise<void> | undefined;
  /** A viewer was on the port. If it does not answer now, it may be stopped at a breakpoint, and the spans wait for it. */
  private hasSeenViewer = false;
  private isClosing = false;

  constructor(
    private readonly options: ResolvedViewerOptions,
    private readonly owner: ViewerLinkOwner,
  ) {
    this.other = new OtherViewer(options.port);
    this.url = `http://127.0.0.1:${options.port}`;
  }

  /** Begins to look for a viewer in the background. */
  start(): void {
    this.seek(0);
  }

  /** The URL of a trace without the trace id at its end; `undefined` while no viewer can be reached. */
  get traceUrlPrefix(): string | undefined {
    return this.role.name === 'refused' ? undefined : `${this.url}/trace/`;
  }

  /** Only puts the span into the queue, because the application waits for it. */
  take(span: FinishedSpan): void {
    if (this.role.name === 'refused' || this.isClosing) return;
    this.queue.push(span);
    if (this.queue.length >= MAX_QUEUED * 2) this.dropOldest();
    this.flushTimer ??= setTimeout(() => {
      this.flushTimer = undefined;
      void this.flush();
    }, FLUSH_AFTER_MS).unref();
  }

  /** Sends the queue to the viewer. */
  async flush(): Promise<void> {
    clearTimeout(this.flushTimer);
    this.flushTimer = undefined;
    const { role } = this;
    if (role.name === 'hosting') role.server.store.add(toTraceSpans(this.queue.splice(0)));
    else if (role.name === 'refused') this.queue = [];
    else if (role.name === 'joined') await (this.sending ??= this.send().finally(() => (this.sending = undefined)));
  }

  /** Resolves with the spans that the viewer has of a trace, with those of other services. */
  async spansOf(traceId: string, timeoutMs: number): Promise<readonly TraceSpan[]> {
    if (this.role.name === 'joined') return this.other.spansOf(traceId, timeoutMs);
    if (this.role.name !== 'hosting') return [];
    return [...(this.role.server.store.trace(traceId)?.spans.values() ?? [])];
  }

  /** Sends the queue and closes the port. */
  async close(): Promise<void> {
    this.isClosing = true;
    clearTimeout(this.checkTimer);
    await this.seeking;
    await this.flush();
    clearTimeout(this.checkTimer);
    if (this.role.name === 'hosting') await this.role.server.close();
    this.role = { name: 'refused' };
    this.other.close();
  }

  private seek(afterMs: number): void {
    this.role = { name: 'seeking' };
    this.seeking ??= this.findRole(afterMs)
      .catch((error: unknown) => this.refuse(messages.viewerNotListening(this.options.port), error))
      .finally(() => {
        this.seeking = undefined;
        void this.flush();
      });
  }

  private async findRole(afterMs: number): Promise<void> {
    await pause(afterMs, undefined, { ref: false });
    for (let silentChecks = 0; ;) {
      // It does not just try to listen: some systems let two programs listen on one port.
      const owner = await this.other.owner();
      if (owner === 'viewer') {
        this.join();
        return;
      }
      if (this.isClosing) return;
      if (owner === 'silent' && !this.hasSeenViewer) silentChecks++;
      if (owner === 'foreign' || silentChecks >= MAX_SILENT_CHECKS) {
        const { viewerPortTaken, viewerPortSilent } = messages;
        this.refuse((owner === 'foreign' ? viewerPortTaken : viewerPortSilent)(this.options.port));
        return;
      }
      if (owner === 'nobody') this.hasSeenViewer = false;
      if (owner === 'nobody' && (await this.host())) return;
      // The random time keeps processes that started together from checking at the same moment again.
      await pause(Math.random() * JITTER_MS, undefined, { ref: false });
    }
  }

  private async host(): Promise<boolean> {
    const store = new TraceStore({ maxBytes: this.options.maxBytes });
    try {
      const server = await ViewerServer.listen(store, { port: this.options.port, isKeptAlive: false });
      this.role = { name: 'hosting', server };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return false;
      throw error;
    }
    this.owner.say(messages.viewerHosted(this.url));
    return true;
  }

  private join(): void {
    this.role = { name: 'joined' };
    if (!this.hasSeenViewer) this.owner.say(messages.viewerJoined(this.url));
    this.hasSeenViewer = true;
    this.checkAgain(CHECK_EVERY_MS);
  }

  private refuse(message: string, error?: unknown): void {
    this.role = { name: 'refused' };
    this.hasSeenViewer = false;
    this.queue = [];
    reportTrouble(`viewer:${this.options.port}`, message, error);
    this.checkAgain(CHECK_AFTER_REFUSAL_MS);
  }

  /** Checks the port again later: the viewer may have stopped, or the port may have become free. */
  private checkAgain(afterMs: number): void {
    if (this.isClosing) return;
    clearTimeout(this.checkTimer);
    const check = async (): Promise<void> => {
      const owner = await this.other.owner();
      if (this.isClosing || this.role.name === 'seeking' || this.role.name === 'hosting') return;
      const isUnchanged = owner === 'silent' || owner === (this.role.name === 'joined' ? 'viewer' : 'foreign');
      if (isUnchanged) this.checkAgain(afterMs);
      else this.seek(Math.random() * JITTER_MS);
    };
    this.checkTimer = setTimeout(() => void check(), afterMs).unref();
  }

  /** Sends one batch after the other. A batch that cannot be sent waits for the next viewer. */
  private async send(): Promise<void> {
    while (this.queue.length > 0 && this.role.name === 'joined') {
      const batch = this.queue.splice(0, BATCH);
      const body = await this.encoded(batch);
      if (body === undefined) continue;
      try {
        if (!(await this.other.send(body))) reportTrouble('viewer:rejected', messages.viewerRejected(this.url));
      } catch {
        this.queue.unshift(...batch);
        if (this.role.name === 'joined' && !this.isClosing) this.seek(Math.random() * JITTER_MS);
        return;
      }
    }
  }

  /** Returns `undefined` if the spans cannot be encoded. They are dropped, because a retry would fail, too. */
  private async encoded(batch: readonly FinishedSpan[]): Promise<Uint8Array | undefined> {
    try {
      return await this.owner.encode(batch);
    } catch (error) {
      reportTrouble('viewer:rejected', messages.viewerRejected(this.url), error);
      return undefined;
    }
  }

  private dropOldest(): void {
    this.queue = this.queue.slice(-MAX_QUEUED);
    reportTrouble('viewer:waiting', messages.viewerLostSpans(MAX_QUEUED));
  }
}

/** Leaves out spans that cannot be read. */
function toTraceSpans(spans: readonly FinishedSpan[]): TraceSpan[] {
  return spans.flatMap(span => {
    try {
      return toTraceSpan(span);
    } catch {
      return [];
    }
  });
}
