/** The exceptions of a span: type, message, and stack. The frames in the user's own code are highlighted. */
import type { JSX } from 'preact';
import { isUserFrame } from '../../conventions/stack-frames.js';
import type { ThrownException } from '../model/wire.js';
import { copy } from './badges.js';
import { multiLine } from './plain-text.js';

export function Exceptions({ thrown }: { readonly thrown: readonly ThrownException[] }): JSX.Element {
  return (
    <>
      {thrown.map(({ type = 'Error', message = '', stack }, index) => (
        <section key={index} class="exception">
          <p>
            <b>{multiLine(type)}</b> {multiLine(message)}
          </p>
          {stack !== undefined && <Stack stack={stack} />}
        </section>
      ))}
    </>
  );
}

const MAX_LINES = 60;

function Stack({ stack }: { readonly stack: string }): JSX.Element {
  const lines = stack.split('\n').slice(0, MAX_LINES);
  return (
    <>
      <pre tabIndex={0} aria-label="Stack">
        {lines.map((text, index) => (
          <span key={index} class={isUserFrame(text) ? 'own' : undefined}>
            {multiLine(text)}
            {'\n'}
          </span>
        ))}
      </pre>
      <button onClick={() => void copy(stack, 'the stack')}>Copy stack</button>
    </>
  );
}
