/** Starts the page, and shows the view that the address names. */
import { render, type JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { Announcement } from './badges.js';
import { ComparePage } from './compare-page.js';
import { acceptFiles, isDragged } from './files.js';
import { HelpOverlay } from './help-overlay.js';
import { listenToKeys, useKeys } from './keys.js';
import { live, watchTraces } from './live.js';
import { address, followLinks, goToList, hrefOf, navigate } from './address.js';
import { ServiceMapPage } from './service-map-page.js';
import { Store, useStore } from './store.js';
import { startTheme, ThemeButton } from './theme.js';
import { TraceListPage } from './trace-list.js';
import { TracePage } from './trace-page.js';
import { preloadTrace } from './trace-source.js';

const PRELOAD_TIMEOUT_MS = 300;
const isHelpOpen = new Store(false);

function Page(): JSX.Element {
  const { traceId, query } = useStore(address);
  const filter = traceId === '' && query.view !== 'services' ? (query.q ?? '') : '';
  useEffect(() => {
    // On the page of a trace, the trace is loaded before the list.
    const timer = setTimeout(() => watchTraces(filter), traceId === '' ? 0 : 150);
    return () => clearTimeout(timer);
  }, [filter]);
  useKeys({
    '?': () => isHelpOpen.set(!isHelpOpen.value),
    'g t': goToList,
    'g s': () => navigate({ traceId: '', query: { view: 'services' } }),
  });
  const newest = useStore(live).traces[0]?.traceId;
  useEffect(() => {
    if (query.follow === '1' && newest !== undefined && newest !== address.value.traceId) {
      history.replaceState(null, '', hrefOf({ traceId: newest, query: { follow: '1' } }));
      address.set({ traceId: newest, query: { follow: '1' } });
    }
  }, [newest, query.follow]);
  return (
    <>
      <TopBar view={traceId === '' ? (query.view ?? '') : 'trace'} />
      {traceId !== '' && query.with !== undefined && <ComparePage key={`${traceId}${query.with}`} a={traceId} b={query.with} />}
      {traceId !== '' && query.with === undefined && <TracePage key={traceId} traceId={traceId} />}
      {traceId === '' && (query.view === 'services' ? <ServiceMapPage /> : <TraceListPage />)}
      <HelpOverlay isOpen={isHelpOpen} />
      <Announcement />
      {useStore(isDragged) && <div class="dropping">Drop to open OTLP JSON</div>}
    </>
  );
}

function TopBar({ view }: { readonly view: string }): JSX.Element {
  const { connection } = useStore(live);
  const state = { live: 'Live', connecting: 'Connecting', lost: 'Reconnecting' }[connection];
  return (
    <header class="top">
      <a class="brand" href="/" aria-label="nestjs-tracing, all traces">
        <svg width="18" height="18" viewBox="0 0 16 16" aria-hidden="true">
          <path class="mark1" d="M1 2h10v3H1z" />
          <path class="mark2" d="M4 6.500h8v3H4z" />
          <path class="mark3" d="M8 11h7v3H8z" />
        </svg>
        <b>nestjs-tracing</b>
      </a>
      <nav>
        <a href="/" aria-current={view === '' ? 'page' : undefined}>
          Traces
        </a>
        <a href="/?view=services" aria-current={view === 'services' ? 'page' : undefined}>
          Services
        </a>
      </nav>
      <span class={`connection ${connection}`} role="status">
        {state}
      </span>
      <ThemeButton />
      <button class="icon" onClick={() => isHelpOpen.set(true)} aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)">
        ?
      </button>
    </header>
  );
}

const { traceId } = address.value;
// The trace is loaded first, because this takes longest. Rendering waits for it: rendering twice would show the trace later.
const isReady =
  traceId === '' ? undefined : Promise.race([preloadTrace(traceId), new Promise(resolve => setTimeout(resolve, PRELOAD_TIMEOUT_MS))]);
startTheme();
listenToKeys();
followLinks();
acceptFiles();
const show = () => render(<Page />, document.getElementById('page') ?? document.body);
if (isReady) void isReady.then(show);
else show();
