/** Where the events of @nestjs/event-emitter enter: the methods with `@OnEvent()`, as Nest calls them; by hand they are plain methods. */
import { context, createContextKey, SpanKind } from '@opentelemetry/api';
import { EVENT_EMITTER, eventAttributes } from '../conventions/nest-work.js';
import { hasMethods } from '../local/has-methods.js';
import { isNoSpan } from '../local/no-span.decorator.js';
import { type Method, replaceMethod, undoAll } from '../local/replace-method.js';
import type { Arrival, Arrivals } from './arrival.js';
import type { Entrance } from './static-providers.js';

/** What is on its way to a listener. */
interface Emitted {
  /** As the listener declares it. */
  readonly pattern: string;
  /** As it was emitted. */
  readonly event: string | undefined;
}

const EMITTED = createContextKey('nestjs-tracing/emitted-event');

/** Listeners that decorators declare; `origin` is what the emitter's span is to theirs. @internal */
export function eventEmitterEntrance(arrivals: Arrivals, origin: 'parent' | 'link'): Entrance {
  return ({ instance: loader }) => {
    if (!hasMethods(loader, 'subscribeToEventIfListener', 'wrapFunctionInTryCatchBlocks')) return undefined;
    return undoAll([
      // A method may listen to several patterns: only who registers it knows which one is which.
      replaceMethod(loader, 'getRegisterListenerMethodBasedOn', choose => {
        return function (...args) {
          const register = choose.apply(this, args) as Method;
          return (pattern: unknown, listener: unknown, ...rest: unknown[]) =>
            register(pattern, typeof listener === 'function' ? noting(pattern, listener as Method) : listener, ...rest);
        };
      }),
      // Inside of it errors are logged and gone.
      replaceMethod(loader, 'wrapFunctionInTryCatchBlocks', call => {
        return function (instance, key, ...rest) {
          const method = String(key);
          const owner = instance as Record<string, Method>;
          const isUntraced = isNoSpan(owner.constructor, method);
          const traced = (...args: unknown[]): unknown =>
            arrivals.serve(
              () => describe({ className: owner.constructor.name, method }, origin),
              () => owner[method]?.(...args),
              isUntraced,
            );
          return call.call(this, { [method]: traced }, key, ...rest);
        };
      }),
    ]);
  };
}

function noting(pattern: unknown, listener: Method): Method {
  return function (...args) {
    const { event, delimiter } = (this ?? {}) as { readonly event?: unknown; readonly delimiter?: unknown };
    const emitted: Emitted = { pattern: nameOf(pattern, delimiter), event: event === undefined ? undefined : nameOf(event, delimiter) };
    return context.with(context.active().setValue(EMITTED, emitted), () => listener.apply(this, args));
  };
}

function describe(handler: { className: string; method: string }, origin: 'parent' | 'link'): Arrival {
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

/** With `wildcard: true` names may be lists of their parts. */
function nameOf(event: unknown, delimiter: unknown): string {
  return Array.isArray(event) ? event.map(String).join(typeof delimiter === 'string' ? delimiter : '.') : String(event);
}
