/** Subscriptions, over whatever transport: the operation that begins one is a unit of work, and so is each event that is delivered. */
import { type Context, context, isSpanContextValid, type Link, type Span, SpanKind, trace } from '@opentelemetry/api';
import type { OperationDescription } from '../conventions/graphql.js';
import { replaceMethod } from '../local/replace-method.js';
import { isUntraced } from '../local/run-in-span.js';
import { workIn } from '../local/work.js';
import type { Arrival, Arrivals } from './arrival.js';
import { describeOperation, type ResolveInfo } from './graphql-document.js';
import { type Execution, type Operations, originalOf, showFailure } from './graphql-operation.js';
import { servedWork } from './served-work.js';
import type { Carrier, CarrierSearch } from './websocket-carrier.js';

/** The subscriptions of one application. */
export class Subscriptions {
  private readonly known = new WeakMap<object, Subscription>();

  constructor(
    private readonly operations: Operations,
    private readonly arrivals: Arrivals,
    private readonly search: CarrierSearch,
  ) {}

  /** Calls `subscribe`, which resolves to the events; the span of the operation ends when it has. */
  open(contextValue: unknown, info: ResolveInfo, subscribe: (execution: Execution) => unknown): unknown {
    const node = info.operation;
    const enclosing = this.operations.of(contextValue, info);
    const home = enclosing?.context ?? context.active();
    const subscription = new Subscription(this.operations, this.arrivals, describeOperation(node), enclosing);
    this.known.set(node, subscription);
    this.operations.enlistDocument(node, subscription);
    const begin = (): unknown => subscription.begin(subscribe);
    if (workIn(home) === undefined) return this.arrivals.serve(() => subscription.arrival(this.search.inContext(contextValue)), begin);
    // A server span that there is, as with events sent over HTTP, is that of the operation.
    return context.with(home, () => {
      servedWork()?.named(this.operations.spanName(describeOperation(node)), () => subscription.attributes());
      return begin();
    });
  }

  /** The event that is being delivered, if it belongs to a subscription that is known. */
  event({ operation }: ResolveInfo): Execution | undefined {
    const subscription = this.known.get(operation);
    subscription?.deliver();
    return subscription;
  }
}

class Subscription implements Execution {
  context: Context | undefined;
  private link: Link | undefined;
  private failure: { readonly thrown: unknown; readonly isRecorded: boolean } | undefined;
  private endEvent: (() => void) | undefined;
  /** In which events are waited for. */
  private home: Context | undefined;
  private isFollowed = false;

  constructor(
    private readonly operations: Operations,
    private readonly arrivals: Arrivals,
    private readonly description: OperationDescription,
    /** The operation that begins it, where there is one. */
    private enclosing: Execution | undefined,
  ) {}

  attributes() {
    return this.operations.attributes(this.description);
  }

  arrival(headers: Carrier): Arrival {
    const { operations, description } = this;
    const name = operations.spanName(description);
    return {
      message: { system: 'graphql', destination: description.name ?? name, headers },
      kind: SpanKind.SERVER,
      name,
      attributes: () => this.attributes(),
      fail: (span, thrown) => this.show(span, thrown),
    };
  }

  begin(subscribe: (execution: Execution) => unknown): unknown {
    this.context = this.home = context.active();
    const spanContext = workIn()?.relay === undefined ? trace.getActiveSpan()?.spanContext() : undefined;
    if (spanContext !== undefined && isSpanContextValid(spanContext)) this.link = { context: spanContext };
    const result = subscribe(this);
    return result instanceof Promise ? result.then((events: unknown) => this.follow(events)) : this.follow(result);
  }

  /** Whoever asks for the next event has dealt with the last one. */
  private follow(events: unknown): unknown {
    this.enclosing = undefined;
    if (typeof events !== 'object' || events === null) return events;
    const home = this.home ?? context.active();
    for (const method of ['next', 'return', 'throw']) {
      replaceMethod(events, method, original => {
        const end = (): void => this.finish();
        const fail = (thrown: unknown): void => this.breakOff(thrown);
        return function (...args) {
          end();
          const result = context.with(home, () => original.apply(this, args));
          if (method === 'next' && result instanceof Promise) result.then(undefined, fail);
          return result;
        };
      });
    }
    this.isFollowed = typeof Reflect.get(events, 'next') === 'function';
    return events;
  }

  /** An event has come: what its resolvers do from here on is part of its delivery. */
  deliver(): void {
    this.finish();
    this.failure = undefined;
    const { operations, description, home } = this;
    // What the subscription itself wants no span of, its events do not.
    if (home !== undefined && isUntraced(home)) return;
    const name = `event ${operations.spanName(description)}`;
    const arrival: Arrival = {
      message: { system: 'graphql', destination: description.name ?? name, headers: {} },
      kind: SpanKind.CONSUMER,
      name,
      attributes: () => this.attributes(),
      links: this.link === undefined ? [] : [this.link],
      fail: (span, thrown) => this.show(span, thrown),
    };
    const served = this.arrivals.serve<unknown>(
      () => arrival,
      () => {
        this.context = context.active();
        if (!this.isFollowed) return undefined;
        return new Promise<void>((resolve, reject) => {
          this.endEvent = () => {
            const { failure } = this;
            if (failure === undefined) resolve();
            else reject(failure.thrown);
          };
        });
      },
    );
    if (served instanceof Promise) served.catch(() => undefined);
  }

  /** In place of an event an error has come. */
  private breakOff(thrown: unknown): void {
    this.deliver();
    this.threw(thrown, false);
    this.finish();
  }

  threw(thrown: unknown, isRecorded: boolean): void {
    this.enclosing?.threw(thrown, isRecorded);
    this.failure ??= { thrown, isRecorded };
  }

  abandon(): void {
    servedWork()?.abandon();
  }

  handledBy(className: string, method: string): void {
    servedWork()?.handledBy(className, method);
  }

  private finish(): void {
    const end = this.endEvent;
    this.endEvent = undefined;
    this.context = this.home;
    end?.();
  }

  private show(span: Span, thrown: unknown): void {
    showFailure(span, this.failure?.thrown ?? originalOf(thrown), this.failure?.isRecorded === true);
  }
}
