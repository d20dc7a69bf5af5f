/** The fields of a schema as seams: each call of a resolver runs within its operation, and subscriptions become units of work. */
import { type DeclaredResolver, runField, runPlainField } from './graphql-field.js';
import { type Resolve, resolveProperty, type Schema, type SchemaField, type SchemaType } from './graphql-document.js';
import type { Operations } from './graphql-operation.js';
import type { Subscriptions } from './graphql-subscription.js';

const TRACED = Symbol.for('nestjs-tracing/graphql-schema');

/** What the wrapping of a schema depends on. */
export interface SchemaTracing {
  readonly operations: Operations;
  readonly subscriptions: Subscriptions;
  readonly resolvers: ReadonlyMap<string, DeclaredResolver>;
  /** Another instrumentation makes the spans of resolvers. */
  readonly isLeftToOthers: boolean;
  /** What the application has in place of graphql's own way to resolve a field without resolver. */
  readonly resolveProperty?: Resolve | undefined;
}

/** Wraps the resolvers of a schema; returns what puts them back. */
export function traceSchema(schema: Schema & { [TRACED]?: true }, tracing: SchemaTracing): () => void {
  if (schema[TRACED] === true) return () => undefined;
  Object.defineProperty(schema, TRACED, { value: true, configurable: true });
  const undo: (() => void)[] = [() => delete schema[TRACED]];
  const subscription = schema.getSubscriptionType()?.name;
  for (const type of Object.values(schema.getTypeMap())) {
    // Input types have fields as well, which nobody resolves.
    if (type.name.startsWith('__') || !('isTypeOf' in type) || typeof type.getFields !== 'function') continue;
    for (const field of Object.values(type.getFields())) {
      const { resolve, subscribe } = field;
      if (type.name === subscription) traceSubscription(field, type, tracing);
      else traceField(field, type, tracing);
      undo.push(() => {
        field.resolve = resolve;
        field.subscribe = subscribe;
      });
    }
  }
  return () => {
    for (const step of undo.splice(0)) step();
  };
}

function traceField(field: SchemaField, type: SchemaType, tracing: SchemaTracing): void {
  const { operations } = tracing;
  const declared = declaredFor(field, type, tracing);
  const spanName = spanNameOf(field, type, declared, tracing);
  const { resolve } = field;
  if (resolve === undefined && spanName === undefined) return;
  const original = resolve ?? tracing.resolveProperty ?? resolveProperty;
  // Code first, every field has a resolver, which only reads a property.
  const isPlain = declared === undefined && spanName === undefined;
  if (isPlain && !operations.application.isEnabled) return;
  field.resolve = function (source, args, contextValue, info) {
    const execution = operations.of(contextValue, info);
    if (execution === undefined) return original.call(this, source, args, contextValue, info);
    const call = () => original.call(this, source, args, contextValue, info);
    return isPlain ? runPlainField(execution, call) : runField(operations.application, execution, type.name, info, spanName, call);
  };
}

function traceSubscription(field: SchemaField, { name: type }: SchemaType, tracing: SchemaTracing): void {
  const { operations, subscriptions } = tracing;
  const { application } = operations;
  const { resolve, subscribe } = field;
  const spanName = spanNameOf(field, { name: type }, tracing.resolvers.get(`${type}.${field.name}`), tracing);
  if (subscribe !== undefined) {
    field.subscribe = function (source, args, contextValue, info) {
      return subscriptions.open(contextValue, info, execution =>
        runField(application, execution, type, info, spanName, () => subscribe.call(this, source, args, contextValue, info)),
      );
    };
  }
  const original = resolve ?? tracing.resolveProperty ?? resolveProperty;
  field.resolve = function (source, args, contextValue, info) {
    const call = () => original.call(this, source, args, contextValue, info);
    const event = subscriptions.event(info);
    // What makes the event's answer is no method of a resolver.
    return event === undefined ? call() : runField(application, event, type, info, undefined, call);
  };
}

/** The resolver of a field; an interface's counts for the types that implement it. */
function declaredFor({ name }: SchemaField, type: SchemaType, { resolvers }: SchemaTracing): DeclaredResolver | undefined {
  for (const owner of [type, ...(type.getInterfaces?.() ?? [])]) {
    const declared = resolvers.get(`${owner.name}.${name}`);
    if (declared !== undefined) return declared;
  }
  return undefined;
}

/** `undefined` where the options want no span. */
function spanNameOf(
  field: SchemaField,
  type: SchemaType,
  declared: DeclaredResolver | undefined,
  { operations, isLeftToOthers }: SchemaTracing,
): string | undefined {
  const { graphql, isEnabled } = operations.application;
  const isWanted = graphql.fields || (graphql.resolvers && declared !== undefined);
  if (!isEnabled || !isWanted || isLeftToOthers || declared?.isUntraced === true) return undefined;
  return declared?.spanName ?? `${type.name}.${field.name}`;
}
