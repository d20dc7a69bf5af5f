/** Wraps the resolvers of a schema: each call runs in the context of its operation, and each event of a subscription is an operation. */
import { type DeclaredResolver, type ResolveInfo, runField, runPlainField } from './field.js';
import { replace, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { installOnce } from '../../wrapping/shared-installation.js';
import type { Operations } from './operation.js';
import type { Subscriptions } from './subscription.js';

export type Resolve = (this: unknown, source: unknown, args: unknown, contextValue: unknown, info: ResolveInfo) => unknown;

interface SchemaField {
  readonly name: string;
  resolve?: Resolve | undefined;
  subscribe?: Resolve | undefined;
}

interface SchemaType {
  readonly name: string;
  getInterfaces?(): readonly { readonly name: string }[];
  getFields?(): Record<string, SchemaField>;
}

export interface Schema {
  getTypeMap(): Record<string, SchemaType>;
  getSubscriptionType(): SchemaType | null | undefined;
}

/** The default resolver of graphql. */
export const resolveProperty: Resolve = (source, args, contextValue, info) => {
  if ((typeof source !== 'object' || source === null) && typeof source !== 'function') return undefined;
  const value: unknown = Reflect.get(source, info.fieldName);
  return typeof value === 'function' ? (value.call(source, args, contextValue, info) as unknown) : value;
};

const TRACED = Symbol.for('nestjs-tracing/graphql-schema');

interface SchemaTracing {
  readonly operations: Operations;
  readonly subscriptions: Subscriptions;
  readonly resolvers: ReadonlyMap<string, DeclaredResolver>;
  /** The resolver for fields without one. */
  readonly defaultResolver: Resolve;
}

/** Wraps the resolvers of a schema. Returns how to undo it. */
export function traceSchema(schema: Schema, tracing: SchemaTracing): () => void {
  return installOnce(schema, TRACED, () => wrapResolvers(schema, tracing));
}

function wrapResolvers(schema: Schema, tracing: SchemaTracing): () => void {
  const undo: Undo[] = [];
  const subscription = schema.getSubscriptionType()?.name;
  for (const type of Object.values(schema.getTypeMap())) {
    // Input types have fields, too, but no resolvers.
    if (type.name.startsWith('__') || !('isTypeOf' in type) || typeof type.getFields !== 'function') continue;
    for (const field of Object.values(type.getFields())) {
      undo.push(...(type.name === subscription ? traceSubscription(field, type, tracing) : traceField(field, type, tracing)));
    }
  }
  return undoAll(undo);
}

function traceField(field: SchemaField, type: SchemaType, tracing: SchemaTracing): Undo[] {
  const { operations } = tracing;
  const declared = declaredFor(field, type, tracing);
  const spanName = spanNameOf(field, type, declared, tracing);
  const { resolve } = field;
  if (resolve === undefined && spanName === undefined) return [];
  const original = resolve ?? tracing.defaultResolver;
  // With the code-first approach every field has a resolver. Most only read a property.
  const isPlain = declared === undefined && spanName === undefined;
  if (isPlain && !operations.application.isEnabled) return [];
  const traced: Resolve = function (source, args, contextValue, info) {
    const execution = operations.of(contextValue, info.operation);
    const call = () => original.call(this, source, args, contextValue, info);
    if (execution === undefined) return call();
    return isPlain ? runPlainField(execution, call) : runField(operations.application, execution, type.name, info, spanName, call);
  };
  return [replace(field, 'resolve', traced)];
}

function traceSubscription(field: SchemaField, type: SchemaType, tracing: SchemaTracing): Undo[] {
  const undo: Undo[] = [];
  const { subscriptions } = tracing;
  const { application } = tracing.operations;
  const { resolve, subscribe } = field;
  const spanName = spanNameOf(field, type, tracing.resolvers.get(`${type.name}.${field.name}`), tracing);
  if (subscribe !== undefined) {
    const tracedSource: Resolve = function (source, args, contextValue, info) {
      return subscriptions.open(contextValue, info, execution =>
        unboxed(
          runField(application, execution, type.name, info, spanName, () => boxed(subscribe.call(this, source, args, contextValue, info))),
        ),
      );
    };
    undo.push(replace(field, 'subscribe', tracedSource));
  }
  const original = resolve ?? tracing.defaultResolver;
  const tracedEvent: Resolve = function (source, args, contextValue, info) {
    const call = () => original.call(this, source, args, contextValue, info);
    const event = subscriptions.event(info);
    // The `resolve` of a subscription is not a method of a resolver class.
    return event === undefined ? call() : runField(application, event, type.name, info, undefined, call);
  };
  undo.push(replace(field, 'resolve', tracedEvent));
  return undo;
}

/** Hides the events from the span of the resolver that returns them. Otherwise that span would last as long as the subscription. */
class Events {
  constructor(readonly events: unknown) {}
}

function boxed(result: unknown): unknown {
  if (result instanceof Promise) return result.then(boxed);
  return result instanceof Error ? result : new Events(result);
}

function unboxed(result: unknown): unknown {
  if (result instanceof Promise) return result.then(unboxed);
  return result instanceof Events ? result.events : result;
}

/** Returns the resolver of a field, also if it is declared on an interface. */
function declaredFor({ name }: SchemaField, type: SchemaType, { resolvers }: SchemaTracing): DeclaredResolver | undefined {
  for (const owner of [type, ...(type.getInterfaces?.() ?? [])]) {
    const declared = resolvers.get(`${owner.name}.${name}`);
    if (declared !== undefined) return declared;
  }
  return undefined;
}

/** Returns the name of a field's span. Returns undefined if the field gets no span. */
function spanNameOf(
  field: SchemaField,
  type: SchemaType,
  declared: DeclaredResolver | undefined,
  { operations }: SchemaTracing,
): string | undefined {
  const { graphql, isEnabled } = operations.application;
  const isWanted = graphql.fields || (graphql.resolvers && declared !== undefined);
  if (!isEnabled || !isWanted || operations.isLeftToOthers || declared?.isUntraced === true) return undefined;
  return declared?.spanName ?? `${type.name}.${field.name}`;
}
