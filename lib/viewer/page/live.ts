/** The list of traces as the server tells it, kept up to date; connects again and starts over when the server went away. */
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
  /** Traces that came or changed while it was paused. */
  readonly missed: number;
}

export const live = new Store<LiveList>({ traces: [], stored: 0, connection: 'connecting', isPaused: false, missed: 0 });

let source: EventSource | undefined;
let wanted: string | undefined;
let retry: ReturnType<typeof setTimeout> | undefined;
let waitMs = 250;
const missed = new Set<string>();
let known = new Map<string, TraceSummary>();
let frame: number | undefined;

/** From now on only what matches `filter`. */
export function watchTraces(filter: string): void {
  // A link may hold more than an address may be long, and what is beyond counts for nothing.
  const asked = filter.slice(0, MAX_FILTER_LENGTH);
  if (asked === wanted) return;
  wanted = asked;
  connect();
}

export function pause(isPaused: boolean): void {
  missed.clear();
  live.set({ ...live.value, isPaused, missed: 0 });
  // Whatever was missed comes with the list at the start.
  if (!isPaused) connect();
}

export async function clearTraces(): Promise<void> {
  await fetch('/api/traces', { method: 'DELETE' });
}

function connect(): void {
  clearTimeout(retry);
  source?.close();
  // The cut may have halved a character, which encodeURIComponent would throw at.
  const current = new EventSource(`/api/live?${new URLSearchParams({ q: wanted ?? '' }).toString()}`);
  source = current;
  const on = <T>(name: string, take: (data: T) => void) => {
    current.addEventListener(name, event => take(JSON.parse((event as MessageEvent<string>).data) as T));
  };
  on<TraceList>('traces', list => {
    waitMs = 250;
    if (!live.value.isPaused) known = new Map(list.traces.map(trace => [trace.traceId, trace]));
    show(list.stored, true);
  });
  on<ChangedTraces>('changed', list => {
    for (const trace of list.traces) {
      if (live.value.isPaused) missed.add(trace.traceId);
      else known.set(trace.traceId, trace);
    }
    show(list.stored);
  });
  on<GoneTraces>('gone', ({ traceIds }) => {
    if (traceIds === 'all') opened.set(new Map());
    if (live.value.isPaused) return;
    if (traceIds === 'all') known.clear();
    else for (const traceId of traceIds) known.delete(traceId);
    show(traceIds === 'all' ? 0 : live.value.stored);
  });
  current.onerror = () => {
    current.close();
    live.set({ ...live.value, connection: 'lost' });
    retry = setTimeout(connect, waitMs);
    waitMs = Math.min(waitMs * 1.6, 3000);
  };
}

/** Once per frame, however many traces come; at once where the whole list came. */
function show(stored: number, isWhole = false): void {
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

/** As text: nanoseconds since 1970 have as many digits for the next centuries. */
function newestFirst(a: TraceSummary, b: TraceSummary): number {
  return a.startNs < b.startNs ? 1 : a.startNs > b.startNs ? -1 : 0;
}
