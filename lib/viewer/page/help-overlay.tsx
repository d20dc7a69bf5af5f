/** The help, which `?` opens: keyboard shortcuts and the language of the filter. */
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { Key } from './badges.js';
import { type Store, useStore } from './store.js';

const GROUPS: readonly (readonly [title: string, keys: readonly (readonly [keys: string, meaning: string])[]])[] = [
  [
    'Everywhere',
    [
      ['g t', 'traces'],
      ['g s', 'services'],
      ['/', 'filter or search'],
      ['Esc', 'close, or go back'],
      ['?', 'this help'],
    ],
  ],
  [
    'List',
    [
      ['j k ↓ ↑', 'move'],
      ['Enter', 'open trace'],
      ['s', 'select for comparison'],
      ['c', 'compare the two selected'],
      ['p', 'pause or go on'],
      ['f', 'follow the latest trace'],
      ['X', 'clear all'],
    ],
  ],
  [
    'Trace',
    [
      ['j k ↓ ↑', 'move'],
      ['→ ←', 'expand, collapse, go to child or parent'],
      ['Enter', 'span details'],
      ['n N', 'next, previous match'],
      ['o', 'only matches, or all'],
      ['e E', 'next, previous error'],
      ['f', 'fold or unfold similar spans'],
      ['[ ]', 'show one level less, one more'],
      ['z x', 'zoom to the span, zoom out'],
      ['⇧← ⇧→', 'move the zoomed window'],
      ['1 2 3', 'waterfall, flame graph, table'],
      ['d', 'download OTLP JSON'],
      ['u', 'back to the list'],
    ],
  ],
];

export function HelpOverlay({ isOpen }: { readonly isOpen: Store<boolean> }): JSX.Element | null {
  const isShown = useStore(isOpen);
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (isShown) dialog.current?.showModal();
  }, [isShown]);
  if (!isShown) return null;
  return (
    <dialog
      ref={dialog}
      class="help"
      aria-label="Keyboard shortcuts"
      onClose={() => isOpen.set(false)}
      onClick={event => event.target === dialog.current && isOpen.set(false)}
    >
      <div class="sheet">
        {GROUPS.map(([title, keys]) => (
          <section key={title}>
            <h2>{title}</h2>
            <dl>
              {keys.map(([key, meaning]) => (
                <div key={key}>
                  <dt>
                    {key.split(' ').map(single => (
                      <Key key={single}>{single}</Key>
                    ))}
                  </dt>
                  <dd>{meaning}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <section>
          <h2>Filter and search</h2>
          <dl class="syntax">
            {FILTERS.map(([term, meaning]) => (
              <div key={term}>
                <dt>
                  <code>{term}</code>
                </dt>
                <dd>{meaning}</dd>
              </div>
            ))}
          </dl>
        </section>
      </div>
    </dialog>
  );
}

/** The terms of the filter. */
export const FILTERS: readonly (readonly [term: string, meaning: string])[] = [
  ['error', 'failed'],
  ['>50ms', 'took longer'],
  ['status:5xx', 'has this status'],
  ['service:users', 'is in this service'],
  ['user.id=7', 'has this attribute; 7* for a prefix'],
  ['timeout', 'text in names, ids, values, events, errors'],
  ['-cache', 'does not have this'],
];
