/** Why a span failed: type, message, and the stack with the user's own frames in sight. */
import type { JSX } from 'preact';
import { answer, exceptionIn } from '../../conventions/reading.js';
import { failureOf, isUserFrame } from '../model/failure.js';
import type { TraceSpan } from '../model/trace-span.js';
import { copy } from './badges.js';
import { block } from './plain-text.js';

export function ExceptionView({ span }: { readonly span: TraceSpan }): JSX.Element | null {
  const exceptions = span.events.flatMap(event => exceptionIn(event) ?? []);
  const failure = failureOf(span);
  if (exceptions.length === 0 && !failure) return null;
  if (exceptions.length === 0) {
    const reason = [failure?.type, failure?.message].filter(Boolean).join(': ');
    // The heading says what was answered.
    return reason === '' || reason === answer(span.attributes) ? null : <p class="exception">{block(reason)}</p>;
  }
  return (
    <>
      {exceptions.map(({ type, message, stack }, index) => (
        <section key={index} class="exception">
          <p>
            <b>{block(type ?? 'Error')}</b> {block(message ?? '')}
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
            {block(text)}
            {'\n'}
          </span>
        ))}
      </pre>
      <button onClick={() => void copy(stack, 'the stack')}>Copy stack</button>
    </>
  );
}
