/** Text of strangers as a page may show it: what is invisible or turns the reading direction round is made visible. */

/** On one line, and not longer than anybody reads in a row. */
export function line(text: string, most = 300): string {
  const cut = text.length > most ? `${text.slice(0, most)}…` : text;
  return cut.replace(HIDDEN, mark);
}

/** What something is called. */
export function title(name: string): string {
  return line(name) || '(no name)';
}

/** All of it, with its line breaks. */
export function block(text: string): string {
  return text.replace(HIDDEN, char => (char === '\n' || char === '\t' ? char : char === '\r' ? '' : mark(char)));
}

/** Control characters, marks of direction, blanks without width, halves of a character. */
const HIDDEN = /[\p{Cc}\p{Bidi_Control}\p{Cs}\u2028\u2029\u200b\u2060\ufeff]/gu;

function mark(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (code < 32) return String.fromCodePoint(0x2400 + code);
  return `[U+${code.toString(16).toUpperCase().padStart(4, '0')}]`;
}

/** `1,234`; without the browser's tables for languages, which take longer to load than the page. */
export function number(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}

export function plural(count: number, one: string): string {
  return `${number(count)} ${one}${count === 1 ? '' : 's'}`;
}

/** How long ago, in one unit. */
export function age(startNs: string, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - Number(startNs) / 1e6) / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}
