/** Defines the options that say what is recorded of failed and slow requests. */
import { type Definitions, headerNames, listOf, option, queryKey, refuse, text, type Values, wholeNumberBetween } from './checks.js';
import type { CaptureOptions } from './capture-options.js';

const milliseconds = wholeNumberBetween(0, 2 ** 31 - 1);

/** @internal */
export const CAPTURE = {
  headers: option(headerNames, []),
  query: option(listOf('query keys', queryKey), []),
  params: option(listOf('names of parameters', text), []),
  body: option(listOf('names of fields', text), []),
  fromStatus: option(wholeNumberBetween(400, 599), 500),
  slowerThanMs: option(milliseconds),
  maxLength: option(wholeNumberBetween(1, 65_536), 256),
  maxTotalLength: option(wholeNumberBetween(1, 1_000_000), 4096),
  redact: option(listOf('keys and patterns', redaction), []),
} satisfies Definitions<CaptureOptions>;

/** {@link CaptureOptions} with every default filled in. @internal */
export type ResolvedCaptureOptions = Values<typeof CAPTURE>;

/** Returns a key in lower case, or a pattern that finds every match. */
function redaction(path: string, value: string | RegExp): string | RegExp {
  if (typeof value === 'string') return text(path, value).toLowerCase();
  if (!(value instanceof RegExp)) refuse(path, value, 'a key or a RegExp');
  return new RegExp(value.source, value.flags.replace(/[gy]/g, '') + 'g');
}

interface Captured {
  readonly captureRequestHeaders: readonly string[];
  readonly captureOnFailure: ResolvedCaptureOptions | undefined;
  readonly keepHeader: { readonly name: string } | undefined;
}

/** Returns the options without the header of `keepHeader` in lists: it is never recorded. @internal */
export function withoutSecret<Inbound extends Captured>(inbound: Inbound): Inbound {
  const { captureRequestHeaders, captureOnFailure, keepHeader } = inbound;
  const allowed = (names: readonly string[]) => names.filter(name => name !== keepHeader?.name);
  return {
    ...inbound,
    captureRequestHeaders: allowed(captureRequestHeaders),
    captureOnFailure: captureOnFailure && { ...captureOnFailure, headers: allowed(captureOnFailure.headers) },
  };
}
