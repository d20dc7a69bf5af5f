/** The client proxies of an application: those of ClientsModule, those of `@Client()`, and those that providers and controllers keep. */
import type { LazyModuleLoader, ModulesContainer } from '@nestjs/core';
import { isTouchable, ownValues } from '../local/has-methods.js';
import type { TracingApplication } from '../local/work.js';
import { installOnClient } from './client-proxy.js';
import type { ClientProxy } from './client-transport.js';
import { isClientProxy } from './client-transports.js';
import { type ClientKind, traceProvidedClients } from './provided-clients.js';

/** Traces what every client proxy sends; returns what undoes it. @internal */
export function traceClientProxies(application: TracingApplication, modules: ModulesContainer, lazyModules: LazyModuleLoader): () => void {
  return traceProvidedClients(modules, lazyModules, { ...clientProxies, install: client => installOnClient(client, application) });
}

const clientProxies: Omit<ClientKind<ClientProxy>, 'install'> = {
  *clientsOf(provided) {
    if (isTouchable(provided) && isClientProxy(provided)) {
      yield provided;
      return;
    }
    for (const value of ownValues(provided)) if (isClientProxy(value)) yield value;
  },
  isWanted: isClientProxy,
};
