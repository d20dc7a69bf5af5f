/** Traces @nestjs/event-emitter: a span for each event that a method with `@OnEvent()` gets. A direct call of the method makes no span. */
import { context, createContextKey, SpanKind } from '@opentelemetry/api';
import { eventAttributes } from '../../conventions/nestjs.js';
import { hasMethods } from '../../wrapping/has-methods.js';
import { isNoSpan } from '../../api/no-span.decorator.js';
import type { Integration } from '../../nest/integration.js';
import { type Method, replaceMethod, undoAll } from '../../wrapping/replace-method.js';
import type { InboundOperation, InboundOperations } from '../../spans/inbound.js';
import type { ProviderTracing } from '../../wrapping/provider-search.js';

export const events: Integration = {
  name: 'events',
  install(application, nest) {
    nest.eachProvider(listeners(nest.inbound, application.inbound.eventOrigin));
  },
};

/** The `system` that rules receive. */
const EVENT_EMITTER = 'nestjs.event-emitter';

/** An event that a listener is about to receive. */
interface Emitted {
  /** The pattern that the listener declares. */
  readonly pattern: string;
  readonly event: string | undefined;
}

const EMITTED = createContextKey('nestjs-tracing/emitted-event');

/** Traces listeners that decorators declare. `origin`: whether the span of the emitter is their parent or a link. */
function listeners(inbound: InboundOperations, origin: 'parent' | 'link'): ProviderTracing {
  return {
    find: ({ instance }) => (hasMethods(instance, 'subscribeToEventIfListener', 'wrapFunctionInTryCatchBlocks') ? [instance] : []),
    install: loader =>
      undoAll([
        // A method may listen to several patterns. Only its registration tells which one an event matches.
        replaceMethod(loader, 'getRegisterListenerMethodBasedOn', choose => {
          return function (...args) {
            const register = choose.apply(this, args) as Method;
            return (pattern: unknown, listener: unknown, ...rest: unknown[]) =>
              register(pattern, typeof listener === 'function' ? withEmitted(pattern, listener as Method) : listener, ...rest);
          };
        }),
        // This function catches errors and logs them, so the span goes around the call inside it.
        replaceMethod(loader, 'wrapFunctionInTryCatchBlocks', call => {
          return function (instance, key, ...rest) {
            const method = String(key);
            const owner = instance as Record<string, Method>;
            const isUntraced = isNoSpan(owner.constructor, method);
            const traced = (...args: unknown[]): unknown =>
              inbound.run(
                () => describe({ className: owner.constructor.name, method }, origin),
                () => owner[method]?.(...args),
                isUntraced,
              );
            return call.call(this, { [method]: traced }, key, ...rest);
          };
        }),
      ]),
  };
}

function withEmitted(pattern: unknown, listener: Method): Method {
  return function (...args) {
    const { event, delimiter } = (this ?? {}) as { readonly event?: unknown; readonly delimiter?: unknown };
    const emitted: Emitted = { pattern: nameOf(pattern, delimiter), event: event === undefined ? undefined : nameOf(event, delimiter) };
    return context.with(context.active().setValue(EMITTED, emitted), () => listener.apply(this, args));
  };
}

function describe(handler: { className: string; method: string }, origin: 'parent' | 'link'): InboundOperation {
  const within = context.active();
  const emitted = within.getValue(EMITTED) as Emitted | undefined;
  const pattern = emitted?.pattern ?? handler.method;
  return {
    message: { system: EVENT_EMITTER, destination: emitted?.event ?? pattern, url: emitted?.event ?? pattern, headers: {} },
    kind: SpanKind.INTERNAL,
    name: pattern,
    within,
    origin,
    handler,
    attributes: () => eventAttributes(pattern, emitted?.event),
  };
}

/** Returns the name of an event as a text. With `wildcard: true`, names may be lists of their parts. */
function nameOf(event: unknown, delimiter: unknown): string {
  return Array.isArray(event) ? event.map(String).join(typeof delimiter === 'string' ? delimiter : '.') : String(event);
}
