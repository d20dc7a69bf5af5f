/** Follows the calls that a library announces on a tracing channel of Node, from their start to their end. */
import { tracingChannel } from 'node:diagnostics_channel';
import { type Context, context } from '@opentelemetry/api';
import { contextStore } from '../../spans/context.js';
import type { OutboundWork } from '../../spans/outbound.js';
import type { Undo } from '../../wrapping/replace-method.js';

/** All messages of one call are the same object. */
interface Announced {
  readonly error?: unknown;
  [CALL]?: Call;
}

interface Call {
  readonly caller: Context;
  readonly work: OutboundWork | undefined;
}

const CALL = Symbol('nestjs-tracing/call');

/**
 * Subscribes to the channel `name`. Calls `open` at the start of each call, in the context of the caller. The span that it returns ends with
 * the call. Callbacks of the call run in the context of the caller. Returns how to undo it.
 */
export function followCalls<Message extends object>(
  name: string,
  open: (message: Message, caller: Context) => OutboundWork | undefined,
): Undo {
  const channels = tracingChannel<unknown, Message & Announced>(name);
  const subscribers = {
    start(message: Message & Announced) {
      const caller = context.active();
      message[CALL] = { caller, work: open(message, caller) };
    },
    end() {},
    error(message: Announced) {
      message[CALL]?.work?.fail(message.error);
    },
    asyncStart(message: Announced) {
      message[CALL]?.work?.succeed(undefined);
    },
    asyncEnd() {},
  };
  channels.subscribe(subscribers);
  // A connection answers in the context of its socket, or of the request that released it.
  const store = contextStore();
  if (store !== undefined) channels.asyncStart.bindStore(store, ({ [CALL]: call }) => call?.caller ?? context.active());
  return () => {
    channels.unsubscribe(subscribers);
    if (store !== undefined) channels.asyncStart.unbindStore(store);
  };
}

/** A call without a span, whose callback must run in the context of the caller, too. */
export function withoutSpan(): undefined {
  return undefined;
}
