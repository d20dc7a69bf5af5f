/** A resolver's run within an operation: its span where the options want one, and what it threw. */
import { type Context, context, createContextKey, type Span, SpanKind } from '@opentelemetry/api';
import { setCodeName, codeName } from '../conventions/code.js';
import { fieldAttributes } from '../conventions/graphql.js';
import { isNoSpan } from '../local/no-span.decorator.js';
import { isUntraced, runInSpan } from '../local/run-in-span.js';
import { RunningSpan } from '../local/running-span.js';
import { hasSpanAttributes, recordSpanAttributes } from '../local/span-attribute.decorator.js';
import type { TracingApplication } from '../local/work.js';
import { wrapMethod } from '../local/wrap-method.js';
import { pathOf, type ResolveInfo } from './graphql-document.js';
import type { Execution } from './graphql-operation.js';
import { type DeclaredMethod, type Method, wrapMethods } from './wrapped-methods.js';

const FIELD = createContextKey('nestjs-tracing/graphql-field');

/** What Nest's decorators leave on the methods of resolvers. */
const TYPE = 'graphql:resolver_type';
const NAME = 'graphql:resolver_name';
const RESOLVING = [TYPE, 'graphql:resolve_property', 'graphql:resolve_reference'];

/** A field whose resolver is under way. */
interface RunningField {
  readonly execution: Execution;
  readonly isRoot: boolean;
  span: Span | undefined;
  /** What the resolver itself threw, before filters made something else of it. */
  thrown: { readonly thrown: unknown } | undefined;
}

/** Fails with what the resolver threw, whatever filters made of it; an error that they return is one, too. */
class FieldSpan extends RunningSpan {
  constructor(
    span: Span,
    ctx: Context,
    private readonly field: RunningField,
  ) {
    super(span, ctx);
  }

  override succeed(result: unknown): void {
    if (result instanceof Error) this.fail(result);
    else super.succeed(result);
  }

  override fail(thrown: unknown): void {
    const { field } = this;
    super.fail(field.thrown === undefined ? thrown : field.thrown.thrown);
  }
}

/** Calls the resolver of a field in the context of its operation, and in a span if it has a name for one. */
export function runField(
  application: TracingApplication,
  execution: Execution,
  type: string,
  info: ResolveInfo,
  spanName: string | undefined,
  resolve: () => unknown,
): unknown {
  const parent = execution.context ?? context.active();
  if (isUntraced(parent)) return context.with(parent, resolve);
  const field: RunningField = { execution, isRoot: info.path.prev === undefined, span: undefined, thrown: undefined };
  const call = (): unknown => context.with(context.active().setValue(FIELD, field), resolve);
  const fail = (thrown: unknown): void =>
    execution.threw(field.thrown === undefined ? thrown : field.thrown.thrown, field.span !== undefined);
  let result: unknown;
  try {
    result = context.with(parent, () => {
      if (spanName === undefined) return call();
      const options = () => ({ kind: SpanKind.INTERNAL, attributes: fieldAttributes(type, info.fieldName, pathOf(info.path)) });
      const running = (span: Span, ctx: Context) => new FieldSpan(span, ctx, field);
      return runInSpan(spanName, { application, options, running }, span => {
        field.span = span;
        return call();
      });
    });
  } catch (thrown) {
    fail(thrown);
    throw thrown;
  }
  // A thenable of another kind may begin its work whenever it is asked.
  if (result instanceof Promise) result.then(value => noteError(value, fail), fail);
  else noteError(result, fail);
  return result;
}

/** Calls what resolves a field that is no method of a resolver; most of them read a property, and there are many. */
export function runPlainField(execution: Execution, resolve: () => unknown): unknown {
  const { context: home } = execution;
  const fail = (thrown: unknown): void => execution.threw(thrown, false);
  try {
    const result = home === undefined || home === context.active() ? resolve() : context.with(home, resolve);
    if (result instanceof Promise) result.then(value => noteError(value, fail), fail);
    else noteError(result, fail);
    return result;
  } catch (thrown) {
    fail(thrown);
    throw thrown;
  }
}

/** To graphql an error that is returned is one that is thrown. */
function noteError(value: unknown, fail: (thrown: unknown) => void): void {
  if (value instanceof Error) fail(value);
}

/** Puts a witness around the methods of a resolver, so that a field's span knows which one runs; returns what takes them out again. */
export function witnessResolvers(resolver: Function): () => void {
  return wrapMethods(resolver, [...resolving(resolver)], witness);
}

/** What is known of resolvers before they run, by `Type.field`, as far as the type is known. */
export function declaredResolvers(resolvers: Iterable<Function>): Map<string, DeclaredResolver> {
  const declared = new Map<string, DeclaredResolver>();
  for (const resolver of resolvers) {
    for (const { method, callback } of resolving(resolver)) {
      const type: unknown = Reflect.getMetadata(TYPE, callback) ?? Reflect.getMetadata(TYPE, resolver);
      const name: unknown = Reflect.getMetadata(NAME, callback) ?? method;
      if (typeof type !== 'string' || typeof name !== 'string') continue;
      declared.set(`${type}.${name}`, { spanName: codeName(resolver.name, method), isUntraced: isNoSpan(resolver, method) });
    }
  }
  return declared;
}

export interface DeclaredResolver {
  readonly spanName: string;
  readonly isUntraced: boolean;
}

/** Whether a class has methods that resolve fields. */
export function isResolver(candidate: Function): boolean {
  return !resolving(candidate).next().done;
}

function* resolving(resolver: Function): Generator<DeclaredMethod> {
  const seen = new Set<string>();
  let prototype = resolver.prototype as object | null;
  for (; prototype && prototype !== Object.prototype; prototype = Object.getPrototypeOf(prototype) as object | null) {
    for (const method of Object.getOwnPropertyNames(prototype)) {
      const callback: unknown = Object.getOwnPropertyDescriptor(prototype, method)?.value;
      if (typeof callback !== 'function' || method === 'constructor' || seen.has(method)) continue;
      seen.add(method);
      if (RESOLVING.some(key => Reflect.hasMetadata(key, callback))) yield { method, callback: callback as Method };
    }
  }
}

function witness(resolver: Function, method: string, callback: Method): Method {
  const isUntraced = isNoSpan(resolver, method);
  const name = codeName(resolver.name, method);
  const hasAttributes = hasSpanAttributes(resolver.prototype as object, method);
  return wrapMethod(callback, function (this: unknown, ...args: unknown[]): unknown {
    const active = context.active();
    const field = active.getValue(FIELD) as RunningField | undefined;
    if (field === undefined) return callback.apply(this, args);
    const { execution, span, isRoot } = field;
    if (isRoot) {
      if (isUntraced) execution.abandon();
      else execution.handledBy(resolver.name, method);
    }
    if (span?.isRecording() === true) {
      span.updateName(name);
      setCodeName(span, name);
      if (hasAttributes) recordSpanAttributes(span, resolver.prototype as object, method, args);
    }
    const note = (thrown: unknown): void => void (field.thrown = { thrown });
    // What a resolver calls itself is its own affair.
    return context.with(active.deleteValue(FIELD), () => {
      try {
        const result = callback.apply(this, args);
        if (result instanceof Promise) result.then(undefined, note);
        return result;
      } catch (thrown) {
        note(thrown);
        throw thrown;
      }
    });
  });
}
