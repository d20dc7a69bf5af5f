/**
 * Traces operations that the package graphql executes for a program which no driver of Nest knows, such as a handler or middleware that
 * calls `execute()`. From version 17 on, the package announces them on a diagnostics channel.
 */
import { tracingChannel } from 'node:diagnostics_channel';
import { context } from '@opentelemetry/api';
import { contextStore } from '../../spans/context.js';
import { isUntraced } from '../../spans/run-in-span.js';
import { workIn } from '../../spans/work.js';
import { type Undo, undoAll } from '../../wrapping/replace-method.js';
import { type ExecutionArgs, operationIn } from './attributes.js';
import { activeOperation, GraphqlOperation, guard, inOperation, type Operations } from './operation.js';

/** All messages of one execution are the same object. */
interface Execution extends ExecutionArgs {
  readonly error?: unknown;
  readonly result?: unknown;
  [OPERATION]?: GraphqlOperation | undefined;
}

const OPERATION = Symbol('nestjs-tracing/graphql-operation');

/** `operations`: those of no driver. Subscriptions have no span. */
export function followExecutions(operations: Operations): Undo {
  const channels = tracingChannel<unknown, Execution>('graphql:execute');
  const start = (message: Execution): void => {
    guard(() => {
      message[OPERATION] ??= open(operations, message);
    });
  };
  const settled = (message: Execution): void => {
    const operation = message[OPERATION];
    if (operation === undefined || !('result' in message || 'error' in message)) return;
    guard(() => operation.end(message.error === undefined ? errorsOf(message.result) : [message.error]));
  };
  const subscribers = { start() {}, end: settled, asyncStart: settled, asyncEnd() {}, error: settled };
  channels.subscribe(subscribers);
  const steps: Undo[] = [() => channels.unsubscribe(subscribers)];
  const store = contextStore();
  if (store === undefined) {
    channels.start.subscribe(start as never);
    return undoAll([...steps, () => channels.start.unsubscribe(start as never)]);
  }
  // Resolvers run in the span of the operation. The store is asked before the subscribers are.
  channels.start.bindStore(store, message => {
    start(message);
    const operation = message[OPERATION];
    const ctx = operation?.context ?? context.active();
    return operation === undefined ? ctx : inOperation(ctx, operation);
  });
  return undoAll([...steps, () => channels.start.unbindStore(store)]);
}

/** Returns undefined for an operation inside of another one, and where nothing is traced. */
function open(operations: Operations, message: Execution): GraphqlOperation | undefined {
  if (workIn()?.application !== operations.application || isUntraced(context.active())) return undefined;
  if (activeOperation() !== undefined) return undefined;
  const operation = new GraphqlOperation(operations);
  operation.resolved(operationIn(message));
  return operation;
}

function errorsOf(result: unknown): readonly unknown[] {
  const errors: unknown = typeof result === 'object' && result !== null && 'errors' in result ? result.errors : undefined;
  return Array.isArray(errors) ? errors : [];
}
