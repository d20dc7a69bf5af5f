/**
 * Finds the spans of this process a viewer: hosts one where the port is free, joins the one that is there, and takes over when that
 * one stops. Whatever goes wrong stays in here.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { reportTrouble } from '../../local/trouble.js';
import { messages } from '../../tracing.messages.js';
import { type FinishedSpan, toTraceSpan, type TraceSpan } from '../model/trace-span.js';
import type { ResolvedViewerOptions } from '../viewer-options.js';
import { OtherViewer } from './other-viewer.js';
import { TraceStore } from './trace-store.js';
import { ViewerServer } from './viewer-server.js';

/** `seeking` while nobody is known to have the port, `refused` where it cannot be had. */
type Role = { readonly name: 'seeking' | 'joined' | 'refused' } | { readonly name: 'hosting'; readonly server: ViewerServer };

/** A finished span shows within 250 ms: this, the way to the host, and the host's own patience. */
const FLUSH_AFTER_MS = 40;
const BATCH = 512;
/** Kept while there is no viewer; beyond it the oldest go. */
const MAX_WAITING = 10_000;
const LOOK_EVERY_MS = 500;
const LOOK_AGAIN_AFTER_REFUSAL_MS = 10_000;
/** Looks that nobody answered, until the port, where no viewer has ever been, is given up. */
const MAX_SILENT_LOOKS = 5;
const JITTER_MS = 100;

/** What the link needs of who has the spans. @internal */
export interface ViewerLinkOwner {
  /** `spans` as an OTLP request in protobuf. */
  encode(spans: readonly FinishedSpan[]): Promise<Uint8Array>;
  say(message: string): void;
}

/** @internal */
export class ViewerLink {
  private role: Role = { name: 'seeking' };
  private waiting: FinishedSpan[] = [];
  private readonly other: OtherViewer;
  private readonly url: string;
  private flushTimer: NodeJS.Timeout | undefined;
  private lookTimer: NodeJS.Timeout | undefined;
  private seeking: Promise<void> | undefined;
  private sending: Promise<void> | undefined;
  /** A viewer has been at the port: where it is silent now it stands at a breakpoint, and what waits for it goes on waiting. */
  private hasMet = false;
  private isClosing = false;

  constructor(
    private readonly options: ResolvedViewerOptions,
    private readonly owner: ViewerLinkOwner,
  ) {
    this.other = new OtherViewer(options.port);
    this.url = `http://127.0.0.1:${options.port}`;
  }

  /** Begins to look for a viewer; nobody has to wait for it. */
  start(): void {
    this.seek(0);
  }

  /** What a trace id is put behind to get a link, as long as there may be somebody behind the link. */
  get traceUrlPrefix(): string | undefined {
    return this.role.name === 'refused' ? undefined : `${this.url}/trace/`;
  }

  /** Costs a push: everything else happens when nobody waits. */
  take(span: FinishedSpan): void {
    if (this.role.name === 'refused' || this.isClosing) return;
    this.waiting.push(span);
    if (this.waiting.length >= MAX_WAITING * 2) this.dropOldest();
    this.flushTimer ??= setTimeout(() => {
      this.flushTimer = undefined;
      void this.flush();
    }, FLUSH_AFTER_MS).unref();
  }

  /** Brings what waits to the viewer that is there. */
  async flush(): Promise<void> {
    clearTimeout(this.flushTimer);
    this.flushTimer = undefined;
    const { role } = this;
    if (role.name === 'hosting') role.server.store.add(modelOf(this.waiting.splice(0)));
    else if (role.name === 'refused') this.waiting = [];
    else if (role.name === 'joined') await (this.sending ??= this.send().finally(() => (this.sending = undefined)));
  }

  /** What the viewer has of a trace, other services' spans included. */
  async spansOf(traceId: string, timeoutMs: number): Promise<readonly TraceSpan[]> {
    if (this.role.name === 'joined') return this.other.spansOf(traceId, timeoutMs);
    if (this.role.name !== 'hosting') return [];
    return [...(this.role.server.store.trace(traceId)?.spans.values() ?? [])];
  }

  /** Delivers what waits, and lets go of the port. */
  async close(): Promise<void> {
    this.isClosing = true;
    clearTimeout(this.lookTimer);
    await this.seeking;
    await this.flush();
    clearTimeout(this.lookTimer);
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
    for (let silentLooks = 0; ;) {
      // Asked first: some systems let two programs listen on one port.
      const owner = await this.other.owner();
      if (owner === 'viewer') {
        this.join();
        return;
      }
      if (this.isClosing) return;
      if (owner === 'silent' && !this.hasMet) silentLooks++;
      if (owner === 'foreign' || silentLooks >= MAX_SILENT_LOOKS) {
        const { viewerPortTaken, viewerPortSilent } = messages;
        this.refuse((owner === 'foreign' ? viewerPortTaken : viewerPortSilent)(this.options.port));
        return;
      }
      if (owner === 'nobody') this.hasMet = false;
      if (owner === 'nobody' && (await this.host())) return;
      // Whoever looks at the same time is to look at another one next.
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
    if (!this.hasMet) this.owner.say(messages.viewerJoined(this.url));
    this.hasMet = true;
    this.lookAgain(LOOK_EVERY_MS);
  }

  private refuse(message: string, error?: unknown): void {
    this.role = { name: 'refused' };
    this.hasMet = false;
    this.waiting = [];
    reportTrouble(`viewer:${this.options.port}`, message, error);
    this.lookAgain(LOOK_AGAIN_AFTER_REFUSAL_MS);
  }

  /** Notices that the host has gone, also while there is nothing to send, or that the port has become free. */
  private lookAgain(afterMs: number): void {
    if (this.isClosing) return;
    clearTimeout(this.lookTimer);
    const look = async (): Promise<void> => {
      const owner = await this.other.owner();
      if (this.isClosing || this.role.name === 'seeking' || this.role.name === 'hosting') return;
      const isAsBefore = owner === 'silent' || owner === (this.role.name === 'joined' ? 'viewer' : 'foreign');
      if (isAsBefore) this.lookAgain(afterMs);
      else this.seek(Math.random() * JITTER_MS);
    };
    this.lookTimer = setTimeout(() => void look(), afterMs).unref();
  }

  /** One batch after the other; what could not be brought waits for the next viewer. */
  private async send(): Promise<void> {
    while (this.waiting.length > 0 && this.role.name === 'joined') {
      const batch = this.waiting.splice(0, BATCH);
      const body = await this.encoded(batch);
      if (body === undefined) continue;
      try {
        if (!(await this.other.send(body))) reportTrouble('viewer:rejected', messages.viewerRejected(this.url));
      } catch {
        this.waiting.unshift(...batch);
        if (this.role.name === 'joined' && !this.isClosing) this.seek(Math.random() * JITTER_MS);
        return;
      }
    }
  }

  /** `undefined` for spans that cannot be encoded: they would never be. */
  private async encoded(batch: readonly FinishedSpan[]): Promise<Uint8Array | undefined> {
    try {
      return await this.owner.encode(batch);
    } catch (error) {
      reportTrouble('viewer:rejected', messages.viewerRejected(this.url), error);
      return undefined;
    }
  }

  private dropOldest(): void {
    this.waiting = this.waiting.slice(-MAX_WAITING);
    reportTrouble('viewer:waiting', messages.viewerLostSpans(MAX_WAITING));
  }
}

/** A span that cannot be read costs the others nothing. */
function modelOf(spans: readonly FinishedSpan[]): TraceSpan[] {
  return spans.flatMap(span => {
    try {
      return toTraceSpan(span);
    } catch {
      return [];
    }
  });
}
