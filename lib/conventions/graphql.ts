/** What spans of GraphQL are called and carry (semantic conventions for GraphQL servers, in development). */
import type { Attributes } from '@opentelemetry/api';

/** An operation as far as its document and its sender say it. */
export interface OperationDescription {
  /** `query`, `mutation`, `subscription`; unknown where the document could not be read. */
  readonly type: string | undefined;
  /** The client's name for it, if any. */
  readonly name: string | undefined;
  /** As it was sent. */
  readonly document?: string | undefined;
}

/** `{type} {name}`; names are the client's to choose, so they are left out on demand. */
export function operationSpanName({ type, name }: OperationDescription, hasName: boolean): string {
  if (type === undefined) return 'GraphQL Operation';
  return hasName && name !== undefined ? `${type} ${name}` : type;
}

/** Attributes of an operation. */
export function operationAttributes({ type, name, document }: OperationDescription, hasDocument: boolean): Attributes {
  const attributes: Attributes = {};
  if (type !== undefined) attributes['graphql.operation.type'] = type;
  if (name !== undefined) attributes['graphql.operation.name'] = name.slice(0, MAX_NAME);
  if (hasDocument && document !== undefined) attributes['graphql.document'] = withoutLiterals(document);
  return attributes;
}

/** Attributes of a field, named as OpenTelemetry's instrumentation of graphql has them. */
export function fieldAttributes(type: string, name: string, path: string): Attributes {
  return { 'graphql.field.name': name, 'graphql.field.path': path, 'graphql.parent.name': type };
}

/** Clients choose names, of any length. */
const MAX_NAME = 256;
const MAX_DOCUMENT = 4096;
/**
 * Block strings, in which `\"""` is text, strings, comments, numbers; a name may hold digits, and so may a variable. A string that is cut
 * off goes on to the end.
 */
const LITERALS =
  /"""(?:\\"""|(?!\\""")[^])*?(?:"""|$)|"(?:\\.|[^"\\\n\r])*(?:"|\\?$)|#[^\n\r]*|(?<![\w$])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** A document whose strings and numbers are replaced by `*`, without comments. */
function withoutLiterals(document: string): string {
  const start = document.slice(0, 4 * MAX_DOCUMENT);
  const redacted = start.replaceAll(LITERALS, literal => (literal.startsWith('#') ? '' : literal.startsWith('"') ? '"*"' : '*'));
  const isCut = start !== document || redacted.length > MAX_DOCUMENT;
  return isCut ? `${redacted.slice(0, MAX_DOCUMENT)}…` : redacted;
}
