/** The axios instance of every HttpService of an application. */
import type { LazyModuleLoader, ModulesContainer } from '@nestjs/core';
import { installOn } from './axios.js';
import { type AxiosInstance, isAxiosInstance, learnAdapters } from './axios-instance.js';
import { type ClientKind, traceProvidedClients } from './provided-clients.js';

/** The token under which HttpModule provides its axios instance. */
const AXIOS_INSTANCE = 'AXIOS_INSTANCE_TOKEN';

/** Traces what every `HttpService` calls; returns what undoes it. @internal */
export function traceHttpServices(modules: ModulesContainer, lazyModules: LazyModuleLoader): () => void {
  return traceProvidedClients(modules, lazyModules, httpServices);
}

const httpServices: ClientKind<AxiosInstance> = {
  clientsOf(provided, token) {
    const found = token === AXIOS_INSTANCE ? provided : axiosOf(provided);
    return isAxiosInstance(found) ? [found] : [];
  },
  isWanted: prototype => axiosGetterOf(prototype) !== undefined,
  install: installOn,
};

/**
 * `axiosRef` of an HttpService or a subclass of it, known by the getter on its class: @nestjs/axios need not be installed, and other
 * providers, which may be proxies or throw when touched, are left alone.
 */
function axiosOf(provided: unknown): unknown {
  if (typeof provided !== 'object' || provided === null) return undefined;
  const found = axiosGetterOf(Object.getPrototypeOf(provided));
  if (found === undefined) return undefined;
  const { httpService, getter } = found;
  if (!knownServices.has(httpService)) {
    knownServices.add(httpService);
    learnFrom(httpService, getter);
  }
  return getter.call(provided);
}

const knownServices = new WeakSet<Function>();

function axiosGetterOf(prototype: unknown): { readonly httpService: Function; readonly getter: () => unknown } | undefined {
  for (let owner = prototype; isOwner(owner); owner = Object.getPrototypeOf(owner)) {
    const getter = Object.getOwnPropertyDescriptor(owner, 'axiosRef')?.get;
    if (getter !== undefined) return { httpService: owner.constructor, getter };
  }
  return undefined;
}

/** An HttpService that is given nothing holds axios itself. */
function learnFrom(httpService: Function, getter: () => unknown): void {
  try {
    const axios: unknown = getter.call(Reflect.construct(httpService, []));
    if (isAxiosInstance(axios)) learnAdapters(axios);
  } catch {
    // Not the class we know: adapters are looked up the long way.
  }
}

function isOwner(value: unknown): value is object {
  return typeof value === 'object' && value !== null && value !== Object.prototype;
}
