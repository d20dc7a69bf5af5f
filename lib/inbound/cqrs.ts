/** Where the commands, queries and events of @nestjs/cqrs enter: what the buses execute, and the handlers that events reach. */
import { type Context, context, createContextKey, SpanKind } from '@opentelemetry/api';
import { isObservable, Observable } from 'rxjs';
import { codeName } from '../conventions/code.js';
import { CQRS, cqrsAttributes } from '../conventions/nest-work.js';
import { hasMethods } from '../local/has-methods.js';
import { isNoSpan } from '../local/no-span.decorator.js';
import { replaceMethod, undoAll } from '../local/replace-method.js';
import type { Arrival, Arrivals } from './arrival.js';
import type { Entrance } from './static-providers.js';

/** What the decorators leave on classes: on commands and queries their id, on handlers what they handle, on sagas which methods they are. */
const COMMAND = '__command__';
const QUERY = '__query__';
const EVENT_HANDLER = '__eventsHandler__';
const SAGA = '__saga__';

const ISSUED_BY = createContextKey('nestjs-tracing/saga');

/** The buses of commands and queries: a span per `execute()`. @internal */
export function cqrsBusesEntrance(arrivals: Arrivals, origin: 'parent' | 'link'): Entrance {
  return ({ instance: bus }) => {
    if (!hasMethods(bus, 'execute', 'bind', 'register', 'registerHandler')) return undefined;
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
          return arrivals.serve(
            () => describe(type, className, { handler, saga, origin: saga === undefined ? 'parent' : origin, within: quiet() }),
            () => execute.apply(this, args),
            isUntraced,
          );
        };
      }),
    ]);
  };
}

/** Handlers of events: a span per handler and event. @internal */
export function cqrsEventsEntrance(arrivals: Arrivals, origin: 'parent' | 'link'): Entrance {
  return ({ instance, classRef, isStatic }) => {
    if (!Reflect.hasMetadata(EVENT_HANDLER, classRef)) return undefined;
    const isUntraced = isNoSpan(classRef, 'handle');
    const handler = { className: classRef.name, method: 'handle' };
    // What is made per event is reached by the prototype that it will have.
    return replaceMethod(isStatic ? instance : (classRef.prototype as object), 'handle', handle => {
      return function (...args) {
        // A class that extends this one has its own span around.
        if (!isStatic && classOf(this) !== classRef) return handle.apply(this, args);
        return arrivals.serve(
          () => describe('event', classNameOf(args[0]), { handler, origin, within: quiet() }),
          () => handle.apply(this, args),
          isUntraced,
        );
      };
    });
  };
}

/** Sagas: the commands that they issue say by whom, and go on in the context in which they were issued. @internal */
export function sagasEntrance(): Entrance {
  return ({ instance, classRef }) => {
    const sagas = Reflect.getMetadata(SAGA, classRef) as unknown;
    if (!Array.isArray(sagas)) return undefined;
    return undoAll(
      (sagas as string[]).map(method =>
        replaceMethod(instance, method, saga => {
          return function (...args) {
            const issued = saga.apply(this, args);
            return isObservable(issued) ? sayingBy(codeName(classRef.name, method), issued) : issued;
          };
        }),
      ),
    );
  };
}

function sayingBy(name: string, issued: Observable<unknown>): Observable<unknown> {
  return new Observable(subscriber =>
    issued.subscribe({
      next: command => context.with(context.active().setValue(ISSUED_BY, name), () => subscriber.next(command)),
      error: thrown => subscriber.error(thrown),
      complete: () => subscriber.complete(),
    }),
  );
}

/** The active context without the saga: what a command's handler issues itself is issued by nobody else. */
function quiet(): Context {
  const active = context.active();
  return active.getValue(ISSUED_BY) === undefined ? active : active.deleteValue(ISSUED_BY);
}

interface Details extends Pick<Arrival, 'handler' | 'origin' | 'within'> {
  readonly saga?: string | undefined;
}

function describe(type: 'command' | 'query' | 'event', className: string, { saga, ...rest }: Details): Arrival {
  return {
    message: { system: CQRS, destination: className, url: className, headers: {} },
    kind: SpanKind.INTERNAL,
    name: className,
    attributes: () => cqrsAttributes(type, className, saga),
    ...rest,
  };
}

/** Of what Nest keeps about a provider (cqrs 11 on), or of the handler itself. */
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

/** As Nest asks for it: a message may have a field of its own called `constructor`. */
function classOf(instance: unknown): Function | undefined {
  if (typeof instance !== 'object' || instance === null) return undefined;
  const prototype = Object.getPrototypeOf(instance) as { readonly constructor?: unknown } | null;
  return typeof prototype?.constructor === 'function' ? prototype.constructor : undefined;
}
