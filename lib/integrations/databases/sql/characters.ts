/** What single characters of SQL text are. Each function is false for the NaN behind the end of the text. */

const OTHER_BLANKS = new Set([0x1680, 0x180e, 0x2028, 0x2029, 0x202f, 0x205f, 0x2060, 0x3000, 0xfeff]);

export function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

/** True for letters of any script and the underscore. No other sign starts a word. */
export function isWordStart(code: number): boolean {
  if (code < 128) return (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === 95;
  return code >= 128 && /\p{L}/u.test(String.fromCharCode(code));
}

/** True for blanks and control characters: what one server takes as a blank starts no word here. */
export function isBlank(code: number): boolean {
  if (code < 128) return code <= 32 || code === 127;
  if (code < 0x1680) return code <= 160;
  return OTHER_BLANKS.has(code) || (code >= 0x2000 && code <= 0x200f);
}

export function isCurrency(code: number): boolean {
  return code === 36 || (code >= 128 && /\p{Sc}/u.test(String.fromCharCode(code)));
}
