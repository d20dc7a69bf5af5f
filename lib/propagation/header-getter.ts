/** Reads context out of the headers object of a Node request or message, whose values are strings, lists or missing. */
import type { TextMapGetter } from '@opentelemetry/api';

/** Headers with lower-case names, as Node hands them out. @internal */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** For {@link TextMapPropagator.extract}; an odd value reads as it is and is refused by the propagator. @internal */
export const headerGetter: TextMapGetter<Headers | undefined> = {
  get: (headers, name) => headers?.[name] as string | string[] | undefined,
  keys: headers => (headers === undefined ? [] : Object.keys(headers)),
};

/** Without the optional white space that HTTP allows around a value (by hand: a regular expression would take quadratic time). @internal */
export function withoutSurroundingSpace(value: string): string {
  let from = 0;
  let to = value.length;
  while (from < to && isSpace(value.charCodeAt(from))) from++;
  while (to > from && isSpace(value.charCodeAt(to - 1))) to--;
  return to - from === value.length ? value : value.slice(from, to);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
