/** Notices whether anybody made use of a span: wrote to it, read its ids for a child, a log line or a header. */
import type { Span } from '@opentelemetry/api';

/** @internal */
export interface WatchedSpan {
  /** Stands for the span that is watched. */
  readonly span: Span;
  isUsed(): boolean;
}

/** @internal */
export function watchUse(span: Span): WatchedSpan {
  let isUsed = false;
  const watched = new Proxy(span, {
    get(target, key) {
      if (key !== 'isRecording') isUsed = true;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  return { span: watched, isUsed: () => isUsed };
}
