/** Small parts that all views share: services, outcomes, keys, copying, and short messages. */
import type { ComponentChildren, JSX } from 'preact';
import { oneLine } from './plain-text.js';
import { hueStyle } from './service-colours.js';
import { Store, useStore } from './store.js';

/** The name of a service in its colour. */
export function Service({ name, children }: { readonly name: string; readonly children?: ComponentChildren }): JSX.Element {
  return (
    <span class="service" style={hueStyle(name)} title={oneLine(name)}>
      {oneLine(name, 60)}
      {children}
    </span>
  );
}

/** The status of a span. A failure has a mark, a word and a colour. */
export function Outcome({ answer, isError }: { readonly answer: string | undefined; readonly isError: boolean }): JSX.Element | null {
  const text = oneLine(answer ?? '', 30);
  if (isError) return <span class="bad">{text || 'error'}</span>;
  return text === '' ? null : <span class={/^4\d\d$/.test(text) ? 'answer odd' : 'answer'}>{text}</span>;
}

/** A key of the keyboard. */
export function Key({ children }: { readonly children: ComponentChildren }): JSX.Element {
  return <kbd>{children}</kbd>;
}

const announcement = new Store('');

/** Shows a message for 4 seconds. Screen readers read it out. */
export function announce(text: string): void {
  announcement.set('');
  announcement.set(text);
  clearTimeout(hideTimer);
  hideTimer = setTimeout(() => announcement.set(''), 4000);
}

let hideTimer: ReturnType<typeof setTimeout> | undefined;

export function Announcement(): JSX.Element {
  const text = useStore(announcement);
  return (
    <div class={text === '' ? 'said' : 'said shown'} role="status" aria-live="polite">
      {text}
    </div>
  );
}

/** Copies `text` to the clipboard. The message calls it `what`. */
export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    announce(`Copied ${what}`);
  } catch {
    announce(`The browser did not allow copying ${what}`);
  }
}
