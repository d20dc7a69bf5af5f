/** Tells pages what changes while they look, as server-sent events; a page that reads slowly gets fewer, never more memory. */
import type { ServerResponse } from 'node:http';
import { type Filter, parseFilter } from '../model/filter.js';
import type { ChangedTraces, GoneTraces } from '../model/wire.js';
import type { StoredTrace } from './stored-trace.js';
import { byNewest, isListed, listTraces } from './trace-list.js';
import type { StoreChange, TraceStore } from './trace-store.js';

const HEARTBEAT_MS = 15_000;
/** What is on its way to a page that does not read is as long as the list; so many pages nobody looks at. */
const MAX_WATCHERS = 32;
/** A page that has not read for so many heartbeats is gone or asleep; it comes back by itself. */
const MAX_SILENT_HEARTBEATS = 4;

/** @internal */
export class LiveUpdates {
  private readonly watchers = new Set<Watcher>();
  private readonly stop: () => void;
  private heartbeat: NodeJS.Timeout | undefined;

  constructor(
    private readonly store: TraceStore,
    private readonly heartbeatMs = HEARTBEAT_MS,
  ) {
    this.stop = store.onChange(change => {
      for (const watcher of this.watchers) watcher.tell(change);
    });
  }

  /** Answers with everything that matches `query`, and from then on with what changes. */
  watch(response: ServerResponse, query: string): void {
    if (this.watchers.size >= MAX_WATCHERS) {
      response.writeHead(503, { 'content-type': 'text/plain; charset=utf-8', 'retry-after': '5', connection: 'close' });
      response.end(`${MAX_WATCHERS} pages look already.\n`);
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' });
    const watcher = new Watcher(this.store, response, parseFilter(query));
    this.watchers.add(watcher);
    response.on('close', () => {
      this.watchers.delete(watcher);
      if (this.watchers.size > 0) return;
      clearInterval(this.heartbeat);
      this.heartbeat = undefined;
    });
    this.heartbeat ??= setInterval(() => {
      for (const one of this.watchers) one.beat();
    }, this.heartbeatMs).unref();
  }

  close(): void {
    this.stop();
    clearInterval(this.heartbeat);
  }
}

/** One page. What it has not been told is remembered as ids, so what waits for it is never more than the store has traces. */
class Watcher {
  private gone: Set<string> | 'all' = new Set();
  private changed = new Set<string>();
  /** What the page shows. */
  private readonly shown = new Set<string>();
  private silentHeartbeats = 0;

  constructor(
    private readonly store: TraceStore,
    private readonly response: ServerResponse,
    private readonly filter: Filter,
  ) {
    const list = listTraces(store, filter);
    for (const { traceId } of list.traces) this.shown.add(traceId);
    response.on('drain', () => {
      this.silentHeartbeats = 0;
      this.flush();
    });
    this.send('traces', list);
  }

  tell({ gone, changed }: StoreChange): void {
    if (gone === 'all') {
      this.gone = 'all';
      this.changed.clear();
    } else {
      for (const traceId of gone) {
        this.changed.delete(traceId);
        if (this.gone !== 'all' && this.shown.has(traceId)) this.gone.add(traceId);
      }
    }
    for (const traceId of changed) this.changed.add(traceId);
    this.flush();
  }

  beat(): void {
    if (!this.response.writableNeedDrain) this.response.write(':\n\n');
    else if (++this.silentHeartbeats >= MAX_SILENT_HEARTBEATS) this.response.destroy();
  }

  private flush(): void {
    if (this.response.writableNeedDrain || this.response.destroyed) return;
    const traces = Array.from(this.changed, traceId => this.store.trace(traceId)).filter(trace => trace !== undefined);
    const matching: StoredTrace[] = [];
    for (const trace of traces) {
      if (isListed(trace, this.filter)) matching.push(trace);
      // With more spans a trace may no longer be shorter than so much, or without errors.
      else if (this.shown.has(trace.traceId) && this.gone !== 'all') this.gone.add(trace.traceId);
    }
    this.sendGone();
    this.changed = new Set();
    if (matching.length === 0) return;
    for (const { traceId } of matching) this.shown.add(traceId);
    const changed: ChangedTraces = { traces: matching.sort(byNewest).map(trace => trace.summary()), stored: this.store.traceCount };
    this.send('changed', changed);
  }

  private sendGone(): void {
    const { gone } = this;
    if (gone !== 'all' && gone.size === 0) return;
    this.gone = new Set();
    if (gone === 'all') this.shown.clear();
    else for (const traceId of gone) this.shown.delete(traceId);
    const data: GoneTraces = { traceIds: gone === 'all' ? 'all' : [...gone] };
    this.send('gone', data);
  }

  private send(event: string, data: unknown): void {
    // JSON has no line breaks of its own.
    this.response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }
}
