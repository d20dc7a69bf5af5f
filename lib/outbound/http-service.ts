/** Finds the axios instance of every HttpService of an application, also of those made for one request, and in modules that are loaded later. */
import type { LazyModuleLoader, ModulesContainer } from '@nestjs/core';
import { reportTrouble } from '../local/trouble.js';
import { messages } from '../tracing.messages.js';
import { installOn } from './axios.js';
import { type AxiosInstance, isAxiosInstance, learnAdapters } from './axios-instance.js';
import { type ProviderWrapper, watchProvider } from './watched-provider.js';

/** The token under which HttpModule provides its axios instance. */
const AXIOS_INSTANCE = 'AXIOS_INSTANCE_TOKEN';

/** Traces what every `HttpService` calls; returns what undoes it. @internal */
export function traceHttpServices(modules: ModulesContainer, lazyModules: LazyModuleLoader): () => void {
  const installations = new Installations();
  const watched = new Map<ProviderWrapper, () => void>();
  const found = (token: unknown, provided: unknown): void => {
    const instance = axiosIn(token, provided);
    if (instance !== undefined) installations.add(instance);
  };
  const scan = () => {
    for (const wrapper of providersIn(modules)) {
      const { token } = wrapper;
      const isStatic = wrapper.isDependencyTreeStatic();
      if (isStatic && !wrapper.isTransient) {
        found(token, wrapper.instance);
      } else if (!watched.has(wrapper)) {
        for (const made of wrapper.isTransient ? wrapper.getStaticTransientInstances() : []) found(token, made?.instance);
        const end = watchProvider(
          wrapper,
          prototype => axiosGetterOf(prototype) !== undefined,
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

/** Weak, as an instance that was made for a request lives no longer than that. */
class Installations {
  private readonly removals = new WeakMap<AxiosInstance, () => void>();
  private readonly instances = new Set<WeakRef<AxiosInstance>>();
  private readonly collected = new FinalizationRegistry<WeakRef<AxiosInstance>>(instance => this.instances.delete(instance));

  add(instance: AxiosInstance): void {
    if (this.removals.has(instance)) return;
    this.removals.set(instance, installOn(instance));
    const reference = new WeakRef(instance);
    this.instances.add(reference);
    this.collected.register(instance, reference);
  }

  removeAll(): void {
    for (const reference of this.instances) {
      const instance = reference.deref();
      if (instance !== undefined) this.removals.get(instance)?.();
    }
    this.instances.clear();
  }
}

function* providersIn(modules: ModulesContainer): Generator<ProviderWrapper> {
  for (const module of modules.values()) yield* module.providers.values();
}

function axiosIn(token: unknown, provided: unknown): AxiosInstance | undefined {
  try {
    const found = token === AXIOS_INSTANCE ? provided : axiosOf(provided);
    return isAxiosInstance(found) ? found : undefined;
  } catch (error) {
    reportTrouble('outbound.scan', messages.httpServiceNotTraced(), error);
    return undefined;
  }
}

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

/** Modules that arrive by LazyModuleLoader may bring an HttpService of their own. */
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
