/**
 * Traces `redis` (node-redis): from 5.12 on by its channels, and older clients of version 5 by their methods. A pool runs what waits for a
 * client in the context of whoever returns one, so its callers are bound.
 */
import { channel } from 'node:diagnostics_channel';
import { type Context, context, createContextKey } from '@opentelemetry/api';
import { inContext } from '../../../spans/context.js';
import type { OutboundWork } from '../../../spans/outbound.js';
import { runTracked } from '../../../spans/track.js';
import { hasMethods, memberOf, ownerOf } from '../../../wrapping/has-methods.js';
import { type Method, replaceMethod, type Undo, undoAll } from '../../../wrapping/replace-method.js';
import { Installations } from '../../../wrapping/shared-installation.js';
import type { DatabaseAddress } from '../attributes.js';
import type { DatabaseLibrary, Trace } from '../library.js';
import { isWrappedByOthers, loadedModules } from '../official.js';
import { startCommand } from '../query.js';
import { batchStarted, commandStarted, listenTo, type RedisMessage } from './channel.js';
import { type BatchMode, describeRedisBatch, describeRedisCommand, failWithFirstError } from './commands.js';

export const redis: DatabaseLibrary = {
  name: 'redis',
  find(value) {
    // Users have objects that inherit from the client.
    const self = memberOf(value, '_self');
    return hasMethods(self, 'sendCommand', 'MULTI', 'connect') ? self : undefined;
  },
  install(target, trace) {
    if (hasMethods(target, 'execute')) return bindPool(target, trace);
    return isSilent(target) ? installOnClient(target) : () => undefined;
  },
  listen() {
    return undoAll([
      listenTo('node-redis:command', started),
      listenTo('node-redis:batch', batchSent),
      // Published each time before a client of a pool is used.
      subscribe('node-redis:pool:connection-wait', message => remember((message as RedisMessage).clientId)),
    ]);
  },
};

function started(message: RedisMessage, caller: Context): OutboundWork | undefined {
  // The commands of a pipeline belong to its span.
  if (message.batchMode !== undefined || isNotOurs(message, caller)) return undefined;
  return commandStarted(message, message.args?.slice(1) ?? [], caller);
}

function batchSent(message: RedisMessage, caller: Context): OutboundWork | undefined {
  return isNotOurs(message, caller) ? undefined : batchStarted(message, caller);
}

/** Set in the context of callers of a pool that is traced. */
const BOUND = createContextKey('nestjs-tracing/redis-pool');

/** The clients of all pools. */
const pooled = new Set<string>();
const MAX_POOLED = 1000;

function remember(clientId: string | undefined): void {
  if (clientId === undefined) return;
  if (pooled.size >= MAX_POOLED) pooled.clear();
  pooled.add(clientId);
}

/** Returns true if others make the span, or if the active context may be that of another caller, as the pool was not found. */
function isNotOurs({ clientId }: RedisMessage, caller: Context): boolean {
  if (clientId !== undefined && pooled.has(clientId) && caller.getValue(BOUND) !== true) return true;
  return loadedModules('@redis/client/dist/lib/client/index.js').some(loaded => {
    const send = (loaded as { default?: { prototype?: { sendCommand?: object } } }).default?.prototype?.sendCommand;
    return send !== undefined && isWrappedByOthers(send);
  });
}

function subscribe(name: string, onMessage: (message: unknown) => void): Undo {
  const messages = channel(name);
  messages.subscribe(onMessage);
  return () => {
    messages.unsubscribe(onMessage);
  };
}

function bindPool(pool: object, trace: Trace): Undo {
  const clients = new Installations();
  return undoAll([
    clients.undo,
    replaceMethod(pool, 'execute', execute => {
      return function (task, ...others) {
        if (typeof task !== 'function') return execute.call(this, task, ...others);
        const caller = context.active().setValue(BOUND, true);
        const bound = (client: object): unknown => {
          clients.add(client, () => trace(client));
          return inContext(caller, task as Method, undefined, client);
        };
        return execute.call(this, bound, ...others);
      };
    }),
  ]);
}

/** Returns true for a client of a version without channels. Clusters and sentinels have the same methods with other parameters. */
function isSilent(client: object): boolean {
  return hasMethods(client, '_executeMulti', '_executePipeline', '_ejectSocket') && ownerOf(client, '_clientId') === undefined;
}

interface SilentClient {
  readonly options?: {
    readonly database?: number;
    readonly socket?: { readonly host?: string; readonly port?: number; readonly path?: string };
  };
}

function installOnClient(client: object): Undo {
  let selected: string | undefined;
  const address = (): DatabaseAddress => {
    const { database = 0, socket = {} } = (client as SilentClient).options ?? {};
    const { host = 'localhost', port = 6379, path } = socket;
    const namespace = String(selected ?? database);
    return path === undefined ? { system: 'redis', namespace, address: host, port } : { system: 'redis', namespace, address: path };
  };
  const batch = (mode: BatchMode) => (send: Method) =>
    function (this: unknown, ...args: unknown[]): unknown {
      const names = (args[0] as readonly { readonly args: readonly unknown[] }[]).map(command => command.args[0]);
      const work = isOfficial(client)
        ? undefined
        : startCommand(address(), () => describeRedisBatch(mode, names), { needsParent: true, batchSize: names.length });
      if (work === undefined) return send.apply(this, args);
      failWithFirstError(work);
      return runTracked(work, () => send.apply(this, args));
    };
  return undoAll([
    replaceMethod(client, 'sendCommand', send => {
      return function (...args) {
        if (isWrappedByOthers(send)) return send.apply(this, args);
        const [name, ...others] = args[0] as readonly unknown[];
        const work = startCommand(address(), () => describeRedisCommand(name, others), { needsParent: true });
        const reply = work === undefined ? send.apply(this, args) : runTracked(work, () => send.apply(this, args));
        if (name === 'SELECT') {
          (reply as Promise<unknown>).then(
            () => (selected = String(others[0])),
            () => undefined,
          );
        }
        return reply;
      };
    }),
    replaceMethod(client, '_executeMulti', batch('MULTI')),
    replaceMethod(client, '_executePipeline', batch('PIPELINE')),
  ]);
}

function isOfficial(client: object): boolean {
  const send = memberOf(Object.getPrototypeOf(client) as object, 'sendCommand');
  return typeof send === 'function' && isWrappedByOthers(send);
}
