/** Keeps the official instrumentation of a broker's library from making a second span of what a client proxy sends. */
import { context } from '@opentelemetry/api';
import { applicationIn, suppressed } from '../local/work.js';

/** Calls `send` so that nobody below makes a span or touches the headers; where this application makes none itself, as it is. */
export function withoutOtherSpans<T>(send: () => T): T {
  const active = context.active();
  return applicationIn(active)?.isEnabled === true ? context.with(suppressed(active), send) : send();
}
