/** Which calls the rules of `outbound.ignore` and `outbound.propagateTo` mean. */
import { portOf } from '../conventions/http-client.js';
import { anyRule } from '../local/ignore-rules.js';
import type { IgnoreRule, OutboundRequest } from '../tracing.options.js';
import type { ResolvedOutboundOptions } from '../tracing.resolution.js';

/** The rules of an application; `undefined` where it has none, and then a call that is not sampled needs no URL. */
export function callRulesOf(options: ResolvedOutboundOptions): CallRules | undefined {
  if (options.ignore.length === 0 && options.propagateTo === undefined) return undefined;
  let rules = compiled.get(options);
  if (rules === undefined) compiled.set(options, (rules = new CallRules(options)));
  return rules;
}

const compiled = new WeakMap<ResolvedOutboundOptions, CallRules>();

export class CallRules {
  /** Whether `outbound.ignore` names the call; strings and patterns are held against origin and path. */
  readonly isIgnored: (request: OutboundRequest) => boolean;
  private readonly hosts: readonly ((request: OutboundRequest) => boolean)[] | undefined;

  constructor({ ignore, propagateTo }: ResolvedOutboundOptions) {
    this.isIgnored = anyRule(ignore, ({ url }) => url.origin + url.pathname, 'outbound.ignore');
    this.hosts = propagateTo?.map(hostRule);
  }

  /** Whether the host may see trace headers; a rule that throws lets nothing out. */
  receivesHeaders(request: OutboundRequest): boolean {
    return this.hosts === undefined || this.hosts.some(applies => applies(request));
  }
}

function hostRule(rule: IgnoreRule<OutboundRequest>): (request: OutboundRequest) => boolean {
  // Patterns are held against host and port, and functions see the request.
  if (typeof rule !== 'string') return anyRule([rule], ({ url }) => `${url.hostname}:${portOf(url)}`, 'outbound.propagateTo');
  const name = rule.toLowerCase();
  if (name === '*') return () => true;
  const isMeant = name.startsWith('*.') ? (host: string) => host.endsWith(name.slice(1)) : (host: string) => host === name;
  return ({ url }) => isMeant(url.hostname) || isMeant(`${url.hostname}:${portOf(url)}`);
}
