/** The live list of traces: receives it from the server as server-sent events, and connects again if the connection is lost. */
import { MAX_FILTER_LENGTH } from '../model/filter.js';
import type { ChangedTraces, GoneTraces, TraceList, TraceSummary } from '../model/wire.js';
import { opened } from './files.js';
import { Store } from './store.js';

export interface LiveList {
  /** Newest first. */
  readonly traces: readonly TraceSummary[];
  readonly stored: number;
  readonly connection: 'connecting' | 'live' | 'lost';
  readonly isPaused: boolean;
  /** The number of traces that were received or changed during the pause. */
  readonly missed: number;
}

export const live = new Store<LiveList>({ traces: [], stored: 0, connection: 'connecting', isPaused: false, missed: 0 });

let source: EventSource | undefined;
let currentFilter: string | undefined;
let retry: ReturnType<typeof setTimeout> | undefined;
let waitMs = 250;
const missed = new Set<string>();
let known = new Map<string, TraceSummary>();
let frame: number | undefined;

/** From now on, the list has only traces that match `filter`. */
export function watchTraces(filter: string): void {
  // A longer filter could make the URL too long, and the server ignores the rest anyway.
  const shortened = filter.slice(0, MAX_FILTER_LENGTH);
  if (shortened === currentFilter) return;
  currentFilter = shortened;
  connect();
}

export function pause(isPaused: boolean): void {
  missed.clear();
  live.set({ ...live.value, isPaused, missed: 0 });
  // A new connection starts with the whole list, also with what was missed.
  if (!isPaused) connect();
}

export async function clearTraces(): Promise<void> {
  await fetch('/api/traces', { method: 'DELETE' });
}

function connect(): void {
  clearTimeout(retry);
  source?.close();
  // slice() may have cut a character in half. encodeURIComponent() would throw then, URLSearchParams does not.
  const current = new EventSource(`/api/live?${new URLSearchParams({ q: currentFilter ?? '' }).toString()}`);
  source = current;
  const on = <T>(name: string, take: (data: T) => void) => {
    current.addEventListener(name, event => take(JSON.parse((event as MessageEvent<string>).data) as T));
  };
  on<TraceList>('traces', list => {
    waitMs = 250;
    if (!live.value.isPaused) known = new Map(list.traces.map(trace => [trace.traceId, trace]));
    update(list.stored, true);
  });
  on<ChangedTraces>('changed', list => {
    for (const trace of list.traces) {
      if (live.value.isPaused) missed.add(trace.traceId);
      else known.set(trace.traceId, trace);
    }
    update(list.stored);
  });
  on<GoneTraces>('gone', ({ traceIds }) => {
    if (traceIds === 'all') opened.set(new Map());
    if (live.value.isPaused) return;
    if (traceIds === 'all') known.clear();
    else for (const traceId of traceIds) known.delete(traceId);
    update(traceIds === 'all' ? 0 : live.value.stored);
  });
  current.onerror = () => {
    current.close();
    live.set({ ...live.value, connection: 'lost' });
    retry = setTimeout(connect, waitMs);
    waitMs = Math.min(waitMs * 1.6, 3000);
  };
}

/** Updates the list once for each frame, or at once if the whole list was received. */
function update(stored: number, isWhole = false): void {
  const draw = () => {
    frame = undefined;
    const traces = [...known.values()].sort(newestFirst);
    live.set({ ...live.value, traces, stored: pendingStored, connection: 'live', missed: missed.size });
  };
  pendingStored = stored;
  if (isWhole) draw();
  else frame ??= requestAnimationFrame(draw);
}

let pendingStored = 0;

/** Compares as text, because nanoseconds since 1970 will have the same number of digits for centuries. */
function newestFirst(a: TraceSummary, b: TraceSummary): number {
  return a.startNs < b.startNs ? 1 : a.startNs > b.startNs ? -1 : 0;
}
