/** Traces @nestjs/cqrs: a span for each command and query that a bus executes, and for each handler that an event reaches. */
import { type Context, context, createContextKey, SpanKind } from '@opentelemetry/api';
import { isObservable, Observable } from 'rxjs';
import { codeName } from '../../conventions/code.js';
import { cqrsAttributes } from '../../conventions/nestjs.js';
import { hasMethods } from '../../wrapping/has-methods.js';
import { isNoSpan } from '../../api/no-span.decorator.js';
import type { Integration } from '../../nest/integration.js';
import { replaceMethod, undoAll } from '../../wrapping/replace-method.js';
import type { InboundOperation, InboundOperations } from '../../spans/inbound.js';
import { InboundWork } from '../../spans/inbound-work.js';
import type { ProviderTracing } from '../../wrapping/provider-search.js';

export const cqrs: Integration = {
  name: 'cqrs',
  install(application, nest) {
    for (const tracing of [buses, eventHandlers, sagas]) nest.eachProvider(tracing(nest.inbound, application.inbound.eventOrigin));
  },
};

/** The `system` that rules receive. */
const CQRS = 'nestjs.cqrs';

/** Metadata of the decorators: the id of a command or query, the events of a handler, the saga methods of a class. */
const COMMAND = '__command__';
const QUERY = '__query__';
const EVENT_HANDLER = '__eventsHandler__';
const SAGA = '__saga__';

const ISSUED_BY = createContextKey('nestjs-tracing/saga');

/** Command and query buses: a span for each `execute()`. */
function buses(inbound: InboundOperations, origin: 'parent' | 'link'): ProviderTracing {
  return {
    find: ({ instance }) => (hasMethods(instance, 'execute', 'bind', 'register', 'registerHandler') ? [instance] : []),
    install: bus => {
      const type = hasMethods(bus, 'getCommandId') ? 'command' : 'query';
      const handlers = new Map<unknown, Function>();
      return undoAll([
        replaceMethod(bus, 'bind', bind => {
          return function (handler, id, ...rest) {
            handlers.set(id, handlerClass(handler));
            return bind.call(this, handler, id, ...rest);
          };
        }),
        replaceMethod(bus, 'execute', execute => {
          return function (...args) {
            const className = classNameOf(args[0]);
            const classRef = handlers.get(idOf(args[0], type === 'command' ? COMMAND : QUERY));
            const isUntraced = classRef !== undefined && isNoSpan(classRef, 'execute');
            const handler = classRef && { className: classRef.name, method: 'execute' };
            const saga = context.active().getValue(ISSUED_BY) as string | undefined;
            return inbound.run(
              () =>
                describe(type, className, { handler, saga, origin: saga === undefined ? 'parent' : origin, within: contextWithoutSaga() }),
              () => execute.apply(this, args),
              isUntraced,
            );
          };
        }),
      ]);
    },
  };
}

/** Event handlers: a span for each handler and event. */
function eventHandlers(inbound: InboundOperations, origin: 'parent' | 'link'): ProviderTracing {
  return {
    find: ({ instance, classRef }) => (Reflect.hasMetadata(EVENT_HANDLER, classRef) ? [instance] : []),
    install: (instance, { classRef, isStatic }) => {
      const isUntraced = isNoSpan(classRef, 'handle');
      const handler = { className: classRef.name, method: 'handle' };
      // A handler that Nest makes for each event is wrapped on its prototype.
      return replaceMethod(isStatic ? instance : (classRef.prototype as object), 'handle', handle => {
        return function (...args) {
          // If the method of a subclass was called, its own wrapper makes the span.
          if (!isStatic && classOf(this) !== classRef) return handle.apply(this, args);
          return inbound.run(
            () => describe('event', classNameOf(args[0]), { handler, origin, within: contextWithoutSaga() }),
            () => handle.apply(this, args),
            isUntraced,
          );
        };
      });
    },
  };
}

/**
 * Sagas: the spans of commands that a saga issues carry its name. A saga that fails gets a failed span below the span that published the
 * event.
 */
function sagas(inbound: InboundOperations, origin: 'parent' | 'link'): ProviderTracing {
  return {
    find: ({ instance, classRef }) => (sagasOf(classRef).length > 0 ? [instance] : []),
    install: (instance, { classRef }) =>
      undoAll(
        sagasOf(classRef).map(method =>
          replaceMethod(instance, method, saga => {
            return function (...args) {
              const issued = saga.apply(this, args);
              if (!isObservable(issued)) return issued;
              const handler = { className: classRef.name, method };
              const name = codeName(handler.className, method);
              const failed = (thrown: unknown): void => {
                if (isNoSpan(classRef, method)) return;
                const work = inbound.start(() => describe('saga', name, { handler, origin, within: contextWithoutSaga() }));
                if (work instanceof InboundWork) work.fail(thrown);
              };
              return withSagaName(name, issued, failed);
            };
          }),
        ),
      ),
  };
}

function sagasOf(classRef: Function): readonly string[] {
  const methods: unknown = Reflect.getMetadata(SAGA, classRef);
  return Array.isArray(methods) ? (methods as string[]) : [];
}

function withSagaName(name: string, issued: Observable<unknown>, failed: (thrown: unknown) => void): Observable<unknown> {
  return new Observable(subscriber =>
    issued.subscribe({
      next: command => context.with(context.active().setValue(ISSUED_BY, name), () => subscriber.next(command)),
      error: thrown => {
        failed(thrown);
        subscriber.error(thrown);
      },
      complete: () => subscriber.complete(),
    }),
  );
}

/** Returns the active context without the saga: commands that the handler of a command issues do not come from the saga. */
function contextWithoutSaga(): Context {
  const active = context.active();
  return active.getValue(ISSUED_BY) === undefined ? active : active.deleteValue(ISSUED_BY);
}

interface Details extends Pick<InboundOperation, 'handler' | 'origin' | 'within'> {
  readonly saga?: string | undefined;
}

function describe(type: 'command' | 'query' | 'event' | 'saga', className: string, { saga, ...rest }: Details): InboundOperation {
  return {
    message: { system: CQRS, destination: className, url: className, headers: {} },
    kind: SpanKind.INTERNAL,
    name: className,
    attributes: () => cqrsAttributes(type, className, saga),
    ...rest,
  };
}

/** Returns the class of a handler. cqrs 11 and newer pass a provider wrapper, older versions the handler itself. */
function handlerClass(handler: unknown): Function {
  const { instance, metatype } = handler as { instance?: object; metatype?: unknown };
  if (instance !== undefined) return instance.constructor;
  return typeof metatype === 'function' ? metatype : (handler as object).constructor;
}

function classNameOf(message: unknown): string {
  return classOf(message)?.name ?? typeof message;
}

function idOf(message: unknown, key: string): unknown {
  const classRef = classOf(message);
  return classRef && (Reflect.getMetadata(key, classRef) as { id?: unknown } | undefined)?.id;
}

/** Returns the class of an object by its prototype, because a message may have a field called `constructor`. */
function classOf(instance: unknown): Function | undefined {
  if (typeof instance !== 'object' || instance === null) return undefined;
  const prototype = Object.getPrototypeOf(instance) as { readonly constructor?: unknown } | null;
  return typeof prototype?.constructor === 'function' ? prototype.constructor : undefined;
}
