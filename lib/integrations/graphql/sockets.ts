/**
 * Traces Apollo's socket protocols, graphql-ws and subscriptions-transport-ws: wraps the callbacks with which their servers receive,
 * execute and answer operations.
 */
import { EventEmitter } from 'node:events';
import { type Context, context, createContextKey } from '@opentelemetry/api';
import { type ExecutionArgs, operationIn, type OperationNode } from './attributes.js';
import { ChangingContext } from './changing-context.js';
import { shapeOf } from '../../spans/running-span.js';
import { messages } from '../../options/messages.js';
import { guard, type Operations } from './operation.js';
import { OpenOperation, servedOperation } from './served.js';
import { replace, type Undo, undoAll } from '../../wrapping/replace-method.js';
import type { Carrier } from '../../propagation/payload-carrier.js';

type Callback = (this: unknown, ...args: unknown[]) => unknown;

/** The context of a connection in graphql-ws. */
interface Connection {
  readonly connectionParams?: unknown;
  readonly extra?: { readonly request?: { readonly headers?: Carrier }; readonly socket?: unknown };
}

/** The payload of a `subscribe` message. */
interface Payload {
  readonly query?: unknown;
  readonly extensions?: unknown;
}

class SentOperation extends OpenOperation {
  isIdentified = false;
  /** True if the operation ends when its message has been handled, because no callback tells its end. */
  endsWithMessage = false;

  /** Called when the message has been handled. Ends the operation if it has not ended. */
  leave(): void {
    if (this.operation.hasEnded) return;
    if (this.endsWithMessage) this.answer(undefined);
    else this.fail(new Error(messages.operationNotExecuted()));
  }
}

/** Callbacks that may replace those of graphql. An error in one ends the operation. */
const STEPS = ['parse', 'validate', 'execute', 'subscribe'];
const MESSAGE = createContextKey('nestjs-tracing/graphql-ws-message');
const SENT = createContextKey('nestjs-tracing/graphql-ws-operation');

/** Returns the options with our callbacks around the user's. `contextValue`: the default context value of resolvers. */
export function tracedGraphqlWs(config: object, contextValue: unknown, operations: Operations): object {
  const callbacks = config as Record<string, Callback | undefined>;
  const { context: own = contextValue, onConnect, onSubscribe, onOperation, onError } = callbacks;
  const underWay = new WeakMap<object, SentOperation>();
  const sentWith = (payload: unknown) => underWay.get(payload as object);
  const steps = STEPS.flatMap(name => {
    const step = callbacks[name];
    if (typeof step !== 'function') return [];
    return [[name, (...args: unknown[]) => runIn(sentIn(context.active()), () => step.apply(config, args))]];
  });
  return {
    ...config,
    ...(Object.fromEntries(steps) as object),
    onConnect: (...args: unknown[]): unknown => {
      guard(() => followMessages((args[0] as Connection).extra?.socket));
      return onConnect?.apply(config, args);
    },
    onSubscribe: (...args: unknown[]): unknown => {
      const sent = guard(() => begin(args, operations));
      if (sent !== undefined) underWay.set(args[2] as object, sent);
      return runIn(
        sent,
        () => onSubscribe?.apply(config, args),
        execution => guard(() => identify(sent, execution, operations)) ?? execution,
      );
    },
    context: (...args: unknown[]): unknown => {
      const sent = sentWith(args[2]);
      guard(() => identify(sent, args[3], operations));
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

/**
 * Returns a wrapper of `contextOf`, which computes the context value of resolvers. If the user has not configured graphql-ws, its server
 * calls no other callback. Subscriptions are traced by the resolvers of their fields.
 */
export function tracedContext(contextOf: Callback, operations: Operations): Callback {
  return function (this: unknown, ...args) {
    const call = (): unknown => contextOf.apply(this, args);
    // Arguments: connection, id, payload, execution arguments.
    const execution = args.length === 4 ? (args[3] as ExecutionArgs | undefined) : undefined;
    const node = guard(() => operationIn(execution ?? {}));
    if (node === undefined || node.operation === 'subscription') return call();
    const sent = guard(() => begin(args, operations));
    if (sent !== undefined) sent.endsWithMessage = true;
    guard(() => identify(sent, execution, operations));
    return runIn(sent, call);
  };
}

/**
 * Wraps the listener of a socket in which graphql-ws handles messages. It runs in a context that later becomes the operation's. Queries and
 * mutations end with their message.
 */
export function followMessages(socket: unknown): void {
  if (!(socket instanceof EventEmitter)) return;
  for (const listener of socket.rawListeners('message') as (Callback & { listener?: unknown })[]) {
    // Listeners for a single message, and ours, stay as they are.
    if (listener.listener !== undefined) continue;
    const following = function (this: unknown, ...args: unknown[]): unknown {
      const message = new ChangingContext(context.active());
      message.become(context.active().setValue(MESSAGE, message));
      const handled = context.with(message, () => listener.apply(this, args));
      if (handled instanceof Promise) {
        // graphql-ws closes the socket on errors that it throws here.
        const leave = (): void => sentIn(message)?.leave();
        handled.then(leave, leave);
      }
      return handled;
    };
    // Node marks wrappers with this property: removing the original listener then removes ours.
    Object.defineProperty(following, 'listener', { value: listener });
    socket.off('message', listener);
    socket.on('message', following);
  }
}

function sentIn(ctx: Context): SentOperation | undefined {
  return ctx.getValue(SENT) as SentOperation | undefined;
}

function begin([connection, , payload]: unknown[], operations: Operations): SentOperation {
  const { query } = payload as Payload;
  const { connectionParams, extra } = (connection ?? {}) as Connection;
  const sent = new SentOperation({
    operations,
    headers: carrierOf(operations, payload as Payload, connectionParams, extra?.request?.headers),
    document: typeof query === 'string' && query !== '' ? query : undefined,
  });
  const message = context.active().getValue(MESSAGE);
  if (message instanceof ChangingContext) message.become(sent.context.setValue(SENT, sent));
  return sent;
}

/** Called when the document has been parsed. Returns the arguments of the execution, or a copy of them. */
function identify(sent: SentOperation | undefined, execution: unknown, operations: Operations): unknown {
  if (sent === undefined || sent.isIdentified || typeof execution !== 'object' || execution === null) return execution;
  const { document } = execution as ExecutionArgs;
  const node = operationIn(execution);
  if (node === undefined) return execution;
  sent.isIdentified = true;
  // Persisted queries share a document, so each execution gets a copy of its operation.
  const own = operations.isEnlisted(node) ? { ...node } : node;
  sent.operation.resolved(own);
  operations.enlistDocument(own, sent.operation);
  if (own === node) return execution;
  const { definitions } = document as { definitions: readonly OperationNode[] };
  const copy = { ...(document as object), definitions: definitions.map(definition => (definition === node ? own : definition)) };
  return Reflect.set(execution, 'document', copy) ? execution : { ...execution, document: copy };
}

/** Calls a user's callback in the context of the operation. `revise` changes its result. An error fails the operation. */
function runIn(sent: SentOperation | undefined, call: () => unknown, revise = (result: unknown): unknown => result): unknown {
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
  // graphql-ws awaits every thenable.
  const shape = shapeOf(result);
  return shape === 'promise' || shape === 'thenable' ? Promise.resolve(result).then(revise, fail) : revise(result);
}

/** The fields of a SubscriptionServer that are replaced. */
interface SubscriptionServer {
  onConnect?: Callback | undefined;
  onOperation?: Callback | undefined;
  execute?: Callback | undefined;
}

interface Socket {
  readonly upgradeReq?: { readonly headers?: Carrier };
}

/**
 * Traces subscriptions-transport-ws, the default of Nest 11: its queries and mutations, and the carriers of its subscriptions. The server
 * reads callbacks from its own fields for each message. Returns how to undo it.
 */
export function traceSubscriptionServer(server: SubscriptionServer, operations: Operations): Undo {
  const { onConnect, onOperation, execute } = server;
  if (typeof execute !== 'function') return () => undefined;
  const connectionParams = new WeakMap<object, unknown>();
  const noteSender = (message: unknown, params: unknown, socket: Socket): void => {
    const { payload } = message as { payload?: Payload };
    const carrier = carrierOf(operations, payload, connectionParams.get(socket), socket.upgradeReq?.headers);
    operations.noteCarrier((params as { context?: unknown } | undefined)?.context, carrier);
  };
  const traced: SubscriptionServer = {
    onConnect(...args) {
      const [payload, socket] = args;
      guard(() => connectionParams.set(socket as object, payload));
      // Without the callback, the server continues as if it had returned true.
      return onConnect === undefined ? true : onConnect.apply(this, args);
    },
    onOperation(...args) {
      const [message, given, socket] = args;
      const note = (params: unknown): unknown => {
        guard(() => noteSender(message, params, socket as Socket));
        return params;
      };
      const params = onOperation === undefined ? given : onOperation.apply(this, args);
      return params instanceof Promise ? params.then(note) : note(params);
    },
    execute(...args) {
      const execution = args[0] as ExecutionArgs;
      return servedOperation(
        { operations, headers: operations.headersOf(execution.contextValue) },
        () => execute.apply(this, args),
        operation => operation.resolved(operationIn(execution)),
      );
    },
  };
  return undoAll(Object.entries(traced).map(([name, callback]) => replace(server, name, callback)));
}

/** Returns the carrier: that of the operation if there is one, else that of the connection. */
function carrierOf({ search }: Operations, payload: Payload | undefined, connectionParams: unknown, headers: Carrier | undefined): Carrier {
  return search.inObject(payload?.extensions) ?? search.inObject(connectionParams) ?? headers ?? {};
}
