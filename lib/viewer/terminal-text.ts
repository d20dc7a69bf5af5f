/** Text in a terminal: measured in cells, cut and padded to a number of cells, and without control characters. */

/** The width of `text` in cells: two for an East Asian wide character or an emoji, none for a combining mark. @internal */
export function cellsOf(text: string): number {
  if (NARROW_ONLY.test(text)) return text.length;
  let cells = 0;
  for (const { segment } of graphemes.segment(text)) cells += WIDE.test(segment) ? 2 : 1;
  return cells;
}

/** Cuts the end of `text` so that it fits into `cells`. An `ellipsis` replaces what was cut. @internal */
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

/** Cuts the start of `text` so that it fits into `cells`. An `ellipsis` replaces what was cut. @internal */
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

/** Adds spaces after `text` until it is `cells` wide. @internal */
export function padEnd(text: string, cells: number): string {
  return text + ' '.repeat(Math.max(0, cells - cellsOf(text)));
}

/**
 * Puts `text` on one line and replaces control characters. Names and messages come from requests and other services: they must not
 * move the cursor, colour the screen or reverse the reading direction.
 * @internal
 */
export function printable(text: string): string {
  return text.replace(LINE_BREAKS, ' ').replace(CONTROL, '\uFFFD');
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
const NARROW_ONLY = /^[\x20-\x7e\u00a0-\u02ff\u2010-\u2027\u2190-\u2193\u2500-\u259f\u2714\u2718]*$/;
/** Roughly the characters that Unicode calls "wide" and "fullwidth", and emoji. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|\ufe0f/u;
const LINE_BREAKS = /[\t\r\n\v\f\u0085\u2028\u2029]+\s*/g;
/** Control characters, marks that change the reading direction, and lone surrogates. */
const CONTROL = /[\p{Cc}\p{Bidi_Control}\p{Cs}]/gu;
