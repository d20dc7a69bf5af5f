/** GraphQL operations in flight: the name of each, the context of its resolvers, and its end. */
import { type Context, context, createContextKey, SpanKind } from '@opentelemetry/api';
import { describeOperation, operationAttributes, type OperationDescription, type OperationNode, operationSpanName } from './attributes.js';
import { messages } from '../../options/messages.js';
import { reportTrouble } from '../../options/trouble.js';
import { type Carrier, CarrierSearch } from '../../propagation/payload-carrier.js';
import type { InboundOperations } from '../../spans/inbound.js';
import { type InboundWork, inboundWork } from '../../spans/inbound-work.js';
import { openSpan } from '../../spans/run-in-span.js';
import type { RunningSpan } from '../../spans/running-span.js';
import type { TracingApplication } from '../../spans/work.js';

/** How many names chosen by clients may become span names. Further operations are named by their type. */
const MAX_NAMES = 500;
const MAX_NAME_LENGTH = 100;
const OPERATION = createContextKey('nestjs-tracing/graphql-operation');

/** Returns the result of `call`. If tracing fails in it, the error is logged once and undefined is returned. */
export function guard<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    reportTrouble('inbound.graphql', messages.messageNotTraced(), error);
    return undefined;
  }
}

/** The operation or subscription that a resolver belongs to. */
export interface Execution {
  /** The context that resolvers run in. Undefined for the active context. */
  readonly context: Context | undefined;
  /** Called when a resolver has failed. */
  threw(thrown: unknown): void;
  /** Called when the resolver of a root field has `@NoSpan()`. */
  abandon(): void;
  /** Called with the method that resolves a root field. */
  handledBy(className: string, method: string): void;
}

/** The operations of one driver. */
export class Operations {
  /** The declared path of the endpoint. */
  route: string | undefined;
  /** True if another instrumentation makes the spans of operations and resolvers. */
  isLeftToOthers = false;
  readonly search: CarrierSearch;
  private readonly names = new Set<string>();
  private readonly byNode = new WeakMap<object, Execution>();
  private readonly byContextValue = new WeakMap<object, Execution>();
  private readonly carriers = new WeakMap<object, Carrier | undefined>();
  private readonly counts = new WeakMap<InboundWork, number>();

  constructor(
    readonly application: TracingApplication,
    readonly inbound: InboundOperations,
  ) {
    this.search = new CarrierSearch(application.propagator.fields(), headers => inbound.hasContext(headers));
  }

  /** True if operations of requests have spans of their own. */
  get haveSpans(): boolean {
    const { graphql, isEnabled } = this.application;
    return isEnabled && graphql.operations && !this.isLeftToOthers;
  }

  spanName(description: OperationDescription): string {
    return operationSpanName(description, this.application.graphql.operationNames && this.isKnown(description.name));
  }

  attributes(description: OperationDescription) {
    return operationAttributes(description, this.application.graphql.document);
  }

  /** Assigns all resolvers that get `contextValue` to `execution`. */
  enlist(contextValue: unknown, execution: Execution): void {
    if (isObject(contextValue)) this.byContextValue.set(contextValue, execution);
  }

  /** Assigns all resolvers of an operation definition to `execution`. Nothing else may execute the same definition. */
  enlistDocument(node: OperationNode, execution: Execution): void {
    this.byNode.set(node, execution);
  }

  isEnlisted(node: OperationNode): boolean {
    return this.byNode.has(node);
  }

  of(contextValue: unknown, node: OperationNode): Execution | undefined {
    const byContextValue = isObject(contextValue) ? this.byContextValue.get(contextValue) : undefined;
    return this.byNode.get(node) ?? byContextValue ?? activeOperation();
  }

  /** Stores the carrier of an operation whose context value does not contain it. */
  noteCarrier(contextValue: unknown, carrier: Carrier): void {
    if (!isObject(contextValue)) return;
    // If several operations have the same context value, it is unknown which of them the carrier belongs to.
    this.carriers.set(contextValue, this.carriers.has(contextValue) ? undefined : carrier);
  }

  /** Returns the carrier of an operation that came over a socket. */
  headersOf(contextValue: unknown): Carrier {
    const noted = isObject(contextValue) ? this.carriers.get(contextValue) : undefined;
    return noted ?? this.search.inContext(contextValue);
  }

  /** Counts one more operation of `work`. */
  count(work: InboundWork): void {
    this.counts.set(work, (this.counts.get(work) ?? 0) + 1);
  }

  /** Returns true if `work` has one operation only. All operations of a request begin before the first of them is executed. */
  isSingle(work: InboundWork): boolean {
    return this.counts.get(work) === 1;
  }

  private isKnown(name: string | undefined): boolean {
    if (name === undefined || name.length > MAX_NAME_LENGTH) return false;
    if (this.names.size < MAX_NAMES) this.names.add(name);
    return this.names.has(name);
  }
}

export function activeOperation(): GraphqlOperation | undefined {
  return context.active().getValue(OPERATION) as GraphqlOperation | undefined;
}

export function inOperation(ctx: Context, operation: GraphqlOperation): Context {
  return ctx.setValue(OPERATION, operation);
}

/** An operation of a request, or an operation that came over a socket and has its own inbound work. */
export class GraphqlOperation implements Execution {
  /** The inbound work that the operation is part of. Undefined if a handler executes the operation. */
  private readonly work: InboundWork | undefined;
  /** The operation's own span, a child of the request's span. */
  private readonly running: RunningSpan | undefined;
  private readonly called: Context = context.active();
  private isKnown = false;
  private failure: { readonly thrown: unknown } | undefined;
  private hasSingleRoot = false;
  private isOver = false;

  constructor(
    private readonly operations: Operations,
    /** The text of its document, if it is known before it is parsed. */
    private readonly document?: string,
    /** For an operation over a socket: returns true if a rule ignores it. Called when its document has been parsed. */
    private readonly isIgnored?: (description: OperationDescription) => boolean,
  ) {
    const work = inboundWork();
    this.work = work?.isTaken === true ? undefined : work;
    if (this.work !== undefined) operations.count(this.work);
    if (isIgnored !== undefined) return;
    if (operations.route !== undefined) this.work?.routed(operations.route);
    if (operations.haveSpans) {
      this.running = openSpan(operations.application, 'GraphQL Operation', { kind: SpanKind.INTERNAL }, this.called);
    }
  }

  /** Undefined if the context is active already: a span of another instrumentation may be active inside it. */
  get context(): Context | undefined {
    if (this.running !== undefined) return this.running.context;
    return this.isIgnored === undefined || activeOperation() === this ? undefined : this.called;
  }

  get hasEnded(): boolean {
    return this.isOver;
  }

  /** Called when the document has been parsed. `node` is the operation to execute. */
  resolved(node: OperationNode | undefined, document = this.document): void {
    const description = describeOperation(node, document);
    this.isKnown = true;
    const [first, ...others] = node?.selectionSet?.selections ?? [];
    // A fragment may contain any number of fields.
    this.hasSingleRoot = first?.kind === 'Field' && others.length === 0;
    const { work, operations } = this;
    if (this.isIgnored?.(description) === true) {
      work?.abandon();
      return;
    }
    const name = operations.spanName(description);
    work?.named(name, () => (operations.isSingle(work) ? operations.attributes(description) : {}));
    const span = this.running?.span;
    if (span?.isRecording() === true) span.updateName(name).setAttributes(operations.attributes(description));
  }

  threw(thrown: unknown): void {
    this.failure ??= { thrown };
  }

  abandon(): void {
    this.workOfRoot?.abandon();
  }

  handledBy(className: string, method: string): void {
    this.workOfRoot?.handledBy(className, method);
  }

  /** The work, if it consists of one root field. */
  private get workOfRoot(): InboundWork | undefined {
    const { work } = this;
    return work !== undefined && this.hasSingleRoot && this.operations.isSingle(work) ? work : undefined;
  }

  /** Ends the operation. `errors`: the errors of the answer. */
  end(errors: readonly unknown[] = []): void {
    if (this.isOver) return;
    this.isOver = true;
    if (errors.length > 0) this.threw(originalOf(errors[0]));
    const { failure, running, work, isIgnored } = this;
    // The document could not be parsed. Rules get the name that the span was opened with.
    if (!this.isKnown && isIgnored?.(describeOperation(undefined)) === true) work?.abandon();
    if (running === undefined) {
      // If a document cannot be parsed, nothing is executed, and the status of the response shows the error.
      if (failure !== undefined && (this.isKnown || isIgnored !== undefined)) work?.answeredWith(failure.thrown);
    } else if (work?.passthrough === undefined) {
      if (failure === undefined) running.end();
      else running.fail(failure.thrown);
    }
  }
}

/** Returns the error that a resolver threw. The package graphql wraps it in its own error. */
export function originalOf(error: unknown): unknown {
  const { originalError } = (isObject(error) ? error : {}) as { originalError?: unknown };
  return originalError ?? error;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
