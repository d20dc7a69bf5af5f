/** All integrations, in the order of their installation. For a new one, add a folder beside these and a line here. */
import type { Integration } from '../nest/integration.js';
import type { ResolvedTracingOptions } from '../options/resolved-options.js';
import { bull } from './bull/integration.js';
import { bullmq } from './bullmq/integration.js';
import { cache } from './cache/integration.js';
import { command } from './command/command.js';
import { cqrs } from './cqrs/cqrs.js';
import { databases } from './databases/integration.js';
import { events } from './events/event-emitter.js';
import { golevelupRabbitmq } from './golevelup-rabbitmq/integration.js';
import { graphql } from './graphql/integration.js';
import { httpClient } from './http-client/integration.js';
import { traceSubgraph } from './http-client/subgraph-calls.js';
import { httpServer } from './http-server/integration.js';
import { logs } from './logs/log-correlation.js';
import { methods } from './methods/integration.js';
import { microservices } from './microservices/integration.js';
import { schedule } from './schedule/schedule.js';
import { sqs } from './sqs/integration.js';
import { startUp } from './start-up/start-up.js';
import { websockets } from './websockets/adapter.js';

/** @internal */
export const integrations: readonly Integration[] = [
  httpServer,
  microservices,
  websockets,
  graphql(traceSubgraph),
  httpClient,
  bullmq,
  bull,
  golevelupRabbitmq,
  sqs,
  databases,
  cache,
  schedule,
  events,
  cqrs,
  command,
  methods,
  startUp,
  logs,
];

/** Loads the code that an application with these options needs. @internal */
export function loadIntegrations(options: ResolvedTracingOptions): Promise<unknown> {
  return Promise.all(integrations.map(async integration => integration.load?.(options)));
}
