/** Messages over Redis: headers travel in the envelope, and the commands below are part of the sending. */
import { serverAddress } from '../conventions/rpc.js';
import { replaceMethod, undoAll } from '../local/replace-method.js';
import { carryInEnvelope } from './client-envelope.js';
import { type ClientProxy, type ClientTransport, hasMembers } from './client-transport.js';
import { withoutOtherSpans } from './other-spans.js';

export const redis: ClientTransport = {
  system: 'redis',
  protocol: 'messaging',
  operation: 'publish',
  serverOf: ({ options }) => serverAddress(options?.['host'] ?? 'localhost', options?.['port'] ?? 6379),
  carry: client => undoAll([withoutCommands(client), carryInEnvelope(client)]),
};

export function isRedis(client: object): boolean {
  return hasMembers(client, 'createRetryStrategy', 'subscriptionsCount');
}

/** `PUBLISH`, and `SUBSCRIBE` and `UNSUBSCRIBE` for the answer. */
function withoutCommands(client: ClientProxy): () => void {
  return undoAll(
    ['publish', 'dispatchEvent'].map(name =>
      replaceMethod(client, name, send => {
        return function (...args) {
          const result = withoutOtherSpans(() => send.apply(this, args));
          return typeof result === 'function' ? () => withoutOtherSpans(() => (result as () => unknown)()) : result;
        };
      }),
    ),
  );
}
