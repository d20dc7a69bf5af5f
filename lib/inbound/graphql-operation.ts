/** One GraphQL operation: what it is called, in which context its resolvers run, and how it ends. */
import { type Context, context, createContextKey, type Span, SpanKind, trace } from '@opentelemetry/api';
import { markFailure, recordFailure } from '../conventions/failure.js';
import { operationAttributes, type OperationDescription, operationSpanName } from '../conventions/graphql.js';
import { RunningSpan } from '../local/running-span.js';
import type { TracingApplication } from '../local/work.js';
import { describeOperation, type OperationNode, type ResolveInfo } from './graphql-document.js';
import { type ServedWork, servedWork } from './served-work.js';

/** Names that clients may still bring into the names of spans; what comes later goes by its type. */
const MAX_NAMES = 500;
const MAX_NAME_LENGTH = 100;
const OPERATION = createContextKey('nestjs-tracing/graphql-operation');

/** What resolvers belong to. */
export interface Execution {
  /** In which they run; the active one where nothing else is known. */
  readonly context: Context | undefined;
  /** A resolver failed; whether its own span shows the exception already. */
  threw(thrown: unknown, isRecorded: boolean): void;
  /** A resolver of its root is under way that wants no span. */
  abandon(): void;
  /** A resolver of its root is under way. */
  handledBy(className: string, method: string): void;
}

/** How an operation has come that is no request's. */
export interface OperationEntry {
  /** Whether rules want no span of it, where they could not be asked before it was read. */
  isIgnored(description: OperationDescription): boolean;
}

/** The operations of one application that are under way. */
export class Operations {
  private readonly names = new Set<string>();
  private readonly byNode = new WeakMap<object, Execution>();
  private readonly byContextValue = new WeakMap<object, Execution>();
  private readonly counts = new WeakMap<ServedWork, number>();

  constructor(readonly application: TracingApplication) {}

  /** The name of an operation's span. */
  spanName(description: OperationDescription): string {
    return operationSpanName(description, this.application.graphql.operationNames && this.isKnown(description.name));
  }

  attributes(description: OperationDescription) {
    return operationAttributes(description, this.application.graphql.document);
  }

  /** From now on resolvers that are handed `contextValue` belong to `execution`. */
  enlist(contextValue: unknown, execution: Execution): void {
    if (typeof contextValue === 'object' && contextValue !== null) this.byContextValue.set(contextValue, execution);
  }

  /** As {@link enlist}, for documents that are parsed for each execution. */
  enlistDocument(node: OperationNode, execution: Execution): void {
    this.byNode.set(node, execution);
  }

  of(contextValue: unknown, { operation }: ResolveInfo): Execution | undefined {
    const known = this.byNode.get(operation);
    if (known !== undefined) return known;
    const byContext = typeof contextValue === 'object' && contextValue !== null ? this.byContextValue.get(contextValue) : undefined;
    return byContext ?? activeOperation();
  }

  /** One more operation is part of `work`. */
  count(work: ServedWork): void {
    this.counts.set(work, (this.counts.get(work) ?? 0) + 1);
  }

  /** Whether `work` has one operation only, as far as is known: those of one request begin before any of them is executed. */
  isSingle(work: ServedWork): boolean {
    return this.counts.get(work) === 1;
  }

  private isKnown(name: string | undefined): boolean {
    if (name === undefined || name.length > MAX_NAME_LENGTH) return false;
    if (this.names.size < MAX_NAMES) this.names.add(name);
    return this.names.has(name);
  }
}

/** The operation that the active context is in. */
export function activeOperation(): GraphqlOperation | undefined {
  return context.active().getValue(OPERATION) as GraphqlOperation | undefined;
}

/** `ctx`, in `operation`. */
export function inOperation(ctx: Context, operation: GraphqlOperation): Context {
  return ctx.setValue(OPERATION, operation);
}

/** An operation within a request whose span there is. */
export class GraphqlOperation implements Execution {
  /** What the operation is all of; an operation that a handler executes is not. */
  private readonly work: ServedWork | undefined;
  private readonly running: RunningSpan | undefined;
  private readonly called: Context = context.active();
  private isKnown = false;
  private failure: { readonly thrown: unknown; readonly isRecorded: boolean } | undefined;
  private hasSingleRoot = false;
  private isOver = false;

  /** `hasSpan`: a span of its own, below the active one. */
  constructor(
    private readonly operations: Operations,
    /** The path of the endpoint, as it is declared. */
    route: string | undefined,
    hasSpan: boolean,
    /** As far as it is known before it is read. */
    private readonly document?: string,
    /** It has come by itself: no request's context is active around its resolvers. */
    private readonly entry?: OperationEntry,
  ) {
    const work = servedWork();
    this.work = work?.isTaken === true ? undefined : work;
    if (this.work !== undefined) {
      operations.count(this.work);
      if (route !== undefined) this.work.routed(route);
    }
    if (!hasSpan) return;
    const { application } = operations;
    const span = application.unsampledSpan(this.called) ?? application.tracer.startSpan('GraphQL Operation', internal, this.called);
    this.running = new RunningSpan(span, trace.setSpan(this.called, span));
  }

  /** Where it is active already there is nothing to bring back, and somebody else's span may be active meanwhile. */
  get context(): Context | undefined {
    if (this.running !== undefined) return this.running.context;
    return this.entry === undefined || activeOperation() === this ? undefined : this.called;
  }

  /** It is known what is executed. */
  resolved(node: OperationNode | undefined, document = this.document): void {
    const description = describeOperation(node, document);
    this.isKnown = true;
    const [first, ...others] = node?.selectionSet?.selections ?? [];
    // A fragment may hold any number of fields.
    this.hasSingleRoot = first?.kind === 'Field' && others.length === 0;
    const { work, operations } = this;
    if (this.entry?.isIgnored(description) === true) {
      work?.abandon();
      return;
    }
    const name = operations.spanName(description);
    work?.named(name, () => (operations.isSingle(work) ? operations.attributes(description) : {}));
    const span = this.running?.span;
    if (span?.isRecording() !== true) return;
    span.updateName(name);
    span.setAttributes(operations.attributes(description));
  }

  threw(thrown: unknown, isRecorded: boolean): void {
    this.failure ??= { thrown, isRecorded };
  }

  abandon(): void {
    this.workOfRoot?.abandon();
  }

  handledBy(className: string, method: string): void {
    this.workOfRoot?.handledBy(className, method);
  }

  /** The work that consists of one root field, if it does. */
  private get workOfRoot(): ServedWork | undefined {
    const { work } = this;
    return work !== undefined && this.hasSingleRoot && this.operations.isSingle(work) ? work : undefined;
  }

  /** `errors` are those of the answer. */
  end(errors: readonly unknown[] = []): void {
    if (this.isOver) return;
    this.isOver = true;
    if (errors.length > 0) this.threw(originalOf(errors[0]), false);
    const { failure, running, work, entry } = this;
    // It could not be read: rules know it by the name that its span came with.
    if (!this.isKnown && entry?.isIgnored(describeOperation(undefined)) === true) work?.abandon();
    // Where it could not be read nothing has been executed: the status of the answer says so, if it has one.
    if (failure !== undefined && running === undefined && (this.isKnown || entry !== undefined)) {
      work?.answeredWith(failure.thrown, failure.isRecorded);
    }
    if (running === undefined || work?.relay !== undefined) return;
    if (failure !== undefined) showFailure(running.span, failure.thrown, failure.isRecorded);
    running.end();
  }
}

const internal = { kind: SpanKind.INTERNAL };

/** Marks a span failed; the exception itself stands on one span only. */
export function showFailure(span: Span, thrown: unknown, isRecorded: boolean): void {
  if (isRecorded) markFailure(span, thrown);
  else recordFailure(span, thrown);
}

/** What a resolver threw, out of the error that graphql made of it. */
export function originalOf(error: unknown): unknown {
  const { originalError } = (typeof error === 'object' && error !== null ? error : {}) as { originalError?: unknown };
  return originalError ?? error;
}
