/** Loads a trace from the server, and loads it again when it has changed. */
import { useEffect, useMemo } from 'preact/hooks';
import type { SpanForest } from '../model/span-forest.js';
import { foldsByMember, type Fold } from '../model/visible-rows.js';
import { forestOf, type WireTrace } from '../model/wire.js';
import { live } from './live.js';
import { Store, useStore } from './store.js';

export interface LoadedTrace extends Pick<WireTrace, 'revision' | 'droppedSpans' | 'path' | 'services'> {
  readonly forest: SpanForest;
  /** The folds, by each of their members. */
  readonly folds: ReadonlyMap<number, Fold>;
}

export type TraceState = LoadedTrace | 'loading' | 'missing' | 'failed';

const REFRESH_MS = 120;

class TraceSource {
  readonly state = new Store<TraceState>('loading');
  private isLoading = false;

  constructor(readonly traceId: string) {
    void this.refresh();
  }

  /** Loads the trace, and then checks whether it has changed meanwhile. */
  async refresh(): Promise<void> {
    if (this.isLoading) return;
    this.isLoading = true;
    try {
      const trace = await getJson<WireTrace>(`traces/${encodeURIComponent(this.traceId)}`);
      if (trace) this.state.set({ ...trace, forest: forestOf(trace), folds: foldsByMember(trace.folds) });
      else if (typeof this.state.value === 'string') this.state.set('missing');
    } catch {
      if (typeof this.state.value === 'string') this.state.set('failed');
    }
    await new Promise(resolve => setTimeout(resolve, REFRESH_MS));
    this.isLoading = false;
    this.check();
  }

  /** Loads the trace again if the live list has a newer revision of it. */
  check(): void {
    const state = this.state.value;
    const revision = live.value.traces.find(trace => trace.traceId === this.traceId)?.revision ?? -1;
    const isBehind =
      typeof state === 'string'
        ? live.value.connection === 'live' && (state === 'failed' || revision >= 0)
        : revision !== state.revision && revision >= 0;
    if (isBehind) void this.refresh();
  }
}

let preloaded: TraceSource | undefined;

/** Starts to load a trace before the page is rendered. Resolves when it has been loaded, or could not be. */
export function preloadTrace(traceId: string): Promise<void> {
  const source = new TraceSource(traceId);
  preloaded = source;
  return new Promise(resolve => void source.state.watch(resolve));
}

/** Loads a trace, and keeps it up to date while the component is mounted. */
export function useTrace(traceId: string): TraceState {
  const source = useMemo(() => (preloaded?.traceId === traceId ? preloaded : new TraceSource(traceId)), [traceId]);
  useEffect(() => live.watch(() => source.check()), [source]);
  return useStore(source.state);
}

/** Resolves with the answer for a path below `/api/`; with `undefined` for an error status. Rejects if the server cannot be reached. */
export async function getJson<T>(path: string): Promise<T | undefined> {
  const response = await fetch(`/api/${path}`);
  return response.ok ? ((await response.json()) as T) : undefined;
}
