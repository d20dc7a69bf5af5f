/** Where the page is: the address bar as state, so that a link, a reload, back and forward show the same again. */
import { Store } from './store.js';

export interface Place {
  /** `''` for the list. */
  readonly traceId: string;
  readonly query: Readonly<Partial<Record<QueryKey, string>>>;
}

/** `q` filters the list, `find` searches a trace; zoom is `<from>-<to>` in ns; `shut` and `open` are span ids joined by dots. */
type QueryKey = 'q' | 'view' | 'tab' | 'span' | 'zoom' | 'find' | 'only' | 'fold' | 'shut' | 'open' | 'with' | 'follow';

const KEYS: readonly QueryKey[] = ['q', 'view', 'tab', 'span', 'zoom', 'find', 'only', 'fold', 'shut', 'open', 'with', 'follow'];

export const place = new Store<Place>(read());

export function addressOf({ traceId, query }: Place): string {
  const parameters = new URLSearchParams();
  for (const key of KEYS) {
    const value = query[key];
    if (value !== undefined && value !== '') parameters.set(key, value);
  }
  const search = parameters.toString();
  return (traceId === '' ? '/' : `/trace/${encodeURIComponent(traceId)}`) + (search && `?${search}`);
}

/** A new page of the history. */
export function go(next: Place): void {
  writeNow();
  history.pushState(null, '', addressOf(next));
  place.set(next);
}

/** The list of all traces. */
export function goToList(): void {
  go({ traceId: '', query: {} });
}

/** The same page of the history, looked at differently; written down in a moment, as browsers refuse more than a few writes a second. */
export function amend(query: Place['query']): void {
  const { traceId, query: before } = place.value;
  place.set({ traceId, query: { ...before, ...query } });
  timer ??= setTimeout(writeNow, 250);
}

/** The same trace, on a new page of the history. */
export function turn(query: Place['query']): void {
  const { traceId, query: before } = place.value;
  go({ traceId, query: { ...before, ...query } });
}

let timer: ReturnType<typeof setTimeout> | undefined;

function writeNow(): void {
  if (timer === undefined) return;
  clearTimeout(timer);
  timer = undefined;
  history.replaceState(null, '', addressOf(place.value));
}

function read(): Place {
  const [, traceId = ''] = /^\/trace\/([0-9a-f]{1,32})\/?$/i.exec(location.pathname) ?? [];
  const parameters = new URLSearchParams(location.search);
  const query: Partial<Record<QueryKey, string>> = {};
  for (const key of KEYS) {
    const value = parameters.get(key);
    if (value !== null) query[key] = value;
  }
  return { traceId: traceId.toLowerCase(), query };
}

/** Follows back, forward, and links within the page. */
export function followLinks(): void {
  addEventListener('popstate', () => {
    clearTimeout(timer);
    timer = undefined;
    place.set(read());
  });
  addEventListener('pagehide', writeNow);
  document.addEventListener('click', event => {
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    if (link.origin !== location.origin || link.hasAttribute('download') || link.pathname.startsWith('/api/')) return;
    event.preventDefault();
    writeNow();
    history.pushState(null, '', link.href);
    place.set(read());
  });
}
