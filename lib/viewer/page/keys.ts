/** Keyboard shortcuts: a component binds actions to keys, and the innermost component wins. */
import { useEffect, useRef } from 'preact/hooks';

/** Actions by `KeyboardEvent.key`. A sequence of two keys is written `g t`. */
export type KeyBindings = Readonly<Record<string, (() => void) | undefined>>;

const layers: { current: KeyBindings }[] = [];
let first = '';
let firstAt = 0;

/** Binds keys while the component is mounted. Its bindings win over those of components that were mounted earlier. */
export function useKeys(bindings: KeyBindings): void {
  const layer = useRef(bindings);
  layer.current = bindings;
  useEffect(() => {
    layers.push(layer);
    return () => void layers.splice(layers.indexOf(layer), 1);
  }, []);
}

export function listenToKeys(): void {
  document.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const target = event.target instanceof HTMLElement ? event.target : document.body;
    const isTyping = target.matches('input:not([type=checkbox]), textarea, select');
    if (isTyping && event.key !== 'Escape') return;
    if (isTyping) target.blur();
    // The browser itself activates buttons and links.
    if ((event.key === 'Enter' || event.key === ' ') && target.matches('button, a, summary, input')) return;
    if (document.querySelector('dialog[open]') && event.key !== '?') return;
    const key = event.shiftKey && event.key.startsWith('Arrow') ? `Shift+${event.key}` : event.key;
    const sequence = event.timeStamp - firstAt < 900 ? `${first} ${key}` : '';
    first = key;
    firstAt = event.timeStamp;
    const action = actionFor(sequence) ?? actionFor(key);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function actionFor(key: string): (() => void) | undefined {
  for (const layer of layers.toReversed()) {
    const action = layer.current[key];
    if (action) return action;
  }
  return undefined;
}
