/** Finds the axios instance of every HttpService of an application, also of modules that are loaded later. */
import type { LazyModuleLoader, ModulesContainer } from '@nestjs/core';
import { reportTrouble } from '../local/trouble.js';
import { messages } from '../tracing.messages.js';
import { installOn } from './axios.js';
import { type AxiosInstance, isAxiosInstance, learnAdapters } from './axios-instance.js';

/** The token under which HttpModule provides its axios instance. */
const AXIOS_INSTANCE = 'AXIOS_INSTANCE_TOKEN';

/** Traces what every `HttpService` calls; returns what undoes it. @internal */
export function traceHttpServices(modules: ModulesContainer, lazyModules: LazyModuleLoader): () => void {
  const removals = new Map<AxiosInstance, () => void>();
  const scan = () => {
    for (const instance of axiosInstances(modules)) {
      if (!removals.has(instance)) removals.set(instance, installOn(instance));
    }
  };
  scan();
  const forget = scanAfterLoading(lazyModules, scan);
  return () => {
    forget();
    for (const remove of removals.values()) remove();
    removals.clear();
  };
}

function* axiosInstances(modules: ModulesContainer): Generator<AxiosInstance> {
  for (const module of modules.values()) {
    for (const wrapper of module.providers.values()) {
      const found = wrapper.isDependencyTreeStatic() ? axiosIn(wrapper.token, wrapper.instance) : undefined;
      if (found !== undefined) yield found;
    }
  }
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
  for (let owner: unknown = Object.getPrototypeOf(provided); isOwner(owner); owner = Object.getPrototypeOf(owner)) {
    const getter = Object.getOwnPropertyDescriptor(owner, 'axiosRef')?.get;
    if (getter === undefined) continue;
    learnFrom(owner.constructor, getter);
    return getter.call(provided);
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
  return value !== null && value !== Object.prototype;
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
