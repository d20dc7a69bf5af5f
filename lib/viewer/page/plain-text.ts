/** Formats text and numbers for the page. Invisible characters in the data of a trace are made visible. */

/** Returns `text` as one line, cut to a length that is still readable. */
export function oneLine(text: string, most = 300): string {
  const cut = text.length > most ? `${text.slice(0, most)}…` : text;
  return cut.replace(HIDDEN, mark);
}

/** Returns the name of a span as one line, or a placeholder if it is empty. */
export function displayName(name: string): string {
  return oneLine(name) || '(no name)';
}

/** Returns the whole text with its line breaks. */
export function multiLine(text: string): string {
  return text.replace(HIDDEN, char => (char === '\n' || char === '\t' ? char : char === '\r' ? '' : mark(char)));
}

/** Control characters, marks that change the reading direction, spaces without width, and lone surrogates. */
const HIDDEN = /[\p{Cc}\p{Bidi_Control}\p{Cs}\u2028\u2029\u200b\u2060\ufeff]/gu;

function mark(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (code < 32) return String.fromCodePoint(0x2400 + code);
  return `[U+${code.toString(16).toUpperCase().padStart(4, '0')}]`;
}

/** Formats `1234` as `1,234`. It does not use `toLocaleString()`, which takes longer to load than the page. */
export function formatCount(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}

export function plural(count: number, singular: string): string {
  return `${formatCount(count)} ${singular}${count === 1 ? '' : 's'}`;
}

/** Formats the time since `startNs` in one unit. */
export function formatAge(startNs: string, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - Number(startNs) / 1e6) / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}
