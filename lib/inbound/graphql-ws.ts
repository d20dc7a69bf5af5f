/**
 * graphql-ws as a source of operations: its callbacks tell what a client has sent, what of it is executed, and with which answer. It does all
 * that in one listener of the socket's messages, which is called in a context that becomes that of the operation.
 */
import { EventEmitter } from 'node:events';
import { type Context, context, createContextKey } from '@opentelemetry/api';
import { LateContext } from '../local/late-context.js';
import { shapeOf } from '../local/result-shape.js';
import { messages } from '../tracing.messages.js';
import type { Arrivals } from './arrival.js';
import { operationIn, type OperationNode } from './graphql-document.js';
import { guard } from './graphql-guard.js';
import { type GraphqlOperation, inOperation, type Operations } from './graphql-operation.js';
import { servedOperation } from './graphql-served.js';
import type { Carrier, CarrierSearch } from './websocket-carrier.js';

type Callback = (...args: unknown[]) => unknown;

/** What is executed, as graphql-ws hands it over. */
interface ExecutionArgs {
  readonly document?: unknown;
  readonly operationName?: string | null;
}

/** A client's connection, as graphql-ws hands it over. */
interface Connection {
  readonly connectionParams?: unknown;
  readonly extra?: { readonly request?: { readonly headers?: unknown }; readonly socket?: unknown };
}

/** What a client asks for. */
interface Payload {
  readonly query?: unknown;
  readonly extensions?: unknown;
}

/** An operation that a client has sent. */
interface Sent {
  readonly operation: GraphqlOperation;
  /** In which all of it is done. */
  readonly context: Context;
  isIdentified: boolean;
  isOver: boolean;
  /** It is over; the first answer or failure counts. */
  readonly answer: (answer: unknown) => void;
  readonly fail: (thrown: unknown) => void;
}

export interface GraphqlWsTracing {
  readonly operations: Operations;
  readonly arrivals: Arrivals;
  readonly search: CarrierSearch;
}

/** What an application may do in place of graphql: what is thrown there ends the operation, and nobody else is told. */
const STEPS = ['parse', 'validate', 'execute', 'subscribe'];
const MESSAGE = createContextKey('nestjs-tracing/graphql-ws-message');
const SENT = createContextKey('nestjs-tracing/graphql-ws-operation');

/** The options with ours around those of the user; `contextValue` is what operations are handed where they do not say. */
export function tracedGraphqlWs(config: object, contextValue: unknown, tracing: GraphqlWsTracing): object {
  const callbacks = config as Record<string, Callback | undefined>;
  const { context: own = contextValue, onConnect, onSubscribe, onOperation, onError } = callbacks;
  const underWay = new WeakMap<object, Sent>();
  const known = new WeakSet<OperationNode>();
  const sentWith = (payload: unknown) => underWay.get(payload as object);
  const steps = STEPS.flatMap(name => {
    const step = callbacks[name];
    if (typeof step !== 'function') return [];
    return [[name, (...args: unknown[]) => runIn(context.active().getValue(SENT) as Sent | undefined, () => step.apply(config, args))]];
  });
  return {
    ...config,
    ...(Object.fromEntries(steps) as object),
    onConnect: (...args: unknown[]): unknown => {
      guard(() => followMessages(args[0] as Connection));
      return onConnect?.apply(config, args);
    },
    onSubscribe: (...args: unknown[]): unknown => {
      const sent = guard(() => begin(args, tracing));
      if (sent !== undefined) underWay.set(args[2] as object, sent);
      return runIn(
        sent,
        () => onSubscribe?.apply(config, args),
        execution => guard(() => identify(sent, execution, known, tracing)) ?? execution,
      );
    },
    context: (...args: unknown[]): unknown => {
      const sent = sentWith(args[2]);
      guard(() => identify(sent, args[3], known, tracing));
      return runIn(sent, () => (typeof own === 'function' ? (own as Callback)(...args) : own));
    },
    onOperation: (...args: unknown[]): unknown => {
      sentWith(args[2])?.answer(args[4]);
      return onOperation?.apply(config, args);
    },
    onError: (...args: unknown[]): unknown => {
      sentWith(args[2])?.answer({ errors: args[3] });
      return onError?.apply(config, args);
    },
  };
}

/** From now on each message is handled in a context that becomes that of the operation in it, and an operation ends with its message. */
function followMessages({ extra }: Connection): void {
  const { socket } = extra ?? {};
  if (!(socket instanceof EventEmitter)) return;
  for (const listener of socket.rawListeners('message') as (Callback & { listener?: unknown })[]) {
    // Those that are for one message, and ours.
    if (listener.listener !== undefined) continue;
    const following = function (this: unknown, ...args: unknown[]): unknown {
      const message = new LateContext(context.active());
      message.become(context.active().setValue(MESSAGE, message));
      const handled = context.with(message, () => listener.apply(this, args));
      if (handled instanceof Promise) {
        // What graphql-ws throws ends there, and closes the socket.
        const leave = () => {
          const sent = message.getValue(SENT) as Sent | undefined;
          if (sent?.isOver === false) sent.fail(new Error(messages.operationNotExecuted()));
        };
        handled.then(leave, leave);
      }
      return handled;
    };
    // As Node marks wrappers: whoever takes the listener off takes ours.
    Object.defineProperty(following, 'listener', { value: listener });
    socket.off('message', listener);
    socket.on('message', following);
  }
}

function begin(args: unknown[], { operations, arrivals, search }: GraphqlWsTracing): Sent | undefined {
  const { query } = args[2] as Payload;
  const document = typeof query === 'string' && query !== '' ? query : undefined;
  const made: { sent?: Sent } = {};
  const served = servedOperation({ operations, arrivals, headers: headersOf(search, args), document }, operation => {
    return new Promise((resolve, reject) => {
      const over = (end: (value: unknown) => void) => (value: unknown) => {
        sent.isOver = true;
        end(value);
      };
      const home = inOperation(context.active(), operation);
      const sent: Sent = { operation, context: home, isIdentified: false, isOver: false, answer: over(resolve), fail: over(reject) };
      made.sent = sent;
    });
  });
  // Who has asked for it hears of it.
  if (served instanceof Promise) served.catch(() => undefined);
  const { sent } = made;
  const message = context.active().getValue(MESSAGE);
  if (sent !== undefined && message instanceof LateContext) message.become(sent.context.setValue(SENT, sent));
  return sent;
}

/** It is known what is executed; returns that, or what is to be executed in its place. */
function identify(sent: Sent | undefined, execution: unknown, known: WeakSet<OperationNode>, { operations }: GraphqlWsTracing): unknown {
  if (sent === undefined || sent.isIdentified || typeof execution !== 'object' || execution === null) return execution;
  const { document, operationName } = execution as ExecutionArgs;
  const node = operationIn(document, operationName);
  if (node === undefined) return execution;
  sent.isIdentified = true;
  // A copy of it where others are executed from the same document, as with persisted queries.
  const own = known.has(node) ? { ...node } : node;
  known.add(own);
  sent.operation.resolved(own);
  operations.enlistDocument(own, sent.operation);
  if (own === node) return execution;
  const { definitions } = document as { definitions: readonly OperationNode[] };
  const copy = { ...(document as object), definitions: definitions.map(definition => (definition === node ? own : definition)) };
  return Reflect.set(execution, 'document', copy) ? execution : { ...execution, document: copy };
}

/** Calls a callback of the user in the operation, and revises what graphql-ws gets of it; what it throws fails the operation. */
function runIn(sent: Sent | undefined, call: () => unknown, revise = (result: unknown): unknown => result): unknown {
  if (sent === undefined) return call();
  const fail = (thrown: unknown): never => {
    sent.fail(thrown);
    throw thrown;
  };
  let result: unknown;
  try {
    result = context.with(sent.context, call);
  } catch (thrown) {
    return fail(thrown);
  }
  // graphql-ws waits for whatever has a `then`.
  const shape = shapeOf(result);
  return shape === 'promise' || shape === 'thenable' ? Promise.resolve(result).then(revise, fail) : revise(result);
}

/** What came with the operation counts before what came with the connection. */
function headersOf(search: CarrierSearch, [connection, , payload]: unknown[]): Carrier {
  const { extensions } = (payload ?? {}) as Payload;
  const { connectionParams, extra } = (connection ?? {}) as Connection;
  const headers = (extra?.request?.headers ?? {}) as Carrier;
  return search.inObject(extensions) ?? search.inObject(connectionParams) ?? headers;
}
