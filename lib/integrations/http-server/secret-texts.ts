/** Replaces secrets in texts: those that are recognized by their form, and values behind a key that looks like a credential. */

export const REDACTED = 'REDACTED';

/** Clients choose the text, so the time that each of these takes grows with its length only, not with the square of it. */
const FORMS: readonly RegExp[] = [
  // JSON web tokens. A row of letters without a dot behind it is looked at once, not once for each `eyJ` in it.
  /(?<![\w-])(?=[\w-]+\.[\w-])[\w-]*?\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)*/g,
  // Credentials of HTTP, the headers with credentials, and user and password of a URL.
  /\b(?:Bearer|Basic)\s+[\w.~+/=-]+/gi,
  /(?<=\b(?:authorization|cookie)\s{0,9}:\s{0,9})[^\s"'][^\r\n"']*/gi,
  /(?<=\/\/)[^\s/?#@:]*:[^\s/?#@]*(?=@)/g,
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*/g,
  // Numbers of payment cards.
  /\b\d(?:[ -]?\d){12,18}\b/g,
];

/** A key and what separates it from its value, in JSON (also in a text in JSON), GraphQL, forms and messages. */
const KEY = /(?<![\w$-])([\w$-]+)\\*["'`]?\]?\s*[:=]+>?\s*/g;
/** A value in quotes ends with the same quotes behind as many backslashes. Of a list or an object, all that follows is taken. */
const VALUE = /"""[\s\S]*?(?:"""|$)|(\\*)(["'`])[\s\S]*?(?:(?<!\\)\1\2|$)|[[{][\s\S]*|[^\s,;&]*[^\s,;&)}\]]/y;

/** Returns `text` without secrets. */
export function withoutSecrets(text: string, rules: readonly (string | RegExp)[], isSecret: (key: string) => boolean): string {
  const whole = withoutSecretForms(text, rules);
  let result = '';
  let done = 0;
  for (const { 0: found, 1: key = '', index } of whole.matchAll(KEY)) {
    if (index < done || !isSecret(key)) continue;
    const from = (VALUE.lastIndex = index + found.length);
    const [value, slashes = '', quote = ''] = VALUE.exec(whole) ?? [''];
    if (value === '') continue;
    result += whole.slice(done, from) + slashes + quote + REDACTED + slashes + quote;
    done = from + value.length;
  }
  return result + whole.slice(done);
}

/** Like {@link withoutSecrets}, but for JSON: its keys and texts are looked at before it is written. */
export function withoutSecretForms(text: string, rules: readonly (string | RegExp)[]): string {
  let result = text;
  for (const rule of [...FORMS, ...rules]) if (typeof rule !== 'string') result = result.replace(rule, REDACTED);
  return result;
}
