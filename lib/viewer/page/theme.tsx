/** The light or dark theme: that of the system, until the user chooses one. */
import type { JSX } from 'preact';
import { Store, useStore } from './store.js';

type Theme = 'auto' | 'light' | 'dark';

const NEXT: Readonly<Record<Theme, Theme>> = { auto: 'light', light: 'dark', dark: 'auto' };
const SIGN: Readonly<Record<Theme, string>> = { auto: '◐', light: '☀', dark: '☾' };
const KEY = 'nestjs-tracing/theme';

export const theme = new Store<Theme>('auto');

export function startTheme(): void {
  try {
    const kept = localStorage.getItem(KEY);
    if (kept === 'light' || kept === 'dark') theme.set(kept);
  } catch {
    // The browser may not allow storage. The theme is that of the system then.
  }
  applyTheme();
  theme.watch(() => {
    applyTheme();
    try {
      localStorage.setItem(KEY, theme.value);
    } catch {
      // Without storage, the choice lasts until the page is closed.
    }
  });
}

export function isDark(): boolean {
  return theme.value === 'auto' ? matchMedia('(prefers-color-scheme: dark)').matches : theme.value === 'dark';
}

function applyTheme(): void {
  document.documentElement.dataset['theme'] = theme.value;
}

export function ThemeButton(): JSX.Element {
  const current = useStore(theme);
  const label = `Colours: ${current === 'auto' ? 'same as the system' : current}`;
  return (
    <button class="icon" onClick={() => theme.set(NEXT[current])} aria-label={label} title={label}>
      {SIGN[current]}
    </button>
  );
}
