/** The rules of `outbound`: which operations get a span and headers, and which hosts may receive headers. */
import { portOf } from '../conventions/http.js';
import { anyRule } from '../options/ignore-rules.js';
import type { ResolvedOutboundOptions } from '../options/resolved-options.js';
import type { IgnoreRule, OutboundMessage, OutboundRequest } from '../options/tracing-options.js';

/** The part of an operation that rules read. */
interface Target {
  readonly message?: OutboundMessage;
  request?(): OutboundRequest | undefined;
}

/** Returns the rules of an application. Returns undefined if it has none: then unsampled operations need not be described. */
export function outboundRulesOf(options: ResolvedOutboundOptions): OutboundRules | undefined {
  if (options.ignore.length === 0 && options.ignoreMessages.length === 0 && options.propagateTo === undefined) return undefined;
  let rules = compiled.get(options);
  if (rules === undefined) compiled.set(options, (rules = new OutboundRules(options)));
  return rules;
}

const compiled = new WeakMap<ResolvedOutboundOptions, OutboundRules>();

export class OutboundRules {
  // Undefined without such rules: then their argument is not computed.
  private readonly ignoresRequest: ((request: OutboundRequest) => boolean) | undefined;
  private readonly ignoresMessage: ((message: OutboundMessage) => boolean) | undefined;
  private readonly hosts: readonly ((request: OutboundRequest) => boolean)[] | undefined;

  constructor({ ignore, ignoreMessages, propagateTo }: ResolvedOutboundOptions) {
    if (ignore.length > 0) this.ignoresRequest = anyRule(ignore, ({ url }) => url.origin + url.pathname, 'outbound.ignore');
    if (ignoreMessages.length > 0)
      this.ignoresMessage = anyRule(ignoreMessages, ({ destination }) => destination, 'outbound.ignoreMessages');
    this.hosts = propagateTo?.map(hostRule);
  }

  /** Returns true if the operation gets neither a span nor headers. */
  isIgnored(operation: Target): boolean {
    const { ignoresMessage, ignoresRequest } = this;
    if (ignoresMessage === undefined && ignoresRequest === undefined) return false;
    const { message } = operation;
    if (message !== undefined) return ignoresMessage?.(message) === true;
    if (ignoresRequest === undefined) return false;
    const request = operation.request?.();
    return request === undefined || ignoresRequest(request);
  }

  /** Returns true if the receiver of the operation may get trace headers. A rule that throws permits nothing. */
  receivesHeaders(operation: Target): boolean {
    const { hosts } = this;
    if (hosts === undefined || operation.request === undefined) return true;
    const request = operation.request();
    return request !== undefined && hosts.some(applies => applies(request));
  }
}

function hostRule(rule: IgnoreRule<OutboundRequest>): (request: OutboundRequest) => boolean {
  if (typeof rule === 'function') return anyRule([rule], ({ url }) => url.host, 'outbound.propagateTo');
  // Like a text, a RegExp is compared with the host, and with host and port.
  if (typeof rule !== 'string') return ({ url }) => rule.test(url.hostname) || rule.test(`${url.hostname}:${portOf(url)}`);
  const name = rule.toLowerCase();
  if (name === '*') return () => true;
  const isMeant = name.startsWith('*.') ? (host: string) => host.endsWith(name.slice(1)) : (host: string) => host === name;
  return ({ url }) => isMeant(url.hostname) || isMeant(`${url.hostname}:${portOf(url)}`);
}
