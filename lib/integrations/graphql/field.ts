/** One call of a resolver: its span, if the options want one, and the error that it threw. */
import { type Context, context, createContextKey, type Span, SpanKind } from '@opentelemetry/api';
import { codeName, setCodeName } from '../../conventions/code.js';
import { fieldAttributes, type OperationNode } from './attributes.js';
import { isNoSpan } from '../../api/no-span.decorator.js';
import { isUntraced, runInSpan } from '../../spans/run-in-span.js';
import { RunningSpan } from '../../spans/running-span.js';
import { hasSpanAttributes, recordSpanAttributes } from '../../api/span-attribute.decorator.js';
import type { TracingApplication } from '../../spans/work.js';
import { type Method, type Undo, wrapMethod } from '../../wrapping/replace-method.js';
import type { Execution } from './operation.js';
import { methodsOf } from '../../wrapping/has-methods.js';
import { replaceOnPrototype } from '../../wrapping/shared-installation.js';

/** The `info` argument of a resolver. */
export interface ResolveInfo {
  readonly fieldName: string;
  readonly operation: OperationNode;
  readonly path: FieldPath;
}

interface FieldPath {
  readonly key: string | number;
  readonly prev?: FieldPath | undefined;
}

const FIELD = createContextKey('nestjs-tracing/graphql-field');

/** Metadata of Nest's decorators on the methods of resolvers. */
const TYPE = 'graphql:resolver_type';
const NAME = 'graphql:resolver_name';
const RESOLVING = [TYPE, 'graphql:resolve_property', 'graphql:resolve_reference'];

/** A field whose resolver runs. */
class RunningField {
  running: FieldSpan | undefined;
  /** What the resolver threw, before exception filters replaced it. */
  thrown: { readonly thrown: unknown } | undefined;

  constructor(
    readonly execution: Execution,
    readonly isRoot: boolean,
  ) {}

  /** Returns the error that the resolver threw if it is known, else `outcome`. */
  failure(outcome: unknown): unknown {
    return this.thrown === undefined ? outcome : this.thrown.thrown;
  }
}

/** Fails with the resolver's error, before filters changed it. An error that a filter returns counts as thrown. */
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
    super.fail(this.field.failure(thrown));
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
  const field = new RunningField(execution, info.path.prev === undefined);
  const call = (): unknown => context.with(context.active().setValue(FIELD, field), resolve);
  const options = () => ({ kind: SpanKind.INTERNAL, attributes: fieldAttributes(type, info.fieldName, pathOf(info.path)) });
  const running = (span: Span, ctx: Context) => (field.running = new FieldSpan(span, ctx, field));
  return resolveIn(
    parent,
    () => (spanName === undefined ? call() : runInSpan(spanName, { application, options, running }, call)),
    thrown => execution.threw(field.failure(thrown)),
  );
}

/** `users.0.name` */
function pathOf(path: FieldPath): string {
  const keys: (string | number)[] = [];
  for (let at: FieldPath | undefined = path; at !== undefined; at = at.prev) keys.unshift(at.key);
  return keys.join('.');
}

/** Calls the resolver of a field that has no method of a resolver class. Most of them read a property, so this must be fast. */
export function runPlainField(execution: Execution, resolve: () => unknown): unknown {
  return resolveIn(execution.context, resolve, thrown => execution.threw(thrown));
}

/** Calls `resolve` in a context, and `fail` with the error that it throws or returns: graphql treats both alike. */
function resolveIn(ctx: Context | undefined, resolve: () => unknown, fail: (thrown: unknown) => void): unknown {
  const check = (value: unknown): void => {
    if (value instanceof Error) fail(value);
  };
  try {
    const result = ctx === undefined || ctx === context.active() ? resolve() : context.with(ctx, resolve);
    // Another thenable may start its work when `then` is called.
    if (result instanceof Promise) result.then(check, fail);
    else check(result);
    return result;
  } catch (thrown) {
    fail(thrown);
    throw thrown;
  }
}

/** Wraps the methods of a resolver class, so that the span of a field knows which method runs. Returns how to undo it. */
export function observeResolvers(resolver: Function): Undo {
  const names = resolving(resolver).map(([name]) => name);
  return replaceOnPrototype(resolver, names, (method, name) => observing(resolver, name, method));
}

/** Returns the methods of resolver classes by `Type.field`, if the type is known before they run. */
export function declaredResolvers(resolvers: Iterable<Function>): Map<string, DeclaredResolver> {
  const declared = new Map<string, DeclaredResolver>();
  for (const resolver of resolvers) {
    for (const [method, callback] of resolving(resolver)) {
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

export function isResolver(candidate: Function): boolean {
  return resolving(candidate).length > 0;
}

function resolving(resolver: Function): (readonly [name: string, method: Method])[] {
  return [...methodsOf(resolver)].filter(([, method]) => RESOLVING.some(key => Reflect.hasMetadata(key, method)));
}

function observing(resolver: Function, method: string, callback: Method): Method {
  const isUntraced = isNoSpan(resolver, method);
  const name = codeName(resolver.name, method);
  const hasAttributes = hasSpanAttributes(resolver.prototype as object, method);
  return wrapMethod(callback, function (this: unknown, ...args: unknown[]): unknown {
    const active = context.active();
    const field = active.getValue(FIELD) as RunningField | undefined;
    if (field === undefined) return callback.apply(this, args);
    const { execution, isRoot, running } = field;
    if (isRoot) {
      if (isUntraced) execution.abandon();
      else execution.handledBy(resolver.name, method);
    }
    const span = running?.span;
    if (span?.isRecording() === true) {
      span.updateName(name);
      setCodeName(span, name);
      if (hasAttributes) recordSpanAttributes(span, resolver.prototype as object, method, args);
    }
    const note = (thrown: unknown): void => void (field.thrown = { thrown });
    // Resolver methods that a resolver calls itself are ordinary calls.
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
