/**
 * Traces `ioredis`: clients and clusters that are found, by their methods, and from 5.11 on all others by the channel of the library. A
 * client knows who has called it, also if it sends the command later or on another connection.
 */
import { tracingChannel } from 'node:diagnostics_channel';
import { type Context, context, ROOT_CONTEXT } from '@opentelemetry/api';
import { contextStore, inContext } from '../../../spans/context.js';
import { outboundIn, type OutboundWork } from '../../../spans/outbound.js';
import { runTracked } from '../../../spans/track.js';
import { hasMethods, isTouchable, memberOf } from '../../../wrapping/has-methods.js';
import { type Method, replaceMethod, type Undo, undoAll } from '../../../wrapping/replace-method.js';
import { Installations } from '../../../wrapping/shared-installation.js';
import type { DatabaseAddress } from '../attributes.js';
import type { DatabaseLibrary, Trace } from '../library.js';
import { isWrappedByOthers, loadedModules } from '../official.js';
import { startCommand } from '../query.js';
import { commandStarted, listenTo } from './channel.js';
import { type BatchMode, describeRedisBatch, describeRedisCommand, failWithFirstError } from './commands.js';

export const ioredis: DatabaseLibrary = {
  name: 'ioredis',
  find: value => (hasMethods(value, 'sendCommand', 'defineCommand', 'pipeline', 'multi', 'duplicate', 'connect') ? value : undefined),
  install: (client, trace) => installOnClient(client, trace),
  listen() {
    return undoAll([
      listenTo('ioredis:command', (message, caller) =>
        isTracedElsewhere() ? undefined : commandStarted(message, message.args ?? [], caller),
      ),
      connectOutsideOfRequests(),
    ]);
  },
};

/** Commands that wait for the connection would belong to the request that opens it. Outside of a request they get no span. */
function connectOutsideOfRequests(): Undo {
  const store = contextStore();
  if (store === undefined) return () => undefined;
  const { start } = tracingChannel('ioredis:connect');
  start.bindStore(store, () => ROOT_CONTEXT);
  return () => void start.unbindStore(store);
}

/** The messages name no client, so the classes of the loaded copies are asked. */
function isTracedElsewhere(): boolean {
  return loadedModules('ioredis/built/Redis.js').some(loaded => {
    const send = (loaded as { default?: { prototype?: { sendCommand?: object } } }).default?.prototype?.sendCommand;
    return send !== undefined && isWrappedByOthers(send);
  });
}

/** The used members of a command. */
interface Command {
  readonly name: string;
  readonly args: readonly unknown[];
}

/** The used members of a client. */
interface Client {
  readonly options?: {
    readonly host?: string;
    readonly port?: number;
    readonly path?: string;
    readonly db?: number;
    readonly enableAutoPipelining?: boolean;
  };
  readonly condition?: { readonly select?: number } | undefined;
}

/** The used members of a cluster. It has a client for each node. */
interface Cluster {
  nodes(): readonly object[];
  on(event: '+node', listener: (node: object) => void): unknown;
  off(event: '+node', listener: (node: object) => void): unknown;
}

/** The context in which each command was called. A client gets a command again when its connection is ready. */
const calls = new WeakMap<object, Context>();

function installOnClient(client: object, trace: Trace): Undo {
  const copies = new Installations();
  return undoAll([
    copies.undo,
    isCluster(client) ? traceNodes(client, trace) : () => undefined,
    replaceMethod(client, 'sendCommand', send => {
      return function (...args) {
        return sendTraced(client, send, this, args);
      };
    }),
    ...(['pipeline', 'multi'] as const).map(name =>
      replaceMethod(client, name, make => {
        return function (...args) {
          const pipeline = make.apply(this, args);
          if (isTouchable(pipeline) && hasMethods(pipeline, 'exec', 'addBatch') && !isOfficial(client)) traceBatch(client, pipeline);
          return pipeline;
        };
      }),
    ),
    // A connection outlives the request that opens it: its events must not run in the context of that request.
    replaceMethod(client, 'connect', connect => {
      return function (callback, ...others) {
        const bound: unknown = typeof callback === 'function' ? context.bind(context.active(), callback) : callback;
        return inContext(ROOT_CONTEXT, connect, this, bound, ...others);
      };
    }),
    replaceMethod(client, 'duplicate', duplicate => {
      return function (...args) {
        // Most copies connect at once.
        const copy = inContext(ROOT_CONTEXT, duplicate, this, ...args);
        if (isTouchable(copy)) copies.add(copy, () => trace(copy));
        return copy;
      };
    }),
  ]);
}

/** A node knows the address that the span of the cluster lacks. */
function traceNodes(cluster: Cluster, trace: Trace): Undo {
  const nodes = new Installations();
  const add = (node: object): void => nodes.add(node, () => trace(node));
  for (const node of cluster.nodes()) add(node);
  cluster.on('+node', add);
  return undoAll([nodes.undo, () => void cluster.off('+node', add)]);
}

function sendTraced(client: object, send: Method, self: unknown, args: unknown[]): unknown {
  const [command, stream] = args as [Command, unknown];
  if (isWrappedByOthers(send)) return send.apply(self, args);
  const call = calls.get(command);
  const describe = () => describeRedisCommand(command.name, command.args);
  const caller = call ?? context.active();
  const isInside = outboundIn(caller) !== undefined;
  // Opens no span then, but adds the address.
  if (isInside) startRedis(client, describe, caller);
  if (call !== undefined) return inContext(call, send, self, ...args);
  // The commands of a pipeline belong to its span. One without a span is ignored, or has commands of several requests.
  if (stream !== undefined && !isInside) return inContext(ROOT_CONTEXT, send, self, ...args);
  const work = stream === undefined && !isInside ? startRedis(client, describe, caller) : undefined;
  calls.set(command, work?.context ?? caller);
  return work === undefined ? send.apply(self, args) : runTracked(work, () => send.apply(self, args));
}

/** A pipeline opens its span when it is executed, once: it calls itself again if its cluster must try again. */
function traceBatch(client: object, pipeline: object): void {
  let isSent = false;
  if ((client as Client).options?.enableAutoPipelining === true) traceQueue(client, pipeline);
  replaceMethod(pipeline, 'exec', exec => {
    return function (...args) {
      if (isSent || isFilledByLibrary(pipeline)) return exec.apply(this, args);
      isSent = true;
      const caller = context.active();
      const queued = (memberOf(pipeline, '_queue') as readonly Command[] | undefined) ?? [];
      const names = queued.map(({ name }) => name).filter(name => name !== 'multi' && name !== 'exec');
      const mode: BatchMode = names.length < queued.length ? 'MULTI' : 'PIPELINE';
      const work = startRedis(client, () => describeRedisBatch(mode, names), caller, names.length);
      if (work === undefined) return exec.apply(this, args);
      failWithFirstError(work);
      const [callback, ...others] = args;
      if (typeof callback === 'function') {
        return follow(work, () => exec.call(this, context.bind(caller, callback), ...others));
      }
      // The library handles the rejection of a pipeline's own promise. The one of a transaction is the user's.
      if (mode === 'PIPELINE') return follow(work, () => exec.apply(this, args));
      return runTracked(work, () => exec.apply(this, args));
    };
  });
}

/** With `enableAutoPipelining`, the library puts the commands of all requests into one pipeline: each command is a span of its request. */
function traceQueue(client: object, pipeline: object): void {
  replaceMethod(pipeline, 'sendCommand', queue => {
    return function (...args) {
      const [command] = args as [Command & { readonly promise: Promise<unknown> }];
      const work = isFilledByLibrary(pipeline)
        ? startRedis(client, () => describeRedisCommand(command.name, command.args), context.active())
        : undefined;
      if (work !== undefined) follow(work, () => command.promise);
      return queue.apply(this, args);
    };
  });
}

function isFilledByLibrary(pipeline: object): boolean {
  return Object.getOwnPropertySymbols(pipeline).some(({ description }) => description === 'exec');
}

/** Returns the promise itself, whose rejection is handled already. */
function follow(work: OutboundWork, exec: () => unknown): unknown {
  const promise = work.run(exec) as Promise<unknown>;
  promise.then(
    results => work.succeed(results),
    (error: unknown) => work.fail(error),
  );
  return promise;
}

function startRedis(
  client: object,
  describe: () => ReturnType<typeof describeRedisCommand>,
  caller: Context,
  batchSize?: number,
): OutboundWork | undefined {
  return startCommand(addressOf(client), describe, { needsParent: true, batchSize }, caller);
}

/** A cluster has many addresses. The one that was used is added by its node. */
function addressOf(client: object): DatabaseAddress {
  if (isCluster(client)) return { system: 'redis', namespace: '0' };
  const { options, condition } = client as Client;
  const { db = 0, path, host, port = 6379 } = options ?? {};
  const namespace = String(condition?.select ?? db);
  if (typeof path === 'string') return { system: 'redis', namespace, address: path };
  return { system: 'redis', namespace, address: host ?? 'localhost', port };
}

function isCluster(client: object): client is Cluster {
  return memberOf(client, 'isCluster') === true && hasMethods(client, 'nodes', 'on', 'off');
}

function isOfficial(client: object): boolean {
  const send = memberOf(Object.getPrototypeOf(client) as object, 'sendCommand');
  return typeof send === 'function' && isWrappedByOthers(send);
}
