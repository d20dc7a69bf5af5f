/** Who sent a request, as far as tracing goes: the context in its headers, and whether it is believed. */
import { type Context, isSpanContextValid, type Link, trace } from '@opentelemetry/api';
import { SLIM_ROOT } from '../local/slim-context.js';
import { guarded } from '../local/trouble.js';
import type { TracingApplication } from '../local/work.js';
import { headerGetter } from '../propagation/header-getter.js';
import { messageHeaderGetter } from '../propagation/message-headers.js';
import type { InboundMessage, InboundRequest } from '../tracing.options.js';
import { LateContext } from './untraced-request.js';

/** What the headers say, whoever wrote them; `SLIM_ROOT` where they say nothing. */
export function incomingContext({ propagator }: TracingApplication, request: InboundRequest | InboundMessage): Context {
  return propagator.extract(SLIM_ROOT, request.headers, 'system' in request ? messageHeaderGetter : headerGetter);
}

/** `incoming` where its sender is trusted, else nothing. */
export function trusted({ inbound }: TracingApplication, request: InboundRequest, incoming: Context): Context {
  const { trust } = inbound;
  if (incoming === SLIM_ROOT || trust === true) return incoming;
  const isTrusted = trust !== false && guarded('inbound.trust', () => trust(request), false) === true;
  return isTrusted ? incoming : SLIM_ROOT;
}

/** The caller's context for a request that is not traced: most of these call nobody, so it is read when it is first asked for. */
export function callerOfUntraced(application: TracingApplication, request: InboundRequest | InboundMessage): Context {
  const read = () => trusted(application, request, incomingContext(application, request));
  // A user's function is asked while the request is there to be looked at.
  return typeof application.inbound.trust === 'function' ? read() : new LateContext(read);
}

/** The link from a new root to a caller that was not believed. */
export function linksTo(ctx: Context): Link[] | undefined {
  const spanContext = trace.getSpanContext(ctx);
  return spanContext === undefined || !isSpanContextValid(spanContext) ? undefined : [{ context: spanContext }];
}
