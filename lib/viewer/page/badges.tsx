/** Small things that every view shows alike: services, outcomes, copy buttons, what is said to screen readers. */
import type { ComponentChildren, JSX } from 'preact';
import { line } from './plain-text.js';
import { tint } from './service-colours.js';
import { Store, useStore } from './store.js';

/** A service in its colour. */
export function Service({ name, children }: { readonly name: string; readonly children?: ComponentChildren }): JSX.Element {
  return (
    <span class="service" style={tint(name)} title={line(name)}>
      {line(name, 60)}
      {children}
    </span>
  );
}

/** What was answered; a failure has a mark, a word and a colour. */
export function Outcome({ answer, isError }: { readonly answer: string | undefined; readonly isError: boolean }): JSX.Element | null {
  const text = line(answer ?? '', 30);
  if (isError) return <span class="bad">{text || 'error'}</span>;
  return text === '' ? null : <span class={/^4\d\d$/.test(text) ? 'answer odd' : 'answer'}>{text}</span>;
}

/** A key of the keyboard. */
export function Key({ children }: { readonly children: ComponentChildren }): JSX.Element {
  return <kbd>{children}</kbd>;
}

const said = new Store('');

/** Tells screen readers, and everybody else for a moment. */
export function say(text: string): void {
  said.set('');
  said.set(text);
  clearTimeout(silence);
  silence = setTimeout(() => said.set(''), 4000);
}

let silence: ReturnType<typeof setTimeout> | undefined;

export function Said(): JSX.Element {
  const text = useStore(said);
  return (
    <div class={text === '' ? 'said' : 'said shown'} role="status" aria-live="polite">
      {text}
    </div>
  );
}

/** Also where the page is not served by https, where browsers have no clipboard for it. */
export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied ${what}`);
  } catch {
    say(`The browser did not allow copying ${what}`);
  }
}
