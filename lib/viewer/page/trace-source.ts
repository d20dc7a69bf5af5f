/** Gets a trace from the server, and again when it has changed. */
import { useEffect, useMemo } from 'preact/hooks';
import type { SpanForest } from '../model/span-forest.js';
import { byMember, type Fold } from '../model/visible-rows.js';
import { forestOf, type WireTrace } from '../model/wire.js';
import { ask } from './ask.js';
import { live } from './live.js';
import { Store, useStore } from './store.js';

export interface LoadedTrace extends Pick<WireTrace, 'revision' | 'droppedSpans' | 'path' | 'services'> {
  readonly forest: SpanForest;
  /** By each of their members. */
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

  /** Asks again where the list says that there is more. */
  async refresh(): Promise<void> {
    if (this.isLoading) return;
    this.isLoading = true;
    try {
      const trace = await ask<WireTrace>(`traces/${encodeURIComponent(this.traceId)}`);
      if (trace) this.state.set({ ...trace, forest: forestOf(trace), folds: byMember(trace.folds) });
      else if (typeof this.state.value === 'string') this.state.set('missing');
    } catch {
      if (typeof this.state.value === 'string') this.state.set('failed');
    }
    await new Promise(resolve => setTimeout(resolve, REFRESH_MS));
    this.isLoading = false;
    this.check();
  }

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

let asked: TraceSource | undefined;

/** Asks for a trace before there is a page to show it on; done when it has come. */
export function askFor(traceId: string): Promise<void> {
  const source = new TraceSource(traceId);
  asked = source;
  return new Promise(resolve => void source.state.watch(resolve));
}

/** The source of a trace, asked at once and kept up to date while the component is there. */
export function useTrace(traceId: string): TraceState {
  const source = useMemo(() => (asked?.traceId === traceId ? asked : new TraceSource(traceId)), [traceId]);
  useEffect(() => live.watch(() => source.check()), [source]);
  return useStore(source.state);
}
