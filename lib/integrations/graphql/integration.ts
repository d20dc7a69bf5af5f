/** GraphQL with Apollo, Yoga, Mercurius and gateways. Loads most of this folder only for an application that has a GraphQL driver. */
import { hasMethods } from '../../wrapping/has-methods.js';
import { instancesOf } from '../../wrapping/provider-search.js';
import { messages } from '../../options/messages.js';
import type { Integration } from '../../nest/integration.js';
import { reportTrouble } from '../../options/trouble.js';
import type { TraceSubgraph } from './apollo.js';
import { followExecutions } from './channel.js';
import { Operations } from './operation.js';

/** `traceSubgraph` traces the calls of a gateway to one of its subgraphs. */
export function graphql(traceSubgraph: TraceSubgraph): Integration {
  return {
    name: 'graphql',
    passesThrough: true,
    install(application, nest) {
      // Nest starts drivers and explores resolvers later.
      nest.onConfigure(async () => {
        const drivers = [...instancesOf(nest.modules)].filter(isDriver);
        try {
          if (drivers.length === 0) {
            if (application.isEnabled) nest.whileInForce(() => followExecutions(new Operations(application, nest.inbound)));
            return;
          }
          const { traceDrivers } = await import('./driver.js');
          nest.whileInForce(() => traceDrivers(drivers, application, nest, traceSubgraph));
        } catch (error) {
          reportTrouble('inbound.graphql', messages.messageNotTraced(), error);
        }
      });
    },
  };
}

/** Recognizes a driver by its members, because @nestjs/graphql may not be installed. */
function isDriver(instance: object): boolean {
  return hasMethods(instance, 'generateSchema', 'mergeDefaultOptions', 'subscriptionWithFilter', 'start');
}
