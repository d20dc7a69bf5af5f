/** Finds where strings, names, numbers and comments end. The end of the text means: hidden from here on. */
import { isBlank, isCurrency, isDigit, isWordStart } from './characters.js';
import type { LexicalRules } from './dialect.js';

const BACKSLASH = 92;
const CLOSING_BRACKETS: Readonly<Record<string, string>> = { '[': ']', '{': '}', '(': ')', '<': '>' };

/** Returns the end of a string whose quote is at `start`. `escaped` strings use backslashes whatever the settings are. */
export function endOfString(text: string, start: number, rules: LexicalRules, escaped: boolean): number {
  const quote = text.charCodeAt(start);
  const backslash = escaped ? 'escapes' : rules.backslash;
  // Three quotes start a string with other rules in some dialects.
  if (backslash === 'unknown' && text.charCodeAt(start + 1) === quote && text.charCodeAt(start + 2) === quote) return text.length;
  for (let end = start + 1; end < text.length; end++) {
    const code = text.charCodeAt(end);
    if (code === BACKSLASH && backslash !== 'plain') {
      end++;
      if (escaped || text.charCodeAt(end) !== quote) continue;
      // A server that takes backslashes as they are ends the string here. A letter behind it shows that this one does not.
      if (backslash === 'unknown' || !isWordStart(text.charCodeAt(end + 1))) return text.length;
    } else if (code === quote) {
      if (text.charCodeAt(end + 1) !== quote) return endOfLiteral(text, end + 1);
      end++;
    }
  }
  return text.length;
}

/** Returns the end of Oracle's q'[…]' whose quote is at `start`. */
export function endOfAlternativeQuote(text: string, start: number): number {
  const opening = text.charAt(start + 1);
  const end = opening === '' ? -1 : text.indexOf(`${CLOSING_BRACKETS[opening] ?? opening}'`, start + 2);
  return end < 0 ? text.length : endOfLiteral(text, end + 2);
}

/** Returns `end`, or the end of the text if a letter touches it: then the string ended somewhere else. */
function endOfLiteral(text: string, end: number): number {
  const after = text.charCodeAt(end);
  return isWordStart(after) || isDigit(after) ? text.length : end;
}

/** Returns the end of a name in quotes, or -1 if it is not closed. `close` twice stands for itself. */
export function endOfName(text: string, start: number, close: string): number {
  let end = text.indexOf(close, start + 1);
  while (end >= 0 && text.startsWith(close, end + 1)) end = text.indexOf(close, end + 2);
  return end < 0 ? -1 : end + 1;
}

/** Returns the end of a word. The flags say whether the signs `#` and `$` go on with it. */
export function endOfWord(text: string, start: number, isHashLetter: boolean, isDollarLetter = true): number {
  let end = start;
  for (; end < text.length; end++) {
    const code = text.charCodeAt(end);
    if (
      code >= 128
        ? isBlank(code)
        : !isWordStart(code) && !isDigit(code) && !(code === 36 && isDollarLetter) && !(code === 35 && isHashLetter)
    )
      break;
  }
  return end;
}

/** Returns the end of a number with all letters and dots that touch it, and with the sign of its exponent. */
export function endOfNumber(text: string, start: number): number {
  const isHex = text.charCodeAt(start) === 48 && (text.charCodeAt(start + 1) | 32) === 120;
  let end = start + 1;
  for (;;) {
    end = endOfWord(text, end, false, false);
    const code = text.charCodeAt(end);
    if (code === 46) end++;
    else if ((code === 43 || code === 45) && !isHex && (text.charCodeAt(end - 1) | 32) === 101 && isDigit(text.charCodeAt(end + 1))) end++;
    else return end;
  }
}

/** Returns the end of an amount as $12.50, or -1 if there is none. */
export function endOfMoney(text: string, start: number): number {
  if (!isCurrency(text.charCodeAt(start))) return -1;
  let end = start + 1;
  while (isBlank(text.charCodeAt(end)) || text.charCodeAt(end) === 45 || text.charCodeAt(end) === 43) end++;
  if (!isDigit(text.charCodeAt(end)) && text.charCodeAt(end) !== 46) return -1;
  for (;;) {
    const code = text.charCodeAt(end);
    const isPart = isDigit(code) || code === 46 || (code === 44 && isDigit(text.charCodeAt(end + 1)));
    if (!isPart) return end;
    end++;
  }
}

/** Returns the end of a $tag$…$tag$, or -1 if the dollar sign starts none. */
export function endOfDollarQuote(text: string, start: number): number {
  let end = start + 1;
  while (isWordStart(text.charCodeAt(end)) || isDigit(text.charCodeAt(end)) || text.charCodeAt(end) >= 128) end++;
  if (text.charCodeAt(end) !== 36) return -1;
  const tag = text.slice(start, end + 1);
  const close = text.indexOf(tag, end + 1);
  return close < 0 ? text.length : close + tag.length;
}

/** Returns the end of a comment up to the end of its line, or -1 if the settings of the server decide where that is. */
export function endOfLineComment(text: string, start: number, rules: LexicalRules): number {
  const newline = text.indexOf('\n', start);
  const end = newline < 0 ? text.length : newline;
  if (rules.returnEndsComment === false) return end;
  const comment = text.slice(start, end);
  const lone = comment.search(/\r./s);
  if (lone < 0) return end;
  return rules.returnEndsComment === 'unknown' ? -1 : start + lone;
}

/** Returns the end of a comment in slashes and stars, or -1 if the settings of the server decide where that is. */
export function endOfBlockComment(text: string, start: number, rules: LexicalRules): number {
  if (rules.nestedComments === false) {
    const close = text.indexOf('*/', start + 2);
    return close < 0 ? text.length : close + 2;
  }
  let depth = 1;
  for (let end = start + 2; end < text.length; end++) {
    const code = text.charCodeAt(end);
    const next = text.charCodeAt(end + 1);
    if (code === 42 && next === 47) {
      end++;
      if (--depth === 0) return end + 1;
    } else if (code === 47 && next === 42) {
      if (rules.nestedComments === 'unknown') return -1;
      end++;
      depth++;
    }
  }
  return text.length;
}

/** Returns the end of the start of a comment whose content the server runs, or -1. */
export function startOfRunComment(text: string, start: number): number {
  const isMariaDb = text.charCodeAt(start + 2) === 77;
  let end = start + (isMariaDb ? 4 : 3);
  if (text.charCodeAt(end - 1) !== 33) return -1;
  const version = end;
  while (isDigit(text.charCodeAt(end))) end++;
  return FUTURE.test(text.slice(version, end)) ? -1 : end;
}

/** Versions that no server has: what stands behind them is a comment everywhere. */
const FUTURE = /^99\d{3,}$/;
