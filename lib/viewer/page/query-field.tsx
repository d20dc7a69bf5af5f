/** A field for a filter. What the user types goes into the address after a short pause. */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { MAX_FILTER_LENGTH } from '../model/filter.js';
import { replaceQuery } from './address.js';

export interface QueryFieldProps {
  readonly field: { current: HTMLInputElement | null };
  /** The parameter of the address that the field shows. */
  readonly part: 'q' | 'find';
  readonly value: string;
  readonly label: string;
  readonly placeholder: string;
  /** Renders what is shown next to the field. */
  readonly children: (text: string, setText: (text: string) => void) => ComponentChildren;
}

const PAUSE_MS = 150;

export function QueryField({ field, part, value, label, placeholder, children }: QueryFieldProps): JSX.Element {
  const [text, setText] = useState(value);
  const write = () => replaceQuery({ [part]: text });
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(write, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <div class="field">
      <input
        ref={field}
        type="search"
        aria-label={label}
        placeholder={placeholder}
        spellcheck={false}
        autocomplete="off"
        maxLength={MAX_FILTER_LENGTH}
        value={text}
        onInput={event => setText(event.currentTarget.value)}
        onKeyDown={event => {
          if (event.key !== 'Enter') return;
          write();
          event.currentTarget.blur();
        }}
      />
      {children(text, setText)}
    </div>
  );
}
