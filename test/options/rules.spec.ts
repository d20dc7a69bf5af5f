import { describe, expect, it } from '@jest/globals';
import { OutboundRules } from '../../lib/spans/outbound-rules.js';
import type { TracingOptions } from '../../lib/options/tracing-options.js';
import { resolveOptions } from '../../lib/options/resolved-options.js';

const ruleOf: Record<string, (rule: unknown) => TracingOptions> = {
  'inbound.ignore': rule => ({ inbound: { ignore: rule as string } }),
  'inbound.ignoreMessages': rule => ({ inbound: { ignoreMessages: rule as string } }),
  'outbound.ignore': rule => ({ outbound: { ignore: rule as string } }),
  'outbound.ignoreMessages': rule => ({ outbound: { ignoreMessages: rule as string } }),
  'outbound.propagateTo': rule => ({ outbound: { propagateTo: rule as string } }),
};

function messageOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('Nothing was refused.');
}

describe('a rule that can never apply', () => {
  it.each([
    // Held against the path of a request.
    ['inbound.ignore', 'users', 'a path that starts with "/", a RegExp or a function'],
    ['inbound.ignore', '', 'a path that starts with "/", a RegExp or a function'],
    ['inbound.ignore', '   ', 'a path that starts with "/"'],
    ['inbound.ignore', '/a/*/b', 'at most one "*", at the end; for more, use a RegExp such as /^\\/a\\/[^/]*\\/b$/'],
    ['inbound.ignore', '*/health', 'a path that starts with "/"'],
    ['inbound.ignore', '/assets/**', 'a RegExp such as /^\\/assets\\/.*$/'],
    [
      'inbound.ignore',
      '/users/:id',
      'a path without parameters, which only routes have; to match all of them, use a RegExp such as /^\\/users\\/[^/]+$/',
    ],
    ['inbound.ignore', '/users/{id}/orders', 'a RegExp such as /^\\/users\\/[^/]*\\/orders$/'],
    ['inbound.ignore', '/files/*path', 'at most one "*", at the end'],
    ['inbound.ignore', '/a?x=1', 'the path without its query: "/a"; to match the query too, use a function'],
    ['inbound.ignore', '/a#top', 'the path without its query: "/a"'],
    ['inbound.ignore', 'https://shop.test/health?x', 'a path without scheme and host: "/health"'],
    ['inbound.ignore', '/über uns', 'the path percent-encoded, as clients send it: "/%C3%BCber%20uns"'],
    // Against a call's URL without query.
    ['outbound.ignore', '', 'a URL that starts with "http://" or "https://", a RegExp or a function'],
    ['outbound.ignore', '/health', 'a URL that starts with "http://" or "https://"'],
    ['outbound.ignore', 'users:3002', 'a URL that starts with'],
    ['outbound.ignore', 'http://users', 'a URL with a path: "http://users/" for that one, "http://users/*" for all'],
    ['outbound.ignore', 'http://users/a?x=1', 'the URL without its query: "http://users/a"'],
    ['outbound.ignore', 'http://users/*/a', 'at most one "*", at the end'],
    ['outbound.ignore', 'https://*.internal/', 'at most one "*", at the end'],
    ['outbound.ignore', 'http://users/orders/:id', 'a RegExp such as /^http:\\/\\/users\\/orders\\/[^/]+$/'],
    ['outbound.ignore', 'http://Users/a', 'the URL in its normal form: "http://users/a"'],
    ['outbound.ignore', 'http://users:80/*', 'the URL in its normal form: "http://users/*"'],
    ['outbound.ignore', 'http://me:secret@users/a', 'the URL in its normal form: "http://users/a"'],
    ['outbound.ignore', 'http://Users*', 'a host in lower case: "http://users*"'],
    // Against host and port.
    ['outbound.propagateTo', '', '"host", "host:port" or "*.domain", a RegExp or a function'],
    ['outbound.propagateTo', 'a.*.internal', 'with "*" only at the beginning; for more, use a RegExp such as /^a\\.[^.]*\\.internal$/'],
    ['outbound.propagateTo', 'users*', 'with "*" only at the beginning'],
    ['outbound.propagateTo', 'users:*', 'with "*" only at the beginning'],
    ['outbound.propagateTo', '.internal', '"*.internal" for every host of a domain'],
    ['outbound.propagateTo', 'https://users', '"host", "host:port" or "*.domain": "users"'],
    ['outbound.propagateTo', 'https://users:3002/a', '"host", "host:port" or "*.domain": "users:3002"'],
    ['outbound.propagateTo', 'users/a', '"host", "host:port" or "*.domain": "users"'],
    ['outbound.propagateTo', 'users:', '"host", "host:port" or "*.domain": "users"'],
    ['outbound.propagateTo', 'users:70000', '"host", "host:port" or "*.domain"'],
    ['outbound.propagateTo', 'us ers', '"host", "host:port" or "*.domain"'],
    ['outbound.propagateTo', 'me@users', '"host", "host:port" or "*.domain": "users"'],
    ['outbound.propagateTo', '::1', '"[::1]"'],
    ['outbound.propagateTo', 'bücher.test', '"xn--bcher-kva.test"'],
    // Against a destination: any text may be one.
    ['inbound.ignoreMessages', ' ', 'a destination, a RegExp or a function'],
    ['outbound.ignoreMessages', '', 'a destination, a RegExp or a function'],
  ])('of "%s", %j, is refused with what to write', (option, rule, expected) => {
    for (const [path, given] of [
      [option, rule],
      [`${option}[1]`, [/a/, rule]],
    ] as const) {
      const said = messageOf(() => resolveOptions(ruleOf[option]?.(given), {}));
      expect(said).toContain(`TracingModule option "${path}" is ${JSON.stringify(rule)} (a string); expected `);
      expect(said).toContain(expected);
    }
  });

  it.each([
    ['inbound.captureRequestHeaders', { inbound: { captureRequestHeaders: ['x-*'] } }],
    ['outbound.captureResponseHeaders', { outbound: { captureResponseHeaders: ['*'] } }],
    ['inbound.redactQueryKeys', { inbound: { redactQueryKeys: ['token='] } }],
    ['outbound.redactQueryKeys', { outbound: { redactQueryKeys: ['?token'] } }],
    ['outbound.redactQueryKeys', { outbound: { redactQueryKeys: ['tok*'] } }],
  ])('of "%s", as in %j, is refused', (option, options) => {
    expect(() => resolveOptions(options, {})).toThrow(new RegExp(`option "${option}\\[0\\]" is .* the whole`));
  });
});

describe('a rule that can apply', () => {
  it.each([
    ['inbound.ignore', ['*', '/', '/*', '/health', '/health*', '/health/', '/a%20b', '/v1/orders:cancel', "/it's(a)+path;x=1,2@~!$&"]],
    ['inbound.ignoreMessages', ['orders', 'orders.*', 'user.*.created', '{"cmd":"sum"}', 'a b', 'library.Desk/*', 'größe']],
    ['outbound.ignoreMessages', ['orders', '#']],
  ])('of "%s" is kept: %j', (option, rules) => {
    const { inbound, outbound } = resolveOptions(ruleOf[option]?.(rules), {});
    expect([inbound.ignore, inbound.ignoreMessages, outbound.ignoreMessages]).toContainEqual(rules);
  });

  const call = (url: string) => ({ request: () => ({ method: 'GET', url: new URL(url) }) });
  const isIgnored = (rule: string | RegExp, url: string) =>
    new OutboundRules(resolveOptions({ outbound: { ignore: rule } }, {}).outbound).isIgnored(call(url));
  const isTold = (rule: string | RegExp, url: string) =>
    new OutboundRules(resolveOptions({ outbound: { propagateTo: rule } }, {}).outbound).receivesHeaders(call(url));

  it.each([
    ['*', 'http://users/a'],
    ['http://users/', 'http://USERS:80'],
    ['http://users/*', 'http://users/a?x=1'],
    ['http://users*', 'http://users:3002/a'],
    ['https://users:3002/a', 'https://users:3002/a?x=1'],
    ['http://users/a:batch', 'http://users/a:batch'],
    ['http://[::1]:3002/a*', 'http://[::1]:3002/ab'],
    [/^http:\/\/users\/[^/]+\/b$/gy, 'http://users/a/b'],
  ])('of "outbound.ignore", %s, applies to %s, as often as it is asked', (rule, url) => {
    for (let times = 0; times < 3; times++) expect(isIgnored(rule, url)).toBe(true);
  });

  it.each([
    ['*', 'http://users/a'],
    ['users', 'http://users:3002/a'],
    ['Users:3002', 'http://users:3002/a'],
    ['users:80', 'http://users/a'],
    ['users:443', 'https://users/a'],
    ['*.internal', 'http://a.b.internal:3002/a'],
    ['*.internal:3002', 'http://a.internal:3002/a'],
    ['*.0.1', 'http://127.0.0.1/a'],
    ['127.0.0.1:3002', 'http://127.0.0.1:3002/a'],
    ['[::1]', 'http://[::1]:3002/a'],
    ['[::1]:3002', 'http://[::1]:3002/a'],
    ['my_service', 'http://my_service/a'],
    ['users.', 'http://users./a'],
    // Text is held against the host with and without port; so are patterns.
    [/\.internal$/, 'http://a.internal:3002/a'],
    [/^users$/, 'https://users/a'],
    [/^users:3002$/g, 'http://users:3002/a'],
  ])('of "outbound.propagateTo", %s, applies to %s, as often as it is asked', (rule, url) => {
    for (let times = 0; times < 3; times++) expect(isTold(rule, url)).toBe(true);
    expect(isTold(rule, 'http://elsewhere.test/')).toBe(rule === '*');
  });
});
