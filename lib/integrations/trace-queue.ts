/** Traces a Bull or BullMQ queue that Nest does not own. */
import { messages } from '../options/messages.js';
import { isTouchable } from '../wrapping/has-methods.js';
import { installForGood } from '../wrapping/shared-installation.js';
import { installOnQueue, isQueue } from './bull/integration.js';
import { installOnProducer, isProducer } from './bullmq/queue.js';

/**
 * Traces a `Queue` of bull, or a `Queue` or `FlowProducer` of bullmq, that Nest does not own. Each call that adds jobs gets a span and puts
 * trace headers into the jobs' options. Each attempt of a bull job also gets a span, of the oldest application in the process. Returns the
 * same object; a second call changes nothing. Queues of `BullModule` and in properties of providers or controllers are traced already.
 * Spans follow the semantic conventions for messaging.
 *
 * @throws TypeError if `queue` is none of these.
 * @example
 * const reports = traceQueue(new Queue('reports', { connection }));
 *
 * @publicApi
 */
export function traceQueue<T extends object>(queue: T): T {
  if (isTouchable(queue) && isQueue(queue)) return installForGood(queue, installOnQueue);
  if (isTouchable(queue) && isProducer(queue)) return installForGood(queue, installOnProducer);
  throw new TypeError(messages.notAQueue(queue));
}
