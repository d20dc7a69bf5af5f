/**
 * Reads the document of an operation, and computes the names and attributes of GraphQL spans (semantic conventions for GraphQL servers, in
 * development). Never imports the package graphql.
 */
import type { Attributes } from '@opentelemetry/api';

/** The definition of an operation in a parsed document. */
export interface OperationNode {
  readonly kind: string;
  readonly operation?: string;
  readonly name?: { readonly value?: string };
  readonly loc?: { readonly source?: { readonly body?: string } };
  readonly selectionSet?: { readonly selections?: readonly { readonly kind?: string }[] };
}

export interface ExecutionArgs {
  readonly document?: unknown;
  readonly operationName?: string | null | undefined;
  readonly contextValue?: unknown;
}

/** Returns the operation to execute. Returns undefined if the document has several and no name is given. */
export function operationIn({ document, operationName }: ExecutionArgs): OperationNode | undefined {
  const { definitions } = (document ?? {}) as { definitions?: readonly OperationNode[] };
  const operations = definitions?.filter(({ kind }) => kind === 'OperationDefinition') ?? [];
  if (operationName === undefined || operationName === null) return operations.length === 1 ? operations[0] : undefined;
  return operations.find(operation => operation.name?.value === operationName);
}

export interface OperationDescription {
  /** `query`, `mutation` or `subscription`. Undefined if the document could not be parsed. */
  readonly type: string | undefined;
  /** The client's name for it, if any. */
  readonly name: string | undefined;
  /** The text as the client sent it. */
  readonly document?: string | undefined;
}

export function describeOperation(node: OperationNode | undefined, document?: unknown): OperationDescription {
  const text = typeof document === 'string' ? document : node?.loc?.source?.body;
  return { type: node?.operation, name: node?.name?.value, document: text };
}

/** `{type} {name}`. Clients choose names, so the options can leave them out. */
export function operationSpanName({ type, name }: OperationDescription, hasName: boolean): string {
  if (type === undefined) return 'GraphQL Operation';
  return hasName && name !== undefined ? `${type} ${name}` : type;
}

export function operationAttributes({ type, name, document }: OperationDescription, hasDocument: boolean): Attributes {
  const attributes: Attributes = {};
  if (type !== undefined) attributes['graphql.operation.type'] = type;
  if (name !== undefined) attributes['graphql.operation.name'] = name.slice(0, MAX_NAME);
  if (hasDocument && document !== undefined) attributes['graphql.document'] = withoutLiterals(document);
  return attributes;
}

/** Attributes of a field, by the names that OpenTelemetry's instrumentation of graphql uses. */
export function fieldAttributes(type: string, name: string, path: string): Attributes {
  return { 'graphql.field.name': name, 'graphql.field.path': path, 'graphql.parent.name': type };
}

/** Clients may send names of any length. */
const MAX_NAME = 256;
const MAX_DOCUMENT = 4096;
/**
 * Matches block strings (which may contain `\"""`), strings, comments and numbers, but no digits in names and variables. A string without
 * an end reaches to the end of the text.
 */
const LITERALS =
  /"""(?:\\"""|(?!\\""")[^])*?(?:"""|$)|"(?:\\.|[^"\\\n\r])*(?:"|\\?$)|#[^\n\r]*|(?<![\w$])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Returns a document without comments, and with `*` in place of strings and numbers. */
function withoutLiterals(document: string): string {
  const start = document.slice(0, 4 * MAX_DOCUMENT);
  const redacted = start.replaceAll(LITERALS, literal => (literal.startsWith('#') ? '' : literal.startsWith('"') ? '"*"' : '*'));
  const isCut = start !== document || redacted.length > MAX_DOCUMENT;
  return isCut ? `${redacted.slice(0, MAX_DOCUMENT)}…` : redacted;
}
