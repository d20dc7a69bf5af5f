/** The global interceptor opens the spans of handlers that Nest runs for other libraries. Requests and messages have a span already. */
import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import type { ExternalContextCreator } from '@nestjs/core';
import { type Context, context, SpanKind } from '@opentelemetry/api';
import type { Observable } from 'rxjs';
import { isNoSpan } from '../api/no-span.decorator.js';
import { opensSpan } from '../api/span-attribute.decorator.js';
import { codeName } from '../conventions/code.js';
import { isSuppressed } from '../propagation/context-values.js';
import { spanContextIn } from '../spans/context.js';
import type { InboundOperation, InboundOperations } from '../spans/inbound.js';
import { workIn } from '../spans/work.js';
import { replaceMethod } from '../wrapping/replace-method.js';

export class ServerSpanInterceptor implements NestInterceptor {
  constructor(private readonly inbound: InboundOperations) {}

  /** Nest runs the handler in the context of this call, not in that of the later subscription. */
  intercept(execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    const active = context.active();
    if (workIn(active) !== undefined || isSuppressed(active)) return next.handle();
    const classRef = execution.getClass();
    const method = methodOf(classRef, execution.getHandler());
    const isHidden = isNoSpan(classRef, method);
    const isBelow = hasSpanOfThisProcess(active);
    // Inside a foreign span, `@NoSpan()` hides the handler only. A handler with its own span needs no other.
    if (isBelow && (isHidden || opensSpan(classRef.prototype as object, method))) return next.handle();
    return this.inbound.run(
      () => describe(classRef.name, String(method), active, isBelow),
      () => next.handle(),
      isHidden,
    );
  }
}

function describe(className: string, method: string, within: Context, isBelow: boolean): InboundOperation {
  const name = codeName(className, method);
  return {
    message: { system: 'nestjs', destination: name, headers: {} },
    isIgnored: () => false,
    kind: isBelow ? SpanKind.INTERNAL : SpanKind.SERVER,
    name,
    within,
    handler: { className, method },
    attributes: () => ({}),
  };
}

/** Returns true if another instrumentation or the user has opened the active span. It may have ended, or may not record. */
function hasSpanOfThisProcess(ctx: Context): boolean {
  const spanContext = spanContextIn(ctx);
  return spanContext !== undefined && spanContext.isRemote !== true;
}

/** The methods of handlers whose function has another name: bound functions, arrow functions, wrappers of decorators. */
const names = new WeakMap<Function, string | symbol>();

/** Remembers the method of every handler for which Nest creates a context. Returns how to undo it. @internal */
export function noteExternalHandlers(contexts: ExternalContextCreator): () => void {
  return replaceMethod(contexts, 'create', create => {
    return function (...args) {
      const [, handler, name] = args;
      const isNamed = typeof name === 'symbol' || (typeof name === 'string' && name !== '');
      if (typeof handler === 'function' && isNamed && handler.name !== name) names.set(handler, name);
      return create.apply(this, args);
    };
  });
}

/** Returns the name of the method that a handler calls. */
function methodOf(classRef: Function, handler: Function): string | symbol {
  const name = names.get(handler) ?? handler.name.replace(/^(bound )+/, '');
  const prototype = classRef.prototype as object;
  return name !== '' && name in prototype ? name : (methodLike(prototype, handler, name) ?? (name || '<anonymous>'));
}

/** Returns the key of the member that is the handler. A symbol also matches by its description in brackets, or as text. */
function methodLike(prototype: object, handler: Function, name: string | symbol): string | symbol | undefined {
  for (let owner: object | null = prototype; owner !== null; owner = Object.getPrototypeOf(owner) as object | null) {
    for (const key of Reflect.ownKeys(owner)) {
      if (Object.getOwnPropertyDescriptor(owner, key)?.value === handler && key !== 'constructor') return key;
      if (typeof key === 'symbol' && (name === `[${key.description ?? ''}]` || name === String(key))) return key;
    }
  }
  return undefined;
}
