/** Finds the clients that an application's providers are, hold or make, also those made for one request, and in modules that are loaded later. */
import type { LazyModuleLoader, ModulesContainer } from '@nestjs/core';
import { reportTrouble } from '../local/trouble.js';
import { messages } from '../tracing.messages.js';
import { type ProviderWrapper, watchProvider } from './watched-provider.js';

/** One kind of client. */
export interface ClientKind<Client extends object> {
  /** The clients that a provider, or a controller, stands for. Must not touch what may be somebody else's proxy. */
  clientsOf(provided: unknown, token: unknown): Iterable<Client>;
  /** Whether instances of a class are worth a look as soon as they are made. */
  isWanted(prototype: unknown): boolean;
  /** Traces a client; returns what undoes it. */
  install(client: Client): () => void;
}

/** Traces every client of a kind; returns what undoes it. @internal */
export function traceProvidedClients<Client extends object>(
  modules: ModulesContainer,
  lazyModules: LazyModuleLoader,
  kind: ClientKind<Client>,
): () => void {
  const installations = new Installations(kind);
  const watched = new Map<ProviderWrapper, () => void>();
  const found = (token: unknown, provided: unknown): void => {
    try {
      for (const client of kind.clientsOf(provided, token)) installations.add(client);
    } catch (error) {
      reportTrouble('outbound.scan', messages.clientNotTraced(), error);
    }
  };
  const scan = () => {
    for (const wrapper of wrappersIn(modules)) {
      const { token } = wrapper;
      const isStatic = wrapper.isDependencyTreeStatic();
      if (isStatic && !wrapper.isTransient) {
        found(token, wrapper.instance);
      } else if (!watched.has(wrapper)) {
        for (const made of wrapper.isTransient ? wrapper.getStaticTransientInstances() : []) found(token, made?.instance);
        const end = watchProvider(
          wrapper,
          prototype => kind.isWanted(prototype),
          made => found(token, made),
        );
        watched.set(wrapper, end);
      }
    }
  };
  scan();
  const forget = scanAfterLoading(lazyModules, scan);
  return () => {
    forget();
    for (const end of watched.values()) end();
    installations.removeAll();
  };
}

/** Weak, as a client that was made for a request lives no longer than that. */
class Installations<Client extends object> {
  private readonly removals = new WeakMap<Client, () => void>();
  private readonly clients = new Set<WeakRef<Client>>();
  private readonly collected = new FinalizationRegistry<WeakRef<Client>>(client => this.clients.delete(client));

  constructor(private readonly kind: ClientKind<Client>) {}

  add(client: Client): void {
    if (this.removals.has(client)) return;
    this.removals.set(client, this.kind.install(client));
    const reference = new WeakRef(client);
    this.clients.add(reference);
    this.collected.register(client, reference);
  }

  removeAll(): void {
    for (const reference of this.clients) {
      const client = reference.deref();
      if (client !== undefined) this.removals.get(client)?.();
    }
    this.clients.clear();
  }
}

function* wrappersIn(modules: ModulesContainer): Generator<ProviderWrapper> {
  for (const module of modules.values()) {
    yield* module.providers.values();
    yield* module.controllers.values() as Iterable<ProviderWrapper>;
  }
}

/** Modules that arrive by LazyModuleLoader may bring clients of their own. */
function scanAfterLoading(lazyModules: LazyModuleLoader, scan: () => void): () => void {
  const { load } = lazyModules;
  const isOwn = Object.hasOwn(lazyModules, 'load');
  const traced: typeof load = async (...given) => {
    const moduleRef = await load.apply(lazyModules, given);
    scan();
    return moduleRef;
  };
  lazyModules.load = traced;
  return () => {
    if (lazyModules.load !== traced) return;
    if (isOwn) lazyModules.load = load;
    else Reflect.deleteProperty(lazyModules, 'load');
  };
}
