/** Gets a trace, from the server or out of a file, and again when it has changed; what a span carries only when somebody asks. */
import { useEffect, useMemo } from 'preact/hooks';
import { criticalPath, type CriticalPath } from '../model/critical-path.js';
import { readOtlp } from '../model/otlp-json.js';
import { columnsOfWire } from '../model/span-columns.js';
import { growForest, type SpanForest } from '../model/span-forest.js';
import type { TraceSpan } from '../model/trace-span.js';
import { findFolds, type Fold } from '../model/visible-rows.js';
import type { WireTrace } from '../model/wire.js';
import { opened } from './files.js';
import { live } from './live.js';
import { Store, useStore } from './store.js';

export interface LoadedTrace {
  readonly forest: SpanForest;
  readonly path: CriticalPath;
  readonly folds: ReadonlyMap<number, Fold>;
  readonly revision: number;
  readonly droppedSpans: number;
  readonly isFile: boolean;
}

export type TraceState = LoadedTrace | 'loading' | 'missing' | 'failed';

/** Whole spans by id. */
export type SpanDetails = ReadonlyMap<string, TraceSpan>;

/** More spans than that are not asked for together because of one. */
const MANY = 3000;
const REFRESH_MS = 120;

export class TraceSource {
  readonly state = new Store<TraceState>('loading');
  private isLoading = false;
  private details: { readonly revision: number; readonly all: Promise<SpanDetails> } | undefined;
  private readonly single = new Map<string, Promise<TraceSpan | undefined>>();

  constructor(readonly traceId: string) {
    void this.refresh();
  }

  /** Asks again where the list says that there is more. */
  async refresh(): Promise<void> {
    const { traceId } = this;
    const file = opened.value.get(traceId);
    if (file) this.take({ forest: file.forest, revision: 0, droppedSpans: 0, isFile: true });
    if (file || this.isLoading) return;
    this.isLoading = true;
    try {
      const response = await fetch(`/api/traces/${encodeURIComponent(traceId)}`);
      if (response.ok) {
        const trace = (await response.json()) as WireTrace;
        const { revision, droppedSpans } = trace;
        this.take({ forest: growForest(columnsOfWire(trace)), revision, droppedSpans, isFile: false });
      } else if (typeof this.state.value === 'string') this.state.set('missing');
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
    if (isBehind && !(typeof state !== 'string' && state.isFile)) void this.refresh();
  }

  private take(trace: Omit<LoadedTrace, 'path' | 'folds'>): void {
    this.state.set({ ...trace, path: criticalPath(trace.forest), folds: findFolds(trace.forest) });
  }

  /** All spans with everything they carry. */
  all(): Promise<SpanDetails> {
    const { value } = this.state;
    const revision = typeof value === 'string' ? -1 : value.revision;
    if (this.details?.revision !== revision) this.details = { revision, all: this.load('') };
    return this.details.all;
  }

  one(spanId: string): Promise<TraceSpan | undefined> {
    const { value } = this.state;
    if (typeof value === 'string' || value.isFile || value.forest.count <= MANY) return this.all().then(spans => spans.get(spanId));
    let span = this.single.get(spanId);
    if (!span) this.single.set(spanId, (span = this.load(`?span=${encodeURIComponent(spanId)}`).then(spans => spans.get(spanId))));
    return span;
  }

  private async load(query: string): Promise<SpanDetails> {
    const file = opened.value.get(this.traceId);
    const spans = file ? file.spans : await this.fetchSpans(query);
    const details = new Map<string, TraceSpan>();
    for (const span of spans) if (!details.has(span.spanId)) details.set(span.spanId, span);
    return details;
  }

  private async fetchSpans(query: string): Promise<readonly TraceSpan[]> {
    const response = await fetch(`/api/traces/${encodeURIComponent(this.traceId)}/otlp${query}`);
    return response.ok ? readOtlp(await response.json()).spans : [];
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
export function useTrace(traceId: string): { readonly source: TraceSource; readonly state: TraceState } {
  const source = useMemo(() => (asked?.traceId === traceId ? asked : new TraceSource(traceId)), [traceId]);
  useEffect(() => live.watch(() => source.check()), [source]);
  useEffect(() => opened.watch(() => void source.refresh()), [source]);
  return { source, state: useStore(source.state) };
}
