/** The parts of documents, executions and schemas that are looked at; the package graphql is the user's, and never loaded from here. */
import type { OperationDescription } from '../conventions/graphql.js';

export interface OperationNode {
  readonly kind: string;
  readonly operation?: string;
  readonly name?: { readonly value?: string };
  readonly loc?: { readonly source?: { readonly body?: string } };
  readonly selectionSet?: { readonly selections?: readonly { readonly kind?: string }[] };
}

/** What a resolver is told of its place. */
export interface ResolveInfo {
  readonly fieldName: string;
  readonly operation: OperationNode;
  readonly path: FieldPath;
}

interface FieldPath {
  readonly key: string | number;
  readonly prev?: FieldPath | undefined;
}

export type Resolve = (this: unknown, source: unknown, args: unknown, contextValue: unknown, info: ResolveInfo) => unknown;

export interface SchemaField {
  readonly name: string;
  resolve?: Resolve | undefined;
  subscribe?: Resolve | undefined;
}

export interface SchemaType {
  readonly name: string;
  getInterfaces?(): readonly { readonly name: string }[];
  getFields?(): Record<string, SchemaField>;
}

export interface Schema {
  getTypeMap(): Record<string, SchemaType>;
  getSubscriptionType(): SchemaType | null | undefined;
}

/** The operation of a document that is executed; of several, none without a name. */
export function operationIn(document: unknown, name: string | null | undefined): OperationNode | undefined {
  const { definitions } = (document ?? {}) as { definitions?: readonly OperationNode[] };
  const operations = definitions?.filter(({ kind }) => kind === 'OperationDefinition') ?? [];
  if (name === undefined || name === null) return operations.length === 1 ? operations[0] : undefined;
  return operations.find(operation => operation.name?.value === name);
}

export function describeOperation(node: OperationNode | undefined, document?: unknown): OperationDescription {
  const text = typeof document === 'string' ? document : node?.loc?.source?.body;
  return { type: node?.operation, name: node?.name?.value, document: text };
}

/** `users.0.name` */
export function pathOf(path: FieldPath): string {
  const keys: (string | number)[] = [];
  for (let at: FieldPath | undefined = path; at !== undefined; at = at.prev) keys.unshift(at.key);
  return keys.join('.');
}

/** What graphql does where a field has no resolver. */
export const resolveProperty: Resolve = (source, args, contextValue, info) => {
  if ((typeof source !== 'object' || source === null) && typeof source !== 'function') return undefined;
  const value: unknown = Reflect.get(source, info.fieldName);
  return typeof value === 'function' ? (value.call(source, args, contextValue, info) as unknown) : value;
};
