/** Turns a list of rules (exact text, prefix ending in `*`, RegExp, function) into one question, for requests on either side. */
import type { IgnoreRule } from '../tracing.options.js';
import { guarded } from './trouble.js';

/**
 * Whether any of `rules` applies to a request. `textOf` gives what strings and patterns are held against; functions see the request
 * itself, guarded under the name of `option`.
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
      // A copy without the flags that would make one answer depend on the one before.
      const pattern = new RegExp(rule.source, rule.flags.replace(/[gy]/g, ''));
      others.push((_request, text) => pattern.test(text));
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
