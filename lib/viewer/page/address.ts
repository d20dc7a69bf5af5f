/** Keeps the state of the page in the address bar, so that links, reload, back and forward show the same view again. */
import { Store } from './store.js';

export interface Address {
  /** `''` on pages that show no trace. */
  readonly traceId: string;
  readonly query: Readonly<Partial<Record<QueryKey, string>>>;
}

/**
 * `q` is the filter of the list, `find` the search in a trace, `zoom` a time window as `<from>-<to>` in ns. `shut` (collapsed spans) and
 * `open` (unfolded siblings) are span ids with dots between them.
 */
type QueryKey = 'q' | 'view' | 'tab' | 'span' | 'zoom' | 'find' | 'only' | 'fold' | 'shut' | 'open' | 'with' | 'follow';

const KEYS: readonly QueryKey[] = ['q', 'view', 'tab', 'span', 'zoom', 'find', 'only', 'fold', 'shut', 'open', 'with', 'follow'];

export const address = new Store<Address>(read());

export function hrefOf({ traceId, query }: Address): string {
  const parameters = new URLSearchParams();
  for (const key of KEYS) {
    const value = query[key];
    if (value !== undefined && value !== '') parameters.set(key, value);
  }
  const search = parameters.toString();
  return (traceId === '' ? '/' : `/trace/${encodeURIComponent(traceId)}`) + (search && `?${search}`);
}

/** Shows `next` and adds it to the history. */
export function navigate(next: Address): void {
  writeNow();
  history.pushState(null, '', hrefOf(next));
  address.set(next);
}

/** Shows the list of all traces. */
export function goToList(): void {
  navigate({ traceId: '', query: {} });
}

/** Changes the query without a new entry in the history. The address bar follows a little later: browsers limit how often it may change. */
export function replaceQuery(query: Address['query']): void {
  const { traceId, query: before } = address.value;
  address.set({ traceId, query: { ...before, ...query } });
  timer ??= setTimeout(writeNow, 250);
}

/** Changes the query and adds the change to the history. */
export function pushQuery(query: Address['query']): void {
  const { traceId, query: before } = address.value;
  navigate({ traceId, query: { ...before, ...query } });
}

let timer: ReturnType<typeof setTimeout> | undefined;

function writeNow(): void {
  if (timer === undefined) return;
  clearTimeout(timer);
  timer = undefined;
  history.replaceState(null, '', hrefOf(address.value));
}

function read(): Address {
  const [, traceId = ''] = /^\/trace\/([0-9a-f]{1,32})\/?$/i.exec(location.pathname) ?? [];
  const parameters = new URLSearchParams(location.search);
  const query: Partial<Record<QueryKey, string>> = {};
  for (const key of KEYS) {
    const value = parameters.get(key);
    if (value !== null) query[key] = value;
  }
  return { traceId: traceId.toLowerCase(), query };
}

/** Handles back, forward, and clicks on links to the page itself. */
export function followLinks(): void {
  addEventListener('popstate', () => {
    clearTimeout(timer);
    timer = undefined;
    address.set(read());
  });
  addEventListener('pagehide', writeNow);
  document.addEventListener('click', event => {
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    if (link.origin !== location.origin || link.hasAttribute('download') || link.pathname.startsWith('/api/')) return;
    event.preventDefault();
    writeNow();
    history.pushState(null, '', link.href);
    address.set(read());
  });
}
