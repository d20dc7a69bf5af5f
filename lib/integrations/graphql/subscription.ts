/** Subscriptions over any transport. The operation that starts one has a span, and each delivered event has a span. */
import { type Context, context, ROOT_CONTEXT, SpanKind } from '@opentelemetry/api';
import { recordFailure } from '../../conventions/failure.js';
import { describeOperation, type OperationDescription } from './attributes.js';
import { type Method, replaceMethod } from '../../wrapping/replace-method.js';
import { isUntraced } from '../../spans/run-in-span.js';
import { type UntracedWork, workIn } from '../../spans/work.js';
import type { InboundOperation } from '../../spans/inbound.js';
import { InboundWork, inboundWork } from '../../spans/inbound-work.js';
import type { ResolveInfo } from './field.js';
import { type Execution, guard, type Operations, originalOf } from './operation.js';
import { type Waiting, WaitingContext, waitingFor } from './changing-context.js';
import type { Carrier } from '../../propagation/payload-carrier.js';

/** How long the span of an event may wait for its delivery, in milliseconds. Later work belongs to the next event. */
const MAX_WAITING_MS = 10_000;

/** Runs the filter of a subscription in the span of the event. */
export function tracedFilter(filter: Method): Method {
  return function (...args) {
    const subscription = waitingFor();
    const call = (): unknown => filter.apply(this, args);
    return subscription === undefined ? call() : subscription.filter(call);
  };
}

/** The subscriptions of one driver. */
export class Subscriptions {
  private readonly known = new WeakMap<object, Subscription>();

  constructor(private readonly operations: Operations) {}

  /** Calls `subscribe` in the span of the operation. The span ends when `subscribe` has returned the events. */
  open(contextValue: unknown, { operation: node }: ResolveInfo, subscribe: (execution: Execution) => unknown): unknown {
    const { operations } = this;
    const enclosing = operations.of(contextValue, node);
    const home = enclosing?.context ?? context.active();
    const subscription = new Subscription(operations, describeOperation(node), enclosing);
    this.known.set(node, subscription);
    operations.enlistDocument(node, subscription);
    const begin = (): unknown => subscription.begin(subscribe);
    if (workIn(home) === undefined) {
      return operations.inbound.run(() => subscription.opening(operations.headersOf(contextValue)), begin);
    }
    // Over HTTP (server-sent events) the SERVER span of the request is the span of the operation.
    return context.with(home, () => {
      if (enclosing === undefined) subscription.nameRequest();
      return begin();
    });
  }

  /** Wraps the resolver that returns the events before they are filtered. */
  tracedSource(subscribe: Method): Method {
    const { known } = this;
    return function (...args) {
      const { operation } = (args[3] ?? {}) as Partial<ResolveInfo>;
      const subscription = operation && known.get(operation);
      const call = (): unknown => subscribe.apply(this, args);
      return subscription === undefined ? call() : subscription.source(call);
    };
  }

  /** Returns the execution of the event that is delivered. Returns undefined if the subscription is not known. */
  event({ operation }: ResolveInfo): Execution | undefined {
    const subscription = this.known.get(operation);
    subscription?.deliver();
    return subscription;
  }
}

class Subscription implements Execution, Waiting {
  context: Context | undefined;
  private failure: { readonly thrown: unknown } | undefined;
  /** The work of the current event. */
  private event: InboundWork | UntracedWork | { readonly context: Context } | undefined;
  private openedAt = 0;
  private isDelivering = false;
  private readonly waiting = new WaitingContext(this);
  /** The context of the operation, after it has begun. */
  private home: Context = ROOT_CONTEXT;
  private isFollowed = false;
  /** True if an async generator computes the events. Other iterators begin to wait for events in the first `next()`. */
  private isGenerator = false;
  private hasWaited = false;
  private isWaiting = false;
  private filterFailure: { readonly thrown: unknown } | undefined;

  constructor(
    private readonly operations: Operations,
    private readonly description: OperationDescription,
    /** The operation that starts it, if one is known. */
    private enclosing: Execution | undefined,
  ) {}

  /** Describes the operation that starts the subscription. */
  opening(headers: Carrier): InboundOperation {
    return this.describe(SpanKind.SERVER, this.name, headers);
  }

  nameRequest(): void {
    inboundWork()?.named(this.name, () => this.operations.attributes(this.description));
  }

  begin(subscribe: (execution: Execution) => unknown): unknown {
    this.context = this.home = context.active();
    const result = subscribe(this);
    return result instanceof Promise ? result.then((events: unknown) => this.follow(events)) : this.follow(result);
  }

  /** Calls the resolver that returns the events. Mercurius calls it when the first event is requested. */
  source(subscribe: () => unknown): unknown {
    const note = (events: unknown): unknown => {
      this.isGenerator = isGenerator(events);
      return events;
    };
    const { home } = this;
    const result = waitingFor() === this ? context.with(home, subscribe) : subscribe();
    return result instanceof Promise ? result.then(note) : note(result);
  }

  /** Wraps the iterator: a call of `next()` means that the last event is done. */
  private follow(events: unknown): unknown {
    this.enclosing = undefined;
    if (typeof events !== 'object' || events === null) return events;
    if (!this.isGenerator) this.isGenerator = isGenerator(events);
    const wrap = (method: string, run: (call: () => unknown) => unknown): void => {
      replaceMethod(events, method, original => {
        return function (...args) {
          return run(() => original.apply(this, args));
        };
      });
    };
    wrap('next', call => this.next(call));
    for (const method of ['return', 'throw']) wrap(method, call => this.leave(() => context.with(this.home, call)));
    this.isFollowed = typeof Reflect.get(events, 'next') === 'function';
    return events;
  }

  /** Calls `next()` of the source in the context of the next event. */
  private next(call: () => unknown): unknown {
    this.finish();
    // The events of an untraced subscription are not traced.
    if (isUntraced(this.home)) return context.with(this.home, call);
    const result = context.with(this.waiting, call);
    if (!(result instanceof Promise)) return result;
    this.isWaiting = true;
    const came = (answer: unknown): void => {
      this.hasWaited = true;
      this.isWaiting = false;
      if ((answer as IteratorResult<unknown> | undefined)?.done === true) this.end();
    };
    const failed = (thrown: unknown): void => {
      this.isWaiting = false;
      this.breakOff(thrown);
      this.end();
    };
    result.then(
      answer => guard(() => came(answer)),
      (thrown: unknown) => guard(() => failed(thrown)),
    );
    return result;
  }

  get contextOfWaiting(): Context {
    const { event } = this;
    if (event === undefined) return this.hasWaited || this.isGenerator ? this.open() : this.home;
    // A source that polls must not put all polls into one trace.
    if (!this.isDelivering && performance.now() - this.openedAt > MAX_WAITING_MS) this.finish();
    return this.open();
  }

  /** Called when an event has come. If the filter refuses it and nothing was done for it, it has no span. */
  filter(call: () => unknown): unknown {
    this.hasWaited = true;
    // The source filters the next event while this one is delivered.
    if (this.isDelivering) return call();
    const settle = (isWanted: unknown): void => {
      if (!isWanted) this.finish();
    };
    const fail = (thrown: unknown): void => {
      this.breakOff(thrown);
      this.filterFailure = { thrown };
    };
    try {
      const isWanted = call();
      if (isWanted instanceof Promise) isWanted.then(settle, fail);
      else settle(isWanted);
      return isWanted;
    } catch (thrown) {
      fail(thrown);
      throw thrown;
    }
  }

  /** Called when an event is delivered: its resolvers run in its span. */
  deliver(): void {
    if (isUntraced(this.home)) return;
    this.context = this.open();
    this.isDelivering = true;
    if (!this.isFollowed) this.finish();
  }

  /** Returns the context of the event. Opens its span at the first call. */
  private open(): Context {
    if (this.event !== undefined) return this.event.context;
    const { operations, home } = this;
    const { subscriptionEvents } = operations.application.graphql;
    const event = { ...this.describe(SpanKind.CONSUMER, `event ${this.name}`, {}), within: home, origin: subscriptionEvents };
    this.event = operations.inbound.start(() => event) ?? { context: home };
    this.openedAt = performance.now();
    return this.event.context;
  }

  private get name(): string {
    return this.operations.spanName(this.description);
  }

  private describe(kind: InboundOperation['kind'], name: string, headers: Carrier): InboundOperation {
    const { operations, description } = this;
    return {
      message: { system: 'graphql', destination: description.name ?? name, headers },
      kind,
      name,
      attributes: () => operations.attributes(description),
      fail: (span, thrown) => recordFailure(span, this.failure?.thrown ?? originalOf(thrown)),
    };
  }

  /** Called when the source has failed instead of returning an event. */
  private breakOff(thrown: unknown): void {
    // The error comes from the filter and has ended the event already.
    if (this.filterFailure?.thrown === thrown) return;
    this.open();
    this.threw(thrown);
    this.finish();
  }

  threw(thrown: unknown): void {
    this.enclosing?.threw(thrown);
    this.failure ??= { thrown };
  }

  abandon(): void {
    inboundWork()?.abandon();
  }

  handledBy(className: string, method: string): void {
    inboundWork()?.handledBy(className, method);
  }

  private finish(): void {
    const { event, failure } = this;
    this.event = this.failure = undefined;
    this.isDelivering = false;
    this.context = this.home;
    if (!(event instanceof InboundWork)) return;
    if (failure === undefined) event.end();
    else event.fail(failure.thrown);
  }

  /** Called when the client unsubscribes. An async generator that computes an event finishes that first. */
  private leave(call: () => unknown): unknown {
    if (!this.isGenerator || !this.isWaiting) {
      this.end();
      return call();
    }
    this.finish();
    const left = call();
    const end = (): void => this.end();
    if (left instanceof Promise) left.then(end, end);
    else end();
    return left;
  }

  private end(): void {
    this.waiting.isOver = true;
    this.finish();
  }
}

function isGenerator(events: unknown): boolean {
  return Object.prototype.toString.call(events) === '[object AsyncGenerator]';
}
