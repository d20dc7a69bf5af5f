/** Listens to the diagnostics channels of the Redis libraries. Both publish messages of the same shape. */
import { tracingChannel } from 'node:diagnostics_channel';
import { type Context, context } from '@opentelemetry/api';
import type { OutboundWork } from '../../../spans/outbound.js';
import type { Undo } from '../../../wrapping/replace-method.js';
import type { DatabaseAddress } from '../attributes.js';
import { startCommand } from '../query.js';
import { type BatchMode, describeRedisBatch, describeRedisCommand, failWithFirstError } from './commands.js';

/** A command or a batch. The library publishes the same object when it starts and when it ends. */
export interface RedisMessage {
  readonly command?: string;
  /** Some values in it are replaced by the library already. */
  readonly args?: readonly unknown[];
  readonly database?: number;
  readonly clientId?: string;
  readonly serverAddress?: string | undefined;
  readonly serverPort?: number | undefined;
  /** Set for batches, and for the commands of a pipeline. */
  readonly batchMode?: BatchMode;
  readonly batchSize?: number;
  readonly result?: unknown;
  readonly error?: unknown;
}

/** Calls `open` with each message, in the context of the caller. Ends the span that it returns. `open` must not throw. */
export function listenTo(name: string, open: (message: RedisMessage, caller: Context) => OutboundWork | undefined): Undo {
  const works = new WeakMap<RedisMessage, OutboundWork>();
  const channels = tracingChannel<unknown, RedisMessage>(name);
  const subscribers = {
    start(message: RedisMessage) {
      const work = open(message, context.active());
      if (work !== undefined) works.set(message, work);
    },
    end() {},
    error(message: RedisMessage) {
      works.get(message)?.fail(message.error);
    },
    asyncStart(message: RedisMessage) {
      works.get(message)?.succeed(message.result);
    },
    asyncEnd() {},
  };
  channels.subscribe(subscribers);
  return () => {
    channels.unsubscribe(subscribers);
  };
}

/** `args`: the arguments of the command, without its name. */
export function commandStarted(message: RedisMessage, args: readonly unknown[], caller: Context): OutboundWork | undefined {
  return startCommand(addressOf(message), () => describeRedisCommand(message.command, args), { needsParent: true }, caller);
}

/** The messages of batches do not name their commands. */
export function batchStarted(message: RedisMessage, caller: Context): OutboundWork | undefined {
  const { batchMode = 'PIPELINE', batchSize } = message;
  const work = startCommand(addressOf(message), () => describeRedisBatch(batchMode, []), { needsParent: true, batchSize }, caller);
  if (work !== undefined) failWithFirstError(work);
  return work;
}

function addressOf({ database = 0, serverAddress: address, serverPort: port }: RedisMessage): DatabaseAddress {
  return { system: 'redis', namespace: String(database), address, port };
}
