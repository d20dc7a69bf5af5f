/** Which of Nest's packages have handlers that something else than a client calls: a queue, a timer, an event, a bus, a command line. */
import type { TracingApplication } from '../local/work.js';
import type { Arrivals } from './arrival.js';
import { processorsEntrance, workersEntrance } from './bullmq.js';
import { commandsEntrance } from './command.js';
import { cqrsBusesEntrance, cqrsEventsEntrance, sagasEntrance } from './cqrs.js';
import { eventEmitterEntrance } from './event-emitter.js';
import { dynamicJobsEntrance, scheduleEntrance } from './schedule.js';
import type { Entrance } from './static-providers.js';

/** All of them; of an application that is not enabled, those that a caller's context comes in by. @internal */
export function entrancesOf(
  { isEnabled, inbound }: TracingApplication,
  arrivals: Arrivals,
  deliver: () => Promise<void>,
): readonly Entrance[] {
  const queues = [processorsEntrance(arrivals), workersEntrance(arrivals)];
  if (!isEnabled) return queues;
  const { eventOrigin } = inbound;
  return [
    ...queues,
    scheduleEntrance(arrivals),
    dynamicJobsEntrance(arrivals),
    eventEmitterEntrance(arrivals, eventOrigin),
    cqrsBusesEntrance(arrivals, eventOrigin),
    cqrsEventsEntrance(arrivals, eventOrigin),
    sagasEntrance(),
    commandsEntrance(arrivals, deliver),
  ];
}
