/** Checks and matches rules for requests, calls and messages. A rule that can never match is an error. */
import { types } from 'node:util';
import { oneOrMore, refuse } from './checks.js';
import type { IgnoreRule } from './tracing-options.js';
import { guarded } from './trouble.js';

/**
 * Returns a function that is true if any of `rules` matches a request. Strings and RegExps are matched against the result of `textOf`.
 * Functions get the request. Their errors are reported under the name `option`. @internal
 */
export function anyRule<Request>(
  rules: readonly IgnoreRule<Request>[],
  textOf: (request: Request) => string,
  option: string,
): (request: Request) => boolean {
  if (rules.length === 0) return () => false;
  const exact = new Set<string>();
  const others: ((request: Request, text: string) => boolean)[] = [];
  for (const rule of rules) {
    if (typeof rule === 'function') {
      others.push(request => guarded(option, () => rule(request), false) === true);
    } else if (rule instanceof RegExp) {
      others.push((_request, text) => rule.test(text));
    } else if (rule.endsWith('*')) {
      const prefix = rule.slice(0, -1);
      others.push((_request, text) => text.startsWith(prefix));
    } else {
      exact.add(rule);
    }
  }
  return request => {
    const text = textOf(request);
    if (exact.has(text)) return true;
    for (const applies of others) if (applies(request, text)) return true;
    return false;
  };
}

/** Returns what to write instead of a string rule. Returns undefined if the rule can match. */
type Fault = (rule: string) => string | undefined;

type OneOrMore<T> = T | readonly T[];

/** Accepts strings that can match, RegExps and functions. */
function rules<T>(path: string, value: OneOrMore<IgnoreRule<T>>, what: string, fault: Fault): readonly IgnoreRule<T>[] {
  return oneOrMore(path, value, (itemPath, item) => {
    if (typeof item === 'function') return item as IgnoreRule<T>;
    // With the flags g and y, `test()` would continue after its last match.
    if (types.isRegExp(item)) return new RegExp(item.source, item.flags.replace(/[gy]/g, ''));
    if (typeof item !== 'string' || item.trim() === '') return refuse(itemPath, item, `${what}, a RegExp or a function`);
    const expected = item === '*' ? undefined : fault(item);
    return expected === undefined ? item : refuse(itemPath, item, expected);
  });
}

/** Accepts rules for the path of a request. @internal */
export function pathRules<T>(path: string, value: OneOrMore<IgnoreRule<T>>): readonly IgnoreRule<T>[] {
  const what = 'a path that starts with "/"';
  return rules(path, value, what, rule => {
    const url = urlOf(rule);
    if (url !== undefined) return `a path without scheme and host: "${url.pathname}"`;
    if (!rule.startsWith('/')) return `${what}, a RegExp or a function`;
    return textFault(rule, 'path');
  });
}

/** Accepts rules for the URL of a call, without its query. @internal */
export function urlRules<T>(path: string, value: OneOrMore<IgnoreRule<T>>): readonly IgnoreRule<T>[] {
  const what = 'a URL that starts with "http://" or "https://"';
  return rules(path, value, what, rule => {
    if (!/^https?:\/\/./.test(rule)) return `${what}, a RegExp or a function`;
    const fault = textFault(rule, 'URL');
    if (fault !== undefined) return fault;
    const isPrefix = rule.endsWith('*');
    const given = isPrefix ? rule.slice(0, -1) : rule;
    const url = urlOf(given);
    const hasPath = given.indexOf('/', 'https://'.length) > 0;
    // "http://users*" is the start of a host, so there is nothing more to check.
    if (!hasPath && isPrefix) return given === given.toLowerCase() ? undefined : `a host in lower case: "${rule.toLowerCase()}"`;
    if (url === undefined) return what;
    if (!hasPath) return `a URL with a path: "${url.origin}/" for that one, "${url.origin}/*" for all`;
    const compared = url.origin + url.pathname;
    return compared === given ? undefined : `the URL in its normal form: "${compared}${isPrefix ? '*' : ''}"`;
  });
}

/** Accepts rules for host and port of a call. @internal */
export function hostRules<T>(path: string, value: OneOrMore<IgnoreRule<T>>): readonly IgnoreRule<T>[] {
  const what = '"host", "host:port" or "*.domain"';
  return rules(path, value, what, rule => {
    const given = rule.toLowerCase();
    const name = given.startsWith('*.') ? given.slice(2) : given;
    if (name.includes('*')) return `${what}, with "*" only at the beginning; for more, use a RegExp such as ${patternOf(name, '[^.]*')}`;
    if (name.startsWith('.')) return `"*${name}" for every host of a domain`;
    // "*.0.1" matches the end of an IP address.
    if (name !== given && /^[\d.]+(:\d+)?$/.test(name)) return undefined;
    const url = urlOf(name) ?? urlOf(`http://${name}`) ?? urlOf(`http://[${name}]`);
    if (url === undefined) return `${what}, a RegExp or a function`;
    const { hostname } = url;
    const port = /:(\d+)$/.exec(name)?.[1];
    if (name === hostname || (port !== undefined && name === `${hostname}:${Number(port)}`)) return undefined;
    return `${what}: "${hostname}${url.port === '' ? '' : `:${url.port}`}"`;
  });
}

/** Accepts rules for the destination of a message, which may be any text. @internal */
export function destinationRules<T>(path: string, value: OneOrMore<IgnoreRule<T>>): readonly IgnoreRule<T>[] {
  return rules(path, value, 'a destination', () => undefined);
}

/** Accepts rules for the name of a statement's span, such as `SELECT users`. @internal */
export function queryRules<T>(path: string, value: OneOrMore<IgnoreRule<T>>): readonly IgnoreRule<T>[] {
  return rules(path, value, 'the name of a span such as "SELECT users"', () => undefined);
}

/** Returns what to write instead if `rule` can match no path or URL without query. */
function textFault(rule: string, what: 'path' | 'URL'): string | undefined {
  const mark = rule.search(/[?#]/);
  if (mark >= 0) return `the ${what} without its query: "${rule.slice(0, mark)}"; to match the query too, use a function`;
  const pattern = patternOf(rule, '[^/]*');
  if (/\/:|[{}]/.test(rule))
    return `a ${what} without parameters, which only routes have; to match all of them, use a RegExp such as ${pattern}`;
  if (rule.slice(0, -1).includes('*')) return `at most one "*", at the end; for more, use a RegExp such as ${pattern}`;
  const sent = encoded(rule);
  return sent === rule ? undefined : `the ${what} percent-encoded, as clients send it: "${sent}"`;
}

/** Returns a RegExp for a rule with `*` or `:id`, as globs and routes use them. */
function patternOf(rule: string, part: string): string {
  const source = rule
    .split(/(\*+|\/:\w+|\{[^}]*\})/)
    .map((text, index) => {
      if (index % 2 === 0) return text.replace(/[.+^${}()|[\]\\/?]/g, '\\$&');
      return text.startsWith('**') ? '.*' : text.startsWith('/:') ? `\\/${part.replace('*', '+')}` : part;
    })
    .join('');
  return `/^${source}$/`;
}

function urlOf(text: string): URL | undefined {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return undefined;
  return URL.canParse(text) ? new URL(text) : undefined;
}

/** Percent-encodes the rule in the same way as clients do. */
function encoded(rule: string): string {
  return rule.replace(/[^\x21-\x7e]+/g, text => new URL(`http://localhost/a${text}z`).pathname.slice(2, -1));
}
