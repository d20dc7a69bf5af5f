/** Traces `@golevelup/nestjs-rabbitmq`: finds the connections of an application, and traces the messages that they send and consume. */
import type { Integration } from '../../nest/integration.js';
import type { InboundOperations } from '../../spans/inbound.js';
import { hasMethods, isTouchable } from '../../wrapping/has-methods.js';
import type { ProviderTracing } from '../../wrapping/provider-search.js';
import { replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { share } from '../../wrapping/shared-installation.js';
import type { Connection } from './attributes.js';
import { type Home, noteHandlers, traceHandlers } from './handlers.js';
import { TracedSending } from './sending.js';

export const golevelupRabbitmq: Integration = {
  name: 'golevelup-rabbitmq',
  passesThrough: true,
  install(_application, nest) {
    nest.onClose(noteHandlers(nest.externalContexts));
    nest.eachProvider(connections(nest.inbound));
  },
};

/** The package's `AmqpConnectionManager`. All applications in the process share it. */
interface Manager {
  getConnections(): unknown[];
}

const TRACED = Symbol.for('nestjs-tracing/golevelup-rabbitmq');

/** Traces the connections of an application, and those that are later added to its managers. */
function connections(inbound: InboundOperations): ProviderTracing {
  return {
    everyInstance: true,
    looksInside: true,
    find: ({ instance, members }) => {
      const isOne = isTouchable(instance) && (isConnection(instance) || isManager(instance));
      return isOne ? [instance] : members.filter(isConnection);
    },
    install: client => (isManager(client) ? installOnManager(client, inbound) : installOnConnection(client, inbound)),
  };
}

/** Called for every member of request-scoped instances, so the first check is cheap and rejects most. */
function isConnection(value: object): value is Connection {
  return 'createSubscriber' in value && hasMethods(value, 'createSubscriber', 'createRpc', 'publish', 'request');
}

function isManager(value: object): value is Manager {
  return hasMethods(value, 'addConnection', 'getConnection', 'getConnections');
}

function installOnManager(manager: Manager, inbound: InboundOperations): Undo {
  const undo: Undo[] = [];
  const trace = (connection: unknown): void => {
    if (isTouchable(connection) && isConnection(connection)) undo.push(installOnConnection(connection, inbound));
  };
  manager.getConnections().forEach(trace);
  undo.push(
    replaceMethod(manager, 'addConnection', addConnection => {
      return function (connection, ...rest) {
        trace(connection);
        return addConnection.call(this, connection, ...rest);
      };
    }),
  );
  return undoAll(undo);
}

function installOnConnection(connection: Connection, inbound: InboundOperations): Undo {
  const { installation, release } = share(connection, TRACED, () => {
    const home: Home = { inbound: undefined };
    return Object.assign(home, { undo: undoAll([traceHandlers(connection, home), new TracedSending(connection, home).undo]) });
  });
  installation.inbound ??= inbound;
  return () => {
    if (installation.inbound === inbound) installation.inbound = undefined;
    release();
  };
}
