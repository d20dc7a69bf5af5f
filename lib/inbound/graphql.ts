/** Where GraphQL enters: only an application that has a driver for it loads what traces it. */
import type { ModulesContainer } from '@nestjs/core';
import { reportTrouble } from '../local/trouble.js';
import { messages } from '../tracing.messages.js';
import type { RunningApplication } from '../tracing.application.js';
import type { Arrivals } from './arrival.js';

/** Traces the GraphQL modules of an application, none of which must have been started, while it is in force. Never rejects. @internal */
export async function traceGraphql(running: RunningApplication, modules: ModulesContainer, arrivals: Arrivals): Promise<void> {
  const drivers = [...driversOf(modules)];
  if (drivers.length === 0) return;
  try {
    const { traceDrivers } = await import('./graphql-driver.js');
    running.whileInForce(() => traceDrivers(drivers, running, modules, arrivals));
  } catch (error) {
    reportTrouble('inbound.graphql', messages.messageNotTraced(), error);
  }
}

/** Whoever starts a schema: recognised by its members, as the package may not be there. */
function* driversOf(modules: ModulesContainer): Generator<object> {
  const seen = new Set<unknown>();
  for (const module of modules.values()) {
    for (const { instance } of module.providers.values()) {
      if (typeof instance !== 'object' || instance === null || seen.has(instance)) continue;
      seen.add(instance);
      if (['generateSchema', 'mergeDefaultOptions', 'subscriptionWithFilter', 'start'].every(name => isMethod(instance, name))) {
        yield instance;
      }
    }
  }
}

function isMethod(instance: object, name: string): boolean {
  try {
    return typeof Reflect.get(instance, name) === 'function';
  } catch {
    // What other providers do when they are looked at is up to them.
    return false;
  }
}
