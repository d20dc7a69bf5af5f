/** Sends changes of the store to open pages as server-sent events. A page that reads slowly gets fewer events. */
import type { ServerResponse } from 'node:http';
import { type Filter, parseFilter } from '../model/filter.js';
import type { ChangedTraces, GoneTraces } from '../model/wire.js';
import type { StoredTrace } from './stored-trace.js';
import { byNewest, matchesFilter, listTraces, type StoreChange, type TraceStore } from './trace-store.js';

const HEARTBEAT_MS = 15_000;
/** A limit, because the whole list stays in memory for each page that does not read it. */
const MAX_WATCHERS = 32;
/** A page that has not read for this number of heartbeats is disconnected. It connects again by itself. */
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
      for (const watcher of this.watchers) watcher.onChange(change);
    });
  }

  /** Sends all traces that match `query`, and from then on each change of them. */
  watch(response: ServerResponse, query: string): void {
    if (this.watchers.size >= MAX_WATCHERS) {
      response.writeHead(503, { 'content-type': 'text/plain; charset=utf-8', 'retry-after': '5', connection: 'close' });
      response.end(`${MAX_WATCHERS} pages are connected already.\n`);
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
      for (const each of this.watchers) each.heartbeat();
    }, this.heartbeatMs).unref();
  }

  close(): void {
    this.stop();
    clearInterval(this.heartbeat);
  }
}

/** One open page. Changes that were not sent yet are kept as trace ids, so a slow page costs little memory. */
class Watcher {
  private gone: Set<string> | 'all' = new Set();
  private changed = new Set<string>();
  /** The traces that the page shows. */
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

  onChange({ gone, changed }: StoreChange): void {
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

  heartbeat(): void {
    if (!this.response.writableNeedDrain) this.response.write(':\n\n');
    else if (++this.silentHeartbeats >= MAX_SILENT_HEARTBEATS) this.response.destroy();
  }

  private flush(): void {
    if (this.response.writableNeedDrain || this.response.destroyed) return;
    const traces = Array.from(this.changed, traceId => this.store.trace(traceId)).filter(trace => trace !== undefined);
    const matching: StoredTrace[] = [];
    for (const trace of traces) {
      if (matchesFilter(trace, this.filter)) matching.push(trace);
      // New spans can end a match: a filter for short traces, or for traces without errors.
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
    // JSON.stringify() adds no line breaks, which would end the event.
    this.response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }
}
