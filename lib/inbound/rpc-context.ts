/** Asks the context objects that Nest hands to message handlers, which may come from any version or be a stranger's. */
import type { InboundRequest } from '../tracing.options.js';

/** What a method of a context returns; `undefined` where there is none. */
export function fromContext(ctx: unknown, method: string): unknown {
  const read = propertyOf(ctx, method);
  return typeof read === 'function' ? (read.call(ctx) as unknown) : undefined;
}

export function textFrom(ctx: unknown, method: string): string | undefined {
  return textOf(fromContext(ctx, method));
}

export function propertyOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** Headers with their names in lower case, as propagators look for them; brokers keep the case that somebody wrote. */
export function lowerCased(entries: Iterable<readonly [string, unknown]>): InboundRequest['headers'] {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of entries) headers[name.toLowerCase()] = value as string | string[];
  return headers;
}
