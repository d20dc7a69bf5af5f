/** What users can set for GraphQL. */

/** How GraphQL is traced. The server span is named after the operation in any case. @publicApi */
export interface GraphqlOptions {
  /** Whether each operation of an HTTP request has a span below the server span: `query Users`. @default false */
  readonly operations?: boolean;
  /** Whether each call of a resolver method has a span: `UsersResolver.users`. @default false */
  readonly resolvers?: boolean;
  /** Whether each field of each object has a span, even a field without a resolver: `User.name`. @default false */
  readonly fields?: boolean;
  /** Whether the text of the query is recorded as `graphql.document`. Its strings and numbers are replaced by `*`. @default false */
  readonly document?: boolean;
  /**
   * Whether spans are named `query Users` instead of `query`. Clients choose these names, so only the first 500 different ones are used.
   * @default true
   */
  readonly operationNames?: boolean;
  /**
   * How the span of an event belongs to the span of its subscription: with `'link'` it begins a new trace, with a link. With `'parent'` it is
   * a child; the trace then grows as long as the subscription lasts. @default 'link'
   */
  readonly subscriptionEvents?: 'link' | 'parent';
}
