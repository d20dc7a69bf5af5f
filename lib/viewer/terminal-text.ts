/** Text as a terminal shows it: how many cells it takes, cut and padded to cells, and harmless whatever a span was named. */

/** How many cells `text` takes: two for East Asian wide characters and emoji, none for marks that join the one before. @internal */
export function cellsOf(text: string): number {
  if (NARROW_ONLY.test(text)) return text.length;
  let cells = 0;
  for (const { segment } of graphemes.segment(text)) cells += WIDE.test(segment) ? 2 : 1;
  return cells;
}

/** `text` cut to `cells`, its last cell an `ellipsis` where something is missing. @internal */
export function cut(text: string, cells: number, ellipsis: string): string {
  if (cellsOf(text) <= cells) return text;
  const room = cells - ellipsis.length;
  let kept = '';
  let used = 0;
  for (const { segment } of graphemes.segment(text)) {
    used += WIDE.test(segment) ? 2 : 1;
    if (used > room) break;
    kept += segment;
  }
  return room < 0 ? '' : kept + ellipsis;
}

/** `text` cut to `cells` from its start, which becomes an `ellipsis` where something is missing. @internal */
export function cutStart(text: string, cells: number, ellipsis: string): string {
  if (cellsOf(text) <= cells) return text;
  const reversed = Array.from(graphemes.segment(text), ({ segment }) => segment).reverse();
  let kept = '';
  let used = ellipsis.length;
  for (const segment of reversed) {
    used += WIDE.test(segment) ? 2 : 1;
    if (used > cells) break;
    kept = segment + kept;
  }
  return ellipsis + kept;
}

/** `text` with spaces after it up to `cells`. @internal */
export function padEnd(text: string, cells: number): string {
  return text + ' '.repeat(Math.max(0, cells - cellsOf(text)));
}

/**
 * `text` on one line and without anything a terminal would obey: names and messages come from requests and other services, and must
 * not move the cursor, colour the screen or reverse the reading direction.
 * @internal
 */
export function printable(text: string): string {
  return text.replace(LINE_BREAKS, ' ').replace(CONTROL, '\uFFFD');
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
const NARROW_ONLY = /^[\x20-\x7e\u00a0-\u02ff\u2010-\u2027\u2190-\u2193\u2500-\u259f\u2714\u2718]*$/;
/** Unicode's "wide" and "fullwidth" blocks in broad strokes, and what is shown as an emoji. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|\ufe0f/u;
const LINE_BREAKS = /[\t\r\n\v\f\u0085\u2028\u2029]+\s*/g;
/** Control characters, marks that reverse the reading direction, halves of a character. */
const CONTROL = /[\p{Cc}\p{Bidi_Control}\p{Cs}]/gu;
