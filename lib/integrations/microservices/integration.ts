/** Traces `@nestjs/microservices`: finds the servers and clients of an application. */
import type { Integration, NestSeams } from '../../nest/integration.js';
import { messages } from '../../options/messages.js';
import { reportTrouble } from '../../options/trouble.js';
import type { TracingApplication } from '../../spans/work.js';
import type { ProviderTracing } from '../../wrapping/provider-search.js';
import { replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { installOnce } from '../../wrapping/shared-installation.js';
import { installOnClient, isClientProxy } from './client-proxy.js';
import { traceServer } from './server.js';
import type { ClientProxy, RpcServer } from './transport.js';

export const microservices: Integration = {
  name: 'microservices',
  passesThrough: true,
  install(application, nest) {
    nest.onClose(traceServers(nest));
    nest.eachProvider(clientProxies(application));
  },
};

/** Finds the clients of ClientsModule, of `@Client()`, and in properties of providers and controllers. */
function clientProxies(application: TracingApplication): ProviderTracing<ClientProxy> {
  return {
    everyInstance: true,
    looksInside: true,
    find: ({ instance, members }) => (isClientProxy(instance) ? [instance] : members.filter(isClientProxy)),
    install: client => installOnClient(client, application),
  };
}

const TRACED = Symbol.for('nestjs-tracing/rpc-server');

/** Traces all present and future servers of the application. Returns the undo function. */
function traceServers(nest: NestSeams): Undo {
  const undo: Undo[] = [];
  // Nest announces a server before it registers handlers.
  const subscription = nest.modules.getRpcTargetRegistry<RpcServer>().subscribe(server => {
    const install = (): Undo => {
      // Nest is about to build the server's handlers.
      nest.withdrawInterceptor();
      return undoAll([traceServer(server, nest.modules, nest.inbound), exportAtOnceFromClose(server, nest)]);
    };
    try {
      undo.push(installOnce(server, TRACED, install));
    } catch (error) {
      reportTrouble('inbound.rpc', messages.messageNotTraced(), error);
    }
  });
  undo.push(() => subscription.unsubscribe());
  return undoAll(undo);
}

/** Exports at once from the server's close on: a pure microservice closes its server before it calls the application's hooks. */
function exportAtOnceFromClose(server: RpcServer, nest: NestSeams): Undo {
  return replaceMethod(server, 'close', close => {
    return function (...args) {
      nest.exportAtOnce();
      return close.apply(this, args);
    };
  });
}
